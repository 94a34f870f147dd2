"""Trains one policy: SFT on demonstrations, or GRPO on verifiable answers (`lib.airl` has AIRL).

All methods start from the same backbone, train the same adapter (or the full weights), and share
these few arguments, so that what differs between them is the signal alone.
"""

from pathlib import Path

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from lib import traces
from lib.demonstrations import Demonstration

transformers.logging.set_verbosity_error()  # quiet about the fresh head of each discriminator


def load_backbone(directory: str | Path):
    """The causal LM and tokenizer of a backbone directory.

    Raises FileNotFoundError with the way out if there is none.
    """
    if not (Path(directory) / "config.json").exists():
        raise FileNotFoundError(
            f"{directory}: no backbone here; `dvc repro` makes it, or set its path in params.yaml"
        )
    return AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)


def lora(settings) -> LoraConfig | None:
    """The policy's adapter on every linear layer; None trains the full weights."""
    if settings.full_weights:
        return None
    return LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _messages(problem: Demonstration, system_prompt: str) -> list[dict]:
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": problem.question}]


def sft_dataset(demonstrations: list[Demonstration], system_prompt: str = "") -> Dataset:
    """Prompt and expert completion, conversational."""
    return Dataset.from_list(
        [
            {"prompt": _messages(d, system_prompt), "completion": [{"role": "assistant", "content": d.trace}]}
            for d in demonstrations
        ]
    )


def question_dataset(problems: list[Demonstration], system_prompt: str = "") -> Dataset:
    """Prompts for on-policy training; `answer` is read by the verifiable reward alone."""
    return Dataset.from_list([{"prompt": _messages(p, system_prompt), "answer": p.answer} for p in problems])


def correct(completions, answer, **_) -> list[float]:
    """The verifiable reward: 1 if the completion's answer is right, else 0."""
    texts = [completion[0]["content"] for completion in completions]
    return [float(traces.is_correct(traces.parse(t).answer, a)) for t, a in zip(texts, answer, strict=True)]


class Progress(TrainerCallback):
    """A plain progress bar: the trainers' own prints every logged step."""

    def on_train_begin(self, args, state, control, **_):
        self._bar = tqdm(total=state.max_steps, desc="training")

    def on_step_end(self, args, state, control, **_):
        self._bar.update()

    def on_train_end(self, args, state, control, **_):
        self._bar.close()


def train(trainer):
    """Train with a progress bar; returns the trainer."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress())
    trainer.train()
    return trainer


def _common(output_dir: str | Path, seed: int) -> dict:
    on_gpu = torch.cuda.is_available()
    return dict(
        output_dir=str(output_dir),
        seed=seed,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,  # see `Progress`
        bf16=on_gpu,
        use_cpu=not on_gpu,
        activation_checkpointing=on_gpu,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
    )


def train_sft(
    backbone, demonstrations: list[Demonstration], *, settings, adapter, seed, output_dir
) -> SFTTrainer:
    """SFT on the completions of the demonstrations; returns the trained trainer."""
    set_seed(seed)
    model, tokenizer = load_backbone(backbone)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=sft_dataset(demonstrations),
        peft_config=lora(adapter),
        args=SFTConfig(
            **_common(output_dir, seed),
            per_device_train_batch_size=settings.batch_size,
            num_train_epochs=settings.epochs,
            learning_rate=settings.lr,
            max_length=None,
        ),
    )
    return train(trainer)


def grpo_config(settings, *, seed, output_dir, max_new_tokens, temperature, **overrides) -> GRPOConfig:
    """One optimizer step per batch of `prompts_per_step` groups of `group_size` samples."""
    return GRPOConfig(
        **_common(output_dir, seed)
        | dict(
            per_device_train_batch_size=settings.prompts_per_step * settings.group_size,
            num_generations=settings.group_size,
            max_steps=settings.steps,
            learning_rate=settings.lr,
            beta=settings.beta,
            loss_type="dr_grpo",
            max_completion_length=max_new_tokens,
            temperature=temperature,
        )
        | overrides
    )


def train_grpo(
    backbone,
    problems: list[Demonstration],
    *,
    settings,
    adapter,
    seed,
    output_dir,
    max_new_tokens,
    temperature,
) -> GRPOTrainer:
    """GRPO on verifiable answers, the empirical upper bound; returns the trained trainer."""
    set_seed(seed)
    model, tokenizer = load_backbone(backbone)
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=question_dataset(problems),
        reward_funcs=correct,
        peft_config=lora(adapter),
        args=grpo_config(
            settings, seed=seed, output_dir=output_dir, max_new_tokens=max_new_tokens, temperature=temperature
        ),
    )
    return train(trainer)
