"""Sampling and training of published weights against the plain way: `python -m tests.bench_weights`.

The models of `make weights`, on the world's questions. What is compared takes turns, so that other load
falls on both sides; tokens are those of questions and completions, however often they were read. Then the
memory that a step of the paper's reward peaks at, by how many completions are trained on at once.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib import runs
from lib.data import demonstrations
from lib.models import generation, likelihood, pretrained
from lib.schema import Lora, Pretrained
from lib.study import params
from lib.study.adversarial.training import train_airl
from lib.study.weights import PUBLISHED, WEIGHTS
from lib.text import alignment, chat
from tests import bench

QUESTIONS, GROUP, LENGTH = 8, 8, 100  # tokens of a completion
TURNS, PLAIN_ROWS = 3, 8  # rows that the plain step takes at once
STEP_LENGTH, AT_ONCE = 160, (2, 4, 8)  # of the step whose memory is measured: tokens, and rows at once
SPLITS = {"train": QUESTIONS, "demonstrations": 1, "validation": 1, "test": 1, "steps": [4], "test_long": 1,
          "long_steps": [5], "seed": 0}  # fmt: skip


def turns(*functions: Callable[[], int]) -> list[float]:
    """Median tokens a second of each function, which says how many tokens it read or wrote."""
    speeds: list[list[float]] = [[] for _ in functions]
    for turn in range(TURNS + 1):
        for function, found in zip(functions, speeds, strict=True):
            start = time.perf_counter()
            tokens = function()
            if turn:  # the first warms up
                found.append(tokens / (time.perf_counter() - start))
    return [statistics.median(found) for found in speeds]


def never_end(tokenizer) -> None:
    """From now on no sample draws an end token; Qwen's padding is one too."""
    for end in {tokenizer.eos_token_id, tokenizer.pad_token_id}:
        bench.never_end(end)


def compare_sampling(model, plain, tokenizer, prompts: list[list[int]]) -> list[float]:
    """Tokens a second of the study's sampling and of `generate`; no completion ends before its length."""
    never_end(tokenizer)
    for each in (model, plain):
        each.generation_config.eos_token_id = None

    def ours() -> int:
        written = generation.generate(
            model, tokenizer, prompts, temperature=1.0, max_new_tokens=LENGTH, batch_size=len(prompts)
        )
        return sum(map(len, written))

    def theirs() -> int:
        batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        with torch.no_grad():
            written = plain.generate(
                **batch, do_sample=True, top_k=0, max_new_tokens=LENGTH, min_new_tokens=LENGTH
            )
        return written.shape[0] * LENGTH

    return turns(ours, theirs)


def compare_training(model, plain, tokenizer, prompts: list[list[int]]) -> list[float]:
    """Tokens a second of log-probabilities and their gradients on adapters: the study's, and plain ones."""
    completions = [[7] * (LENGTH - 6 * (i % GROUP)) for i in range(len(prompts))]
    tokens = sum(map(len, prompts + completions))

    def ours() -> int:
        rows = alignment.pad_completions(tokenizer, prompts, completions)
        likelihood.of_tokens(model, *rows).log_probs_BT.sum().backward()
        return tokens

    def theirs() -> int:
        for start in range(0, len(prompts), PLAIN_ROWS):
            some = slice(start, start + PLAIN_ROWS)
            ids, mask, width = alignment.pad_completions(tokenizer, prompts[some], completions[some])
            logits = plain(ids, attention_mask=mask, logits_to_keep=width + 1).logits[:, :-1]
            logprobs = logits.float().log_softmax(-1).gather(-1, ids[:, -width:, None])[..., 0]
            (logprobs * mask[:, -width:]).sum().backward()
        return tokens

    return turns(ours, theirs)


def peak_of_a_step(directory: str, at_once: int, problems, scratch: Path) -> float:
    """GiB at which two steps of AIRL on `QUESTIONS` x `GROUP` completions peak, of a process of its own."""
    settings = params.validate(params.apply_profile("params.yaml", "qwen25_coder_05b"), "params.yaml")
    training = settings.training.model_copy(update={"micro_batch": at_once, "checkpoint_every": 0})
    sampling = settings.sampling.model_copy(update={"max_new_tokens": STEP_LENGTH})
    size = {"prompts_per_step": QUESTIONS, "group_size": GROUP, "demonstrations": QUESTIONS}
    short = {"steps": 2, "discriminator_steps": 2, "warmup_steps": 0, "unlabelled_questions": 0}
    section = settings.airl_variant("airl_dense").model_copy(update=size | short)
    never_end(AutoTokenizer.from_pretrained(directory))
    train_airl(
        directory,
        directory,
        problems,
        [],
        section,
        settings=settings.model_copy(update={"training": training, "sampling": sampling}),
        sft_adapter=None,
        seed=0,
        output_dir=scratch,
    )
    return runs.peak_memory_mib() / 1024


def measure(name: str, sha256: str, problems) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Pretrained(path=str(WEIGHTS), gguf=name, sha256=sha256, four_bit=False)
        pretrained.write_pretrained(directory, source)
        tokenizer = AutoTokenizer.from_pretrained(directory)
        path = pretrained.weights(directory)["pretrained_model_name_or_path"]
        adapter = pretrained.lora(Lora(r=16, alpha=32))
        models = (
            get_peft_model(pretrained.causal_lm(directory), adapter),
            get_peft_model(AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16), adapter),
        )
        asked = chat.questions_ids(tokenizer, [p.question for p in problems for _ in range(GROUP)])
        for what, compare in (("sampling", compare_sampling), ("training", compare_training)):
            ours, theirs = compare(*models, tokenizer, asked)
            print(f"{name:42s} {what:9s} {ours:7.0f} {theirs:7.0f} {ours / theirs:5.1f}", flush=True)
        del models
        for at_once in AT_ONCE:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                scratch = Path(directory) / f"step{at_once}"
                peak = pool.submit(peak_of_a_step, directory, at_once, problems, scratch).result()
            print(f"{name:42s} a step, {at_once} rows at once: {peak:.1f} GiB", flush=True)


def main() -> None:
    there = [p for p in PUBLISHED if (WEIGHTS / p.name).exists()]
    if not there:
        print(f"{WEIGHTS}/ has no published weights to measure; `make weights` puts them there")
        return
    problems = demonstrations.make_world_splits(**SPLITS)["train"]
    print(f"{'weights':42s} {'':9s} {'tok/s':>7s} {'plain':>7s} {'ratio':>5s}")
    for published in there:
        measure(published.name, published.sha256, problems)


if __name__ == "__main__":
    main()
