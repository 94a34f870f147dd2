"""Speed and memory of the default study's steps, against its limits: `python -m tests.bench`.

The backbone is untrained and of the default shape. Every sample is as long as the longest expert trace:
the end token is never drawn, and an expert in a group never widens AIRL's batch beyond GRPO's. What is
compared takes turns, so that other load on the machine falls on both sides.
"""

import random
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback
from transformers.utils import logging

from lib import runs, schema
from lib.airl import credit, discriminator
from lib.airl.trainer import AIRLTrainer
from lib.data import splits
from lib.data.texts import world_texts
from lib.models import generation, grpo, likelihood, pretrained, scratch
from lib.reward import recorded
from lib.study import params
from lib.study.adversarial.training import train_airl
from lib.study.training import backbones, policies
from lib.text import alignment, chat

ROUNDS, STEPS = 2, 6  # each trainer's turns, and the steps of one; the first of a turn is not counted


class Clock:
    """Seconds spent in the watched functions, each without the others that it calls."""

    def __init__(self):
        self.seconds, self.results = Counter(), {}
        self._inside = [0.0]

    def watch(self, owner, name: str, label: str) -> None:
        """Time every call of `owner.name` from now on under a label; keep its last result."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            self._inside.append(0.0)
            start = time.perf_counter()
            self.results[label] = function(*args, **kwargs)
            spent = time.perf_counter() - start
            self.seconds[label] += spent - self._inside.pop()
            self._inside[-1] += spent
            return self.results[label]

        setattr(owner, name, timed)


class StepTimes(TrainerCallback):
    """Seconds of each step but the first, and what `clock` counted during each."""

    def __init__(self, clock: Clock):
        self.clock, self.steps, self.parts = clock, [], []

    def on_step_begin(self, args, state, control, **_):
        self.clock.seconds.clear()
        self._start = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        if state.global_step > 1:
            self.steps.append(time.perf_counter() - self._start)
            self.parts.append(dict(self.clock.seconds))


def sections(settings: params.Params) -> dict[str, schema.Airl]:
    """The AIRL sections compared with GRPO: the paper's head, which learns at every step, and the study's
    log-ratio, as it learns during the warm-up and as it is practised on after."""
    short = {"steps": STEPS, "warmup_steps": 0, "likelihood_epochs": 0, "start": "base"}
    sizes = settings.airl.model_dump(include={"prompts_per_step", "group_size"})
    own = settings.airl_variant("airl_practice").model_copy(update=short | sizes)
    return {
        "head": settings.airl.model_copy(update=short),
        "log-ratio, learning": own.model_copy(
            update={"discriminator_steps": STEPS, "discriminator_updates": 1}
        ),
        "log-ratio, at rest": own.model_copy(update={"discriminator_steps": 0}),
    }


def make_trainer(kind: str, backbone: Path, problems, settings: params.Params, output_dir):
    """A trainer of `STEPS` steps on the settings of AIRL; GRPO differs in the reward alone."""
    section = sections(settings)["head" if kind == "grpo" else kind]
    model, tokenizer = pretrained.load_backbone(backbone)
    common = dict(
        model=model,
        processing_class=tokenizer,
        reward_funcs=policies.correct,
        peft_config=pretrained.lora(settings.lora),
        args=policies.grpo_config(
            section,
            model=model,
            settings=settings,
            seed=0,
            output_dir=output_dir,
        ),
    )
    questions = policies.question_dataset(problems)
    if kind == "grpo":
        return grpo.Trainer(train_dataset=questions, **common)
    r, form = section.discriminator_r, discriminator.PARAMETERISATIONS[section.parameterisation]
    return AIRLTrainer(
        train_dataset=questions.add_column("trace", [p.trace for p in problems]),
        reward_model=form.new(backbone, r=r, alpha=2 * r),
        settings=section,
        **common,
    )


def never_end(end: int) -> None:
    """From now on no sample draws the end token."""
    choose = generation.choose

    def others(logits_BV: torch.Tensor, temperature: float) -> torch.Tensor:
        logits_BV[:, end] = -torch.inf
        return choose(logits_BV, temperature)

    generation.choose = others


def watch_airl(clock: Clock, trainer) -> None:
    """Divide the time of an AIRL step into its parts."""
    clock.watch(trainer, "_generate", "sampling")
    clock.watch(trainer, "_update_discriminator", "discriminator: its step")
    clock.watch(trainer, "_rewards_BT", "discriminator: forward")
    clock.watch(trainer, "_discriminator_rows", "bookkeeping: the discriminator's batch")
    clock.watch(trainer, "_record", "bookkeeping: pass rate and AUROC")
    clock.watch(trainer, "_kl_to_start", "KL to the start")


def watch_functions(clock: Clock) -> None:
    """The parts of an AIRL step that are functions of modules."""
    clock.watch(alignment, "units_of_tokens", "bookkeeping: the tokens' units")
    clock.watch(alignment, "pad_completions", "bookkeeping: padding")
    clock.watch(alignment, "unit_masks", "bookkeeping: unit masks")
    clock.watch(credit, "trace_score", "bookkeeping: trace scores")
    clock.watch(credit, "advantages", "credit")


def time_steps(backbone, problems, settings, scratch) -> tuple[dict[str, StepTimes], float]:
    """Step times of the trainers in turns, and the padded over the real tokens of the head's batches."""
    clock = Clock()
    watch_functions(clock)
    times = {kind: StepTimes(clock) for kind in ("grpo", *sections(settings))}
    padded = real = 0
    for _ in range(ROUNDS):
        for kind, callback in times.items():
            trainer = make_trainer(kind, backbone, problems, settings, scratch)
            trainer.add_callback(callback)
            if kind != "grpo":
                watch_airl(clock, trainer)
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            if kind == "head":
                attention_BL = clock.results["bookkeeping: padding"][1]  # the turn's last batch of it
                padded += int((attention_BL == 0).sum())
                real += int(attention_BL.sum())
    return times, padded / real


