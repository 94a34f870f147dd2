"""Where a detector says that a trace goes wrong: the wrong traces, the detectors, their thresholds.

A detector scores each unit of a trace and points at the first whose score is above its threshold, or at the
largest where none is. The largest alone would miss the first of two errors.
"""

import random
from collections.abc import Callable, Iterable, Sequence

from lib.data.demonstrations import Demonstration
from lib.evaluation import pointing
from lib.grading import equations
from lib.models import likelihood
from lib.reward import recorded
from lib.reward.falls import reward_drops
from lib.schema import Airl, Params
from lib.text import alignment, chat, perturb, traces

DOUBTS = ("likelihood", "logprob", "entropy")  # of a policy itself, see `doubts`


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
    model,
    tokenizer,
    problems: list[Demonstration],
    wrong: list[dict],
    settings: Params,
    detectors: Iterable[str] = ("logprob", "entropy"),
) -> list[dict]:
    """Rows of some of a policy's own `doubts`."""
    questions = [problems[trace["problem"]].question for trace in wrong]
    found = doubts(model, tokenizer, questions, [trace["text"] for trace in wrong], settings)
    return [
        {**trace, "detector": name, "unit_scores": scores[name]}
        for trace, scores in zip(wrong, found, strict=True)
        for name in detectors
    ]


def doubts(
    model, tokenizer, questions: Sequence[str], texts: Sequence[str], settings: Params
) -> list[dict[str, list[float]]]:
    """How much a policy doubts each unit of traces, nats, by `DOUBTS`: how unlikely all tokens of it are
    together, how unlikely the least likely one is, how uncertain the least certain one."""
    prompts = chat.questions_ids(tokenizer, list(questions), settings.sampling.system_prompt)
    completions, _ = chat.completions(tokenizer, list(texts))
    values = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
    found = []
    for text, ids, (logprobs, entropies) in zip(texts, completions, values, strict=True):
        of = alignment.units_of_tokens(tokenizer, ids), len(traces.unit_spans(text))
        surprise = [-v for v in logprobs]
        by_detector = ((surprise, _sum), (surprise, max), (entropies, max))
        scores = [alignment.by_unit(of[0], of_tokens, of[1], reduce) for of_tokens, reduce in by_detector]
        found.append(dict(zip(DOUBTS, scores, strict=True)))
    return found


def _sum(values: Iterable[float], default: float) -> float:
    return sum(values, default)


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


def thresholds_on_experts(
    detect: Callable[[list[Demonstration], list[dict]], list[dict]],
    problems: list[Demonstration],
    seed: int,
) -> dict[str, float]:
    """The threshold of each detector of `detect` that best tells where experts' near misses go wrong and that
    the experts do not: of the largest F1. Raises ValueError if no expert has a near miss."""
    experts = [problem for problem in problems if problem.n_steps]
    known = wrong_traces(experts, [], seed)
    if not known:
        raise ValueError("localisation: no expert's trace has a near miss; a threshold needs some")
    known += [{"problem": i, "text": row.trace, "first_wrong_unit": -1} for i, row in enumerate(experts)]
    found: dict[str, list[dict]] = {}
    for row in detect(experts, known):
        found.setdefault(row["detector"], []).append(row)
    return {
        name: pointing.best_f1_threshold([r["unit_scores"] for r in of], [r["first_wrong_unit"] for r in of])
        for name, of in found.items()
    }
