"""What a trained reward says of recorded traces; each pair of reward and trace is scored once."""

import random
from pathlib import Path

from lib import discriminator, equations, metrics, perturb, runs, sampling, study, traces
from lib.demonstrations import Demonstration
from lib.schema import Airl, Params


def load_discriminator(backbone: str, method: str, seed: int, settings: Params):
    """The discriminator of an AIRL run."""
    airl = settings.airl_variant(method)
    start = study.backbone_dir(discriminator_backbone(airl, backbone))
    return discriminator.PARAMETERISATIONS[airl.parameterisation].load(
        start, study.run_dir(backbone, method, seed) / "discriminator"
    )


def discriminator_backbone(airl: Airl, backbone: str) -> str:
    """The backbone the discriminator starts from, by default the policy's own."""
    return backbone if airl.discriminator == "same" else airl.discriminator


def score(reward_model, tokenizer, questions: list[str], texts: list[str], airl: Airl, settings: Params):
    """`discriminator.score` of traces, in order, with the reward's own boundaries and discount."""
    return discriminator.score(
        reward_model,
        tokenizer,
        [sampling.prompt_text(tokenizer, question) for question in questions],
        texts,
        reward=airl.reward,
        boundaries=airl.boundaries,
        interval=airl.interval,
        gamma=airl.score_gamma,
        batch_size=settings.sampling.batch_size,
    )


def score_samples(
    reward_model, tokenizer, problems: list[Demonstration], rows: list[dict], airl: Airl, settings: Params
) -> list[dict]:
    """Rewards of sample rows; token rewards are kept for the first `token_records` problems."""
    questions = [problems[row["problem"]].question for row in rows]
    scored = score(reward_model, tokenizer, questions, [row["text"] for row in rows], airl, settings)
    result = []
    for row, rewards in zip(rows, scored, strict=True):
        if row["problem"] >= settings.evaluation.token_records:
            rewards = {key: value for key, value in rewards.items() if key != "rewards"}
        result.append({"problem": row["problem"], "sample": row["sample"], **rewards})
    return result


def wrong_traces(problems: list[Demonstration], rows: list[dict], seed: int) -> list[dict]:
    """Two near misses of each problem's expert, and the wrong ones of a policy's samples.

    Each has its first wrong unit and a `kind`: the near miss's rule, or `error_kind`.
    """
    rng, wrong = random.Random(seed), []
    for i, problem in enumerate(problems):
        near_misses = perturb.perturb(problem.question, problem.trace, rng, 2, perturb.SETS["all"])
        for j, near_miss in enumerate(near_misses):
            ends = [end for _, end in traces.unit_spans(near_miss.text)]
            unit = next(u for u, end in enumerate(ends) if near_miss.start < end)
            where = {"source": "perturbed", "kind": near_miss.kind, "problem": i, "sample": j}
            wrong.append({**where, "text": near_miss.text, "first_wrong_unit": unit})
    for row in rows:
        if row["first_wrong_unit"] is not None:
            kept = {key: row[key] for key in ("problem", "sample", "text", "first_wrong_unit")}
            wrong.append(
                {"source": "policy", "kind": error_kind(row["text"], row["first_wrong_unit"]), **kept}
            )
    return wrong


def error_kind(text: str, unit: int) -> str:
    """What is wrong with a wrong unit: "arithmetic" if its equation is false, "misreading" if it holds,
    "answer" if it is the last unit, "malformed" if it is a step without an equation."""
    spans = traces.unit_spans(text)
    if unit == len(spans) - 1:
        return "answer"
    found = equations.find(text[slice(*spans[unit])])
    if not found:
        return "malformed"
    holds = equations.value(found[0].expression) == equations.value(found[0].result)
    return "misreading" if holds else "arithmetic"


def detect_by_reward(
    reward_model, tokenizer, problems: list[Demonstration], wrong: list[dict], airl: Airl, settings: Params
) -> list[dict]:
    """Rows of detector `reward`: a unit's score is the drop of f over it."""
    questions = [problems[trace["problem"]].question for trace in wrong]
    scored = score(reward_model, tokenizer, questions, [trace["text"] for trace in wrong], airl, settings)
    return [
        {
            **trace,
            "detector": "reward",
            "unit_scores": [round(d, 3) for d in metrics.reward_drops(s["unit_reward"])],
        }
        for trace, s in zip(wrong, scored, strict=True)
    ]


def detect_by_likelihood(
    model, tokenizer, problems: list[Demonstration], wrong: list[dict], settings: Params
) -> list[dict]:
    """Rows of the detectors `logprob` (least likely token) and `entropy` (least certain one) of a policy."""
    prompts = [sampling.prompt_text(tokenizer, problems[trace["problem"]].question) for trace in wrong]
    completions = [
        [*tokenizer(trace["text"], add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        for trace in wrong
    ]
    values = sampling.logprobs_and_entropies(
        model, tokenizer, prompts, completions, batch_size=settings.sampling.batch_size
    )
    rows = []
    for trace, ids, (logprobs, entropies) in zip(wrong, completions, values, strict=True):
        units = sampling.units_of_tokens(tokenizer, ids)
        n_units = len(traces.unit_spans(trace["text"]))
        least_likely = [-v for v in sampling.by_unit(units, logprobs, n_units, min)]
        least_certain = sampling.by_unit(units, entropies, n_units, max)
        rows.append({**trace, "detector": "logprob", "unit_scores": least_likely})
        rows.append({**trace, "detector": "entropy", "unit_scores": least_certain})
    return rows


def write_scores(name: str, rows: list[dict]) -> None:
    """Write `results/scores/<name>.jsonl.gz`; `name` begins with the backbone."""
    runs.write_rows(Path(study.RESULTS / "scores" / f"{name}.jsonl.gz"), rows)


def write_localisation(name: str, rows: list[dict]) -> None:
    """Write `results/localisation/<name>.jsonl.gz`; `name` begins with the backbone."""
    runs.write_rows(Path(study.RESULTS / "localisation" / f"{name}.jsonl.gz"), rows)