def peak_memory(shared: bool, backbone: Path, settings: params.Params, scratch: Path) -> float:
    """Peak MiB of a process that trains the log-ratio for two steps, on one copy of the weights or on two."""
    problems = splits.make_splits(settings)["train"][:32]
    tree = settings.model_copy(
        update={"training": settings.training.model_copy(update={"shared_backbone": shared})}
    )
    section = settings.airl_variant("airl_practice").model_copy(
        update={
            "steps": 2,
            "warmup_steps": 1,
            "prompts_per_step": 2,
            "group_size": 2,
            "demonstrations": len(problems),
            "unlabelled_questions": 0,
            "likelihood_epochs": 0,
            "start": "base",
        }
    )
    train_airl(
        backbone, backbone, problems, [], section, settings=tree, sft_adapter=None, seed=0, output_dir=scratch
    )
    return runs.peak_memory_mib()


def compare_memory(tokenizer, settings: params.Params, directory: Path) -> dict[bool, float]:
    """`peak_memory` of both, each in a process of its own, on a backbone of 100 million parameters."""
    torch.manual_seed(0)
    scratch.build("qwen2", 1024, 8, 8, tokenizer).save_pretrained(directory / "large")
    tokenizer.save_pretrained(directory / "large")
    peaks = {}
    for shared in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peaks[shared] = pool.submit(
                peak_memory, shared, directory / "large", settings, directory / str(shared)
            ).result()
    return peaks


def time_sampling(model, tokenizer, problems, settings) -> tuple[float, float]:
    """Median seconds of `generation.generate` and of plain `generate`, 128 prompts in one batch."""
    prompts = chat.questions_ids(tokenizer, [p.question for p in problems[:128]])
    options = {
        "temperature": settings.sampling.temperature,
        "max_new_tokens": settings.sampling.max_new_tokens,
    }
    model.generation_config.suppress_tokens = [tokenizer.eos_token_id]

    def plain():
        batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        with torch.no_grad():
            model.generate(**batch, do_sample=True, top_k=0, **options)

    def ours():
        generation.generate(model, tokenizer, prompts, batch_size=128, **options)

    seconds = {ours: [], plain: []}
    for _ in range(6):
        for function, spent in seconds.items():
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return statistics.median(seconds[ours][1:]), statistics.median(seconds[plain][1:])


