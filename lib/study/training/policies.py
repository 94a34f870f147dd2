"""Trains one policy: SFT on demonstrations, or GRPO without a learned reward (`lib.airl` has AIRL).

All methods start from the same backbone, train the same adapter, and share
these few arguments, so that what differs between them is the signal alone.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from peft import PeftModel
from tqdm.auto import tqdm
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
from trl import GRPOConfig, SFTConfig, SFTTrainer

from lib.airl import batches, credit
from lib.data.demonstrations import Demonstration
from lib.grading import answers
from lib.models import checkpoints, grpo, pretrained
from lib.schema import Grpo, Params, Practice, Sft
from lib.text import chat, traces

transformers.logging.set_verbosity_error()  # quiet about the fresh head of each discriminator


def sft_dataset(tokenizer, demonstrations: list[Demonstration], system_prompt: str = "") -> Dataset:
    """The tokens of prompt and expert completion; the loss is on the completion."""
    prompts = chat.questions_ids(tokenizer, [d.question for d in demonstrations], system_prompt)
    completions = [chat.completion_ids(tokenizer, d.trace) for d in demonstrations]
    return Dataset.from_list(
        [
            {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
    )


def question_dataset(problems: list[Demonstration], system_prompt: str = "") -> Dataset:
    """Prompts for on-policy training; `answer` is read by the verifiable reward alone."""
    rows = [{"prompt": chat.messages(p.question, system_prompt), "answer": p.answer} for p in problems]
    return Dataset.from_list(rows)


def correct(completions, answer, **_) -> list[float]:
    """The verifiable reward: 1 if the completion's answer is right, else 0."""
    texts = [completion[0]["content"] for completion in completions]
    return [float(answers.is_correct(traces.parse(t).answer, a)) for t, a in zip(texts, answer, strict=True)]


def elected(group_size: int) -> Callable[..., list[float]]:
    """The reward of TTRL (Zuo et al. 2025): 1 if a completion gives its group's commonest answer, else 0.

    Of equally common answers the one given first counts; no answer is never elected.
    """

    def elected(completions, **_) -> list[float]:
        if len(completions) % group_size:
            raise ValueError("reward: vote needs each group whole in one process; train on fewer")
        codes = batches.answer_codes([completion[0]["content"] for completion in completions], group_size)
        return credit.elected(torch.zeros(len(codes)), codes, group_size).tolist()

    return elected


class Progress(TrainerCallback):
    """A plain progress bar: the trainers' own prints every logged step.

    There is no checkpoint of the last step: a training that goes on from it would take one more.
    """

    def on_train_begin(self, args, state, control, **_):
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training")

    def on_step_end(self, args, state, control, **_):
        self._bar.update()
        control.should_save &= state.global_step < state.max_steps

    def on_train_end(self, args, state, control, **_):
        self._bar.close()


def train(trainer):
    """Train with a progress bar, from the last checkpoint if there is one; returns the trainer."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress())
    trainer.train(resume_from_checkpoint=checkpoints.last(trainer.args.output_dir))
    return trainer


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def common(model, settings: Params, seed: int, output_dir: str | Path, batch_size: int, rows: str) -> dict:
    """Arguments of any trainer of `model`; `batch_size` is of a step and all processes, in `rows`."""
    on_gpu, n = torch.cuda.is_available(), processes()
    at_once = min(settings.training.micro_batch or batch_size, max(batch_size // n, 1))
    if batch_size % (at_once * n):
        raise ValueError(
            f"training.micro_batch: {batch_size} {rows} cannot be shared by {n} processes that take "
            f"{at_once} at once"
        )
    return dict(
        output_dir=str(output_dir),
        seed=seed,
        report_to="none",
        save_strategy="steps" if settings.training.checkpoint_every else "no",
        save_steps=settings.training.checkpoint_every or 1,
        save_total_limit=2,  # the last may have been cut short
        logging_steps=1,
        disable_tqdm=True,  # see `Progress`
        bf16=on_gpu or model.dtype == torch.bfloat16,  # adapters are float32 all the same
        use_cpu=not on_gpu,
        activation_checkpointing=on_gpu,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=batch_size // (at_once * n),
    )


def train_sft(
    backbone,
    demonstrations: list[Demonstration],
    section: Sft,
    *,
    policy: PeftModel | None = None,
    settings: Params,
    seed,
    output_dir,
) -> SFTTrainer:
    """SFT on the completions of the demonstrations; returns the trained trainer.

    Of a fresh adapter, or of the one that `policy` has on this backbone.
    """
    set_seed(seed)
    if policy is None:
        model, new_adapter = pretrained.load_to_train(backbone, settings.lora)
    else:
        model, new_adapter = policy, None
        model.set_adapter(model.active_adapter)  # one that was loaded to sample does not learn
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=sft_dataset(tokenizer, demonstrations, settings.sampling.system_prompt),
        peft_config=new_adapter,
        args=SFTConfig(
            **common(model, settings, seed, output_dir, section.batch_size, "demonstrations"),
            num_train_epochs=section.epochs,
            learning_rate=section.lr,
            max_length=None,
        ),
    )
    return train(trainer)


def grpo_config(section: Practice, *, model, settings: Params, seed, output_dir, **overrides) -> GRPOConfig:
    """One optimizer step per batch of `prompts_per_step` groups of `group_size` samples."""
    batch_size = section.prompts_per_step * section.group_size
    return GRPOConfig(
        **common(model, settings, seed, output_dir, batch_size, "completions")
        | dict(
            num_generations=section.group_size,
            max_steps=section.steps,
            learning_rate=section.lr,
            beta=section.beta,
            loss_type="dr_grpo",
            max_completion_length=settings.sampling.max_new_tokens,
            temperature=section.temperature,
            chat_template_kwargs=chat.TYPED_IS_TEXT,
            use_vllm=settings.training.vllm != "off",
            vllm_mode="server" if settings.training.vllm == "server" else "colocate",
        )
        | overrides
    )


def train_grpo(
    backbone, problems: list[Demonstration], section: Grpo, *, settings: Params, sft_adapter, seed, output_dir
) -> grpo.Trainer:
    """GRPO on what needs no learned reward, the true answer or the group's vote; returns the trainer.

    It goes on from the directory `sft_adapter`; with None from the backbone.
    """
    set_seed(seed)
    model, new_adapter = pretrained.load_to_train(backbone, settings.lora, sft_adapter)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    rewards = {"answer": [correct], "vote": [elected(section.group_size), correct]}[section.reward]
    trainer = grpo.Trainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=question_dataset(problems, settings.sampling.system_prompt),
        reward_funcs=rewards,
        peft_config=new_adapter,
        args=grpo_config(
            section,
            model=model,
            settings=settings,
            seed=seed,
            output_dir=output_dir,
            reward_weights=[1.0, 0.0][: len(rewards)],  # beside a vote the answer is logged alone
        ),
    )
    return train(trainer)
