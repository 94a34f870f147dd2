"""Sampling and training of published weights against the plain way: `python -m tests.bench_weights`.

The models of `make weights`, on the world's questions. What is compared takes turns, so that other load
falls on both sides; tokens are those of questions and completions, however often they were read.
"""

import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.data import demonstrations
from lib.models import generation, likelihood, pretrained
from lib.schema import Lora, Pretrained
from lib.study.weights import PUBLISHED, WEIGHTS
from lib.text import alignment, chat

QUESTIONS, GROUP, LENGTH = 8, 8, 100  # tokens of a completion
TURNS, PLAIN_ROWS = 3, 8  # rows that the plain step takes at once
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


def compare_sampling(model, plain, tokenizer, prompts: list[list[int]]) -> list[float]:
    """Tokens a second of the study's sampling and of `generate`; no completion ends before its length."""
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