def largest_batches(model, tokenizer, backbone, problems, settings) -> None:
    """What else takes memory in the default study: pretraining the largest backbone, scoring samples."""
    largest = max(settings.backbones.values(), key=lambda shape: shape.hidden * shape.layers)
    corpus = settings.pretraining
    rng = random.Random(0)
    texts = world_texts(rng, settings.data.steps, corpus.malformed)
    batches = scratch.corpus(tokenizer, texts, rng, corpus.batch_size)
    big = scratch.build(**largest.model_dump(), tokenizer=tokenizer)
    scratch.pretrain(big, batches, 3, corpus.lr_matrices, corpus.lr_rest)
    rows = [problems[i % len(problems)] for i in range(settings.sampling.batch_size)]
    prompts = chat.questions_ids(tokenizer, [p.question for p in rows])
    completions = [[5] * settings.sampling.max_new_tokens for _ in rows]
    likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
    reward_model = discriminator.HeadDiscriminator.new(backbone, r=settings.airl.discriminator_r, alpha=2)
    asked = [p.question for p in rows], [p.trace for p in rows]
    recorded.score(reward_model, tokenizer, *asked, settings.airl, settings)


def main() -> None:
    logging.set_verbosity_error()
    settings = params.load()
    tokenizer = backbones.tokenizer(settings)
    problems = splits.make_splits(settings)["train"][:256]
    length = max(len(tokenizer(p.trace).input_ids) + 1 for p in problems)
    settings = settings.model_copy(
        update={
            "sampling": settings.sampling.model_copy(update={"max_new_tokens": length}),
            "training": settings.training.model_copy(update={"checkpoint_every": 0}),
        }
    )
    never_end(tokenizer.eos_token_id)
    shape = settings.backbone(settings.policies[0])
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as directory:
        backbone = Path(directory) / "backbone"
        scratch.build(**shape.model_dump(), tokenizer=tokenizer).save_pretrained(backbone)
        tokenizer.save_pretrained(backbone)
        times, padding = time_steps(backbone, problems, settings, Path(directory))
        model = AutoModelForCausalLM.from_pretrained(backbone)
        ours, plain = time_sampling(model, tokenizer, problems, settings)
        largest_batches(model, tokenizer, backbone, problems, settings)
        peak = runs.peak_memory_mib()
        memory = compare_memory(tokenizer, settings, Path(directory))

    steps = {kind: statistics.median(callback.steps) for kind, callback in times.items()}
    print(f"\n{shape}, {torch.get_num_threads()} thread(s)")
    print(f"{settings.airl.prompts_per_step} x {settings.airl.group_size} samples of {length} tokens a step")
    print(f"medians over {len(times['head'].steps)} steps of each trainer\n")
    limits = {"head": "1.8", "log-ratio, at rest": "1.6"}
    rows = [("GRPO step, seconds", steps["grpo"], "")]
    for kind in sections(settings):
        rows.append((f"AIRL step ({kind}), seconds", steps[kind], ""))
        rows.append((f"AIRL step ({kind}) / GRPO step", steps[kind] / steps["grpo"], limits.get(kind, "")))
    rows += [
        ("discriminator batch, padded / real tokens", padding, ""),
        ("sampling at batch 128, seconds", ours, ""),
        ("sampling / plain generate", ours / plain, "1.2"),
        ("peak memory, MiB", peak, "4096"),
        ("100 M parameters, two models: peak MiB", memory[False], ""),
        ("100 M parameters, one and two adapters", memory[True], ""),
    ]
    print(f"{'':48}{'measured':>10}{'limit':>8}")
    for name, value, limit in rows:
        print(f"{name:48}{value:10.2f}{limit:>8}{'  OVER' if limit and value > float(limit) else ''}")
    for kind in sections(settings):
        print_shares(kind, times[kind])


def print_shares(kind: str, times: StepTimes) -> None:
    """Where the time of a step goes."""
    print(f"\nmean share of an AIRL step ({kind})")
    total, parts = sum(times.steps), Counter()
    for step in times.parts:
        parts.update(step)
    parts["policy's step and the rest of GRPO"] = total - sum(parts.values())
    for name, seconds in parts.most_common():
        print(f"{name:48}{seconds / total:10.1%}")
    bookkeeping = sum(seconds for name, seconds in parts.items() if name.startswith("bookkeeping"))
    print(f"{'bookkeeping in all':48}{bookkeeping / total:10.1%}")


if __name__ == "__main__":
    main()
