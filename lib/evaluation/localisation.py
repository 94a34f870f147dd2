"""Where a detector says that a trace goes wrong: the wrong traces, the detectors, their thresholds.

A detector scores each unit of a trace and points at the first whose score is above its threshold, or at the
largest where none is. The largest alone would miss the first of two errors.
"""

import random

from lib.data.demonstrations import Demonstration
from lib.evaluation import pointing
from lib.grading import equations
from lib.models import likelihood
from lib.reward import recorded
from lib.reward.falls import reward_drops
from lib.schema import Airl, Params
from lib.text import alignment, chat, perturb, traces


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
    scored = recorded.score(
        reward_model, tokenizer, questions, [trace["text"] for trace in wrong], airl, settings
    )
    return [
        {
            **trace,
            "detector": "reward",
            "unit_scores": [round(d, 3) for d in reward_drops(s["unit_reward"])],
        }
        for trace, s in zip(wrong, scored, strict=True)
    ]


def detect_by_likelihood(
    model, tokenizer, problems: list[Demonstration], wrong: list[dict], settings: Params
) -> list[dict]:
    """Rows of the detectors `logprob` (least likely token) and `entropy` (least certain one) of a policy."""
    questions = [problems[trace["problem"]].question for trace in wrong]
    prompts = chat.questions_ids(tokenizer, questions, settings.sampling.system_prompt)
    completions, _ = chat.completions(tokenizer, [trace["text"] for trace in wrong])
    values = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
    rows = []
    for trace, ids, (logprobs, entropies) in zip(wrong, completions, values, strict=True):
        units = alignment.units_of_tokens(tokenizer, ids)
        n_units = len(traces.unit_spans(trace["text"]))
        least_likely = [-v for v in alignment.by_unit(units, logprobs, n_units, min)]
        least_certain = alignment.by_unit(units, entropies, n_units, max)
        rows.append({**trace, "detector": "logprob", "unit_scores": least_likely})
        rows.append({**trace, "detector": "entropy", "unit_scores": least_certain})
    return rows


def calibrated(rows: list[dict], known: list[dict]) -> list[dict]:
    """`rows`, wrong traces, with the `thresholds` of their detector, each the best on some `known` errors.

    `perturbed`: those of experts that a rule struck, which take no label. `oracle`, of a policy's own errors
    alone: labelled ones of its own. Raises ValueError if none is known of a detector and source.
    """
    shown: dict[tuple[str, str], list[dict]] = {}
    for row in known:
        shown.setdefault((row["detector"], row["source"]), []).append(row)
    thresholds = {
        key: pointing.best_threshold([r["unit_scores"] for r in of], [r["first_wrong_unit"] for r in of])
        for key, of in shown.items()
    }
    names = {"perturbed": ("perturbed",), "policy": ("perturbed", "oracle")}
    result = []
    for row in rows:
        of_row = {}
        for name in names[row["source"]]:
            key = row["detector"], "policy" if name == "oracle" else "perturbed"
            if key not in thresholds:
                raise ValueError(
                    f"localisation: no known errors of source {key[1]!r} for detector {key[0]!r}"
                )
            of_row[name] = round(thresholds[key], 4)
        result.append({**row, "thresholds": of_row})
    return result


def threshold_on_experts(
    reward_model, tokenizer, problems: list[Demonstration], airl: Airl, settings: Params
) -> float:
    """The threshold of detector `reward` that best tells where experts' near misses go wrong and that the
    experts do not: of the largest F1. Raises ValueError if no expert has a near miss."""
    experts = [problem for problem in problems if problem.n_steps]
    known = wrong_traces(experts, [], settings.data.seed)
    if not known:
        raise ValueError("localisation: no expert's trace has a near miss; a threshold needs some")
    known += [{"problem": i, "text": row.trace, "first_wrong_unit": -1} for i, row in enumerate(experts)]
    rows = detect_by_reward(reward_model, tokenizer, experts, known, airl, settings)
    return pointing.best_f1_threshold(
        [row["unit_scores"] for row in rows], [row["first_wrong_unit"] for row in rows]
    )
