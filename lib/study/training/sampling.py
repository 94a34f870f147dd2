"""Samples N traces a question from a policy and describes each, once; every analysis reads the rows."""

from collections.abc import Callable

import numpy as np
from transformers import set_seed

from lib.data import reading, splits
from lib.data.demonstrations import Demonstration
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
    with_likelihoods: bool,
    first_wrong_unit: Callable[[str, str], int | None],
    system_prompt: str,
) -> list[dict]:
    """The rows of `samples.jsonl.xz`: n traces a problem, graded, if asked for with their log-probabilities.

    `first_wrong_unit(text, expert_trace)` judges a trace. Token-level values are kept for the
    first `token_records` problems only.
    """
    which, prompts, completions = _written(
        model, tokenizer, problems, n, temperature, max_new_tokens, batch_size, system_prompt
    )
    rows = []
    for (problem, sample), ids in zip(which, completions, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        trace = traces.parse(text)
        rows.append(
            {
                "problem": problem,
                "sample": sample,
                "text": text,
                "correct": answers.is_correct(trace.answer, problems[problem].answer),
                "well_formed": trace.well_formed,
                "first_wrong_unit": first_wrong_unit(text, problems[problem].trace),
                "n_tokens": len(ids),
            }
        )
    if with_likelihoods:
        values = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
        for row, ids, of_tokens in zip(rows, completions, values, strict=True):
            of_each = row["problem"] < token_records
            row |= _likelihoods(tokenizer, row["text"], ids, *of_tokens, of_each=of_each)
    return rows


def _likelihoods(tokenizer, text: str, ids, logprobs, entropies, *, of_each: bool) -> dict:
    """How likely a trace is, in all and by unit, and if asked for of each token."""
    ends = alignment.token_ends(tokenizer, ids)
    units, n_units = alignment.unit_of_token(text, ends), len(traces.unit_spans(text))
    found = {
        "logprob": round(sum(logprobs), 3),
        "unit_logprob": alignment.by_unit(units, logprobs, n_units, min),
        "unit_entropy": alignment.by_unit(units, entropies, n_units, max),
    }
    if of_each:
        found |= {
            "ends": ends,
            "logprobs": [round(v, 2) for v in logprobs],
            "entropies": [round(v, 2) for v in entropies],
        }
    return found


def sample(
    model,
    tokenizer,
    problems: list[Demonstration],
    settings: Params,
    *,
    n: int,
    token_records: int,
    with_likelihoods: bool,
) -> list[dict]:
    """Rows of `samples.jsonl.xz` for a policy on some problems, at `sampling.temperature`.

    Only the world can say where a trace goes wrong; of other data `first_wrong_unit` is always None.
    """
    in_world = settings.data.dataset == "world"
    return sample_rows(
        model,
        tokenizer,
        problems,
        n=n,
        temperature=settings.sampling.temperature,
        max_new_tokens=settings.sampling.max_new_tokens,
        batch_size=settings.sampling.batch_size,
        token_records=token_records,
        with_likelihoods=with_likelihoods,
        first_wrong_unit=reading.first_wrong_unit if in_world else lambda text, expert: None,
        system_prompt=settings.sampling.system_prompt,
    )


def answered(
    model, tokenizer, problems: list[Demonstration], n: int, temperature: float, settings: Params
) -> list[dict]:
    """n traces a problem at a temperature (0: greedily), each a row: problem, sample, text, correct."""
    how = settings.sampling
    asked, _, completions = _written(
        model, tokenizer, problems, n, temperature, how.max_new_tokens, how.batch_size, how.system_prompt
    )
    texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
    return [
        {
            "problem": problem,
            "sample": sample,
            "text": text,
            "correct": answers.is_correct(traces.parse(text).answer, problems[problem].answer),
        }
        for (problem, sample), text in zip(asked, texts, strict=True)
    ]


def _written(model, tokenizer, problems, n, temperature, max_new_tokens, batch_size, system_prompt):
    """Of n samples a problem the (problem, sample), the tokens of the prompt and those of the completion."""
    asked = [(problem, sample) for problem in range(len(problems)) for sample in range(n)]
    prompts = chat.questions_ids(tokenizer, [problems[p].question for p, _ in asked], system_prompt)
    completions = generation.generate(
        model,
        tokenizer,
        prompts,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    return asked, prompts, completions


def validate(model, tokenizer, seed: int, settings: Params) -> dict[str, float]:
    """How a policy does on the validation split, with `sampling.validation_n` samples a problem.

    `temperature` is the one of `sampling.temperatures` with the largest pass@1 (of equals the lowest);
    `pass_at_1_at_T` is that at T. Of the samples at `sampling.temperature`: `pass_at_1`, `majority` (of
    all of a problem's samples), `pass_at_n` and `well_formed`, the fraction of traces in the study's form.
    """
    set_seed(seed)
    n, problems = settings.sampling.validation_n, splits.split("validation")
    rows = {
        temperature: answered(model, tokenizer, problems, n, temperature, settings)
        for temperature in sorted(settings.sampling.temperatures)
    }
    pass_at_1 = {t: round(float(np.mean([row["correct"] for row in of])), 4) for t, of in rows.items()}
    best = max(pass_at_1, key=pass_at_1.get)
    return (
        summary(rows[settings.sampling.temperature], n)
        | {f"pass_at_1_at_{temperature:g}": value for temperature, value in pass_at_1.items()}
        | {"temperature": best, "pass_at_1_at_best": pass_at_1[best]}
    )


def summary(rows: list[dict], n: int) -> dict[str, float]:
    """pass@1, majority@n, pass@n and the fraction of well-formed traces, of n samples a problem."""
    codes_PN, correct_PN = codes_and_correct(rows, n)
    flat_PN = np.zeros(correct_PN.shape)
    majority_P = metrics.rerank_accuracy(
        "majority", n, codes_PN, correct_PN, flat_PN, flat_PN, n_subsets=1, seed=0
    )
    well_formed = [traces.parse(row["text"]).well_formed for row in rows]
    return {
        "pass_at_1": round(float(correct_PN.mean()), 4),
        "majority": round(float(majority_P.mean()), 4),
        "pass_at_n": round(float(correct_PN.any(axis=1).mean()), 4),
        "well_formed": round(float(np.mean(well_formed)), 4),
    }


def codes_and_correct(rows: list[dict], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Answer codes and correctness of sample rows, both of shape (problems, n)."""
    given = [traces.parse(row["text"]).answer for row in rows]
    codes_PN = metrics.answer_codes([given[i : i + n] for i in range(0, len(given), n)])
    return codes_PN, np.array([row["correct"] for row in rows]).reshape(-1, n)
