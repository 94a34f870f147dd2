"""Samples N traces a question from a policy and describes each, once; every analysis reads the rows."""

from collections.abc import Callable

import numpy as np
from transformers import set_seed

from lib.data import splits
from lib.data.demonstrations import Demonstration
from lib.data.worlds import WORLDS
from lib.evaluation import metrics
from lib.grading import answers
from lib.models import generation, likelihood
from lib.schema import Params
from lib.text import alignment, chat, traces


def sample_rows(
    model,
    tokenizer,
    problems: list[Demonstration],
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    token_records: int,
    first_wrong_unit: Callable[[str, str], int | None],
    system_prompt: str,
) -> list[dict]:
    """The rows of `samples.jsonl.gz`: n traces a problem, graded, with their log-probabilities.

    `first_wrong_unit(text, expert_trace)` judges a trace. Token-level values are kept for the
    first `token_records` problems only.
    """
    which = [(problem, sample) for problem in range(len(problems)) for sample in range(n)]
    prompts = chat.questions_ids(tokenizer, [problems[p].question for p, _ in which], system_prompt)
    completions = generation.generate(
        model,
        tokenizer,
        prompts,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    values = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions, batch_size=batch_size)
    rows = []
    for (problem, sample), ids, (logprobs, entropies) in zip(which, completions, values, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        trace = traces.parse(text)
        ends = alignment.token_ends(tokenizer, ids)
        units, n_units = alignment.unit_of_token(text, ends), len(traces.unit_spans(text))
        row = {
            "problem": problem,
            "sample": sample,
            "text": text,
            "correct": answers.is_correct(trace.answer, problems[problem].answer),
            "well_formed": trace.well_formed,
            "first_wrong_unit": first_wrong_unit(text, problems[problem].trace),
            "n_tokens": len(ids),
            "logprob": round(sum(logprobs), 3),
            "unit_logprob": alignment.by_unit(units, logprobs, n_units, min),
            "unit_entropy": alignment.by_unit(units, entropies, n_units, max),
        }
        if problem < token_records:
            row |= {
                "ends": ends,
                "logprobs": [round(v, 2) for v in logprobs],
                "entropies": [round(v, 2) for v in entropies],
            }
        rows.append(row)
    return rows


def sample(model, tokenizer, problems: list[Demonstration], settings: Params) -> list[dict]:
    """Rows of `samples.jsonl.gz` for a policy on some problems.

    Only the world can say where a trace goes wrong; of other data `first_wrong_unit` is always None.
    """
    world = WORLDS.get(settings.data.dataset)
    return sample_rows(
        model,
        tokenizer,
        problems,
        n=settings.sampling.n,
        temperature=settings.sampling.temperature,
        max_new_tokens=settings.sampling.max_new_tokens,
        batch_size=settings.sampling.batch_size,
        token_records=settings.evaluation.token_records,
        first_wrong_unit=world.first_wrong_unit if world else lambda text, expert: None,
        system_prompt=settings.sampling.system_prompt,
    )


def summary(rows: list[dict], settings: Params) -> dict[str, float]:
    """pass@1, majority@n, pass@n and the fraction of well-formed traces, of n samples a problem."""
    n = settings.sampling.n
    codes_PN, correct_PN = codes_and_correct(rows, n)
    flat_PN = np.zeros(correct_PN.shape)
    majority_P = metrics.rerank_accuracy(
        "majority", n, codes_PN, correct_PN, flat_PN, flat_PN, n_subsets=1, seed=0
    )
    return {
        "pass_at_1": round(float(correct_PN.mean()), 4),
        "majority": round(float(majority_P.mean()), 4),
        "pass_at_n": round(float(correct_PN.any(axis=1).mean()), 4),
        "well_formed": round(sum(row["well_formed"] for row in rows) / len(rows), 4),
    }


def codes_and_correct(rows: list[dict], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Answer codes and correctness of sample rows, both of shape (problems, n)."""
    given = [traces.parse(row["text"]).answer for row in rows]
    codes_PN = metrics.answer_codes([given[i : i + n] for i in range(0, len(given), n)])
    return codes_PN, np.array([row["correct"] for row in rows]).reshape(-1, n)


def validate(trained, seed: int, settings: Params) -> dict[str, float]:
    """The `summary` of a trained policy on the validation split."""
    set_seed(seed)
    return summary(sample(trained.model, trained.tokenizer, splits.split("validation"), settings), settings)
