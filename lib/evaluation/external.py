"""The check of a reward on real text: solutions that others wrote and labelled."""

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import AutoTokenizer

from lib import runs
from lib.data import corpora
from lib.data.demonstrations import Demonstration
from lib.evaluation import first_errors, intervals, localisation, metrics, reward_quality
from lib.evaluation.first_errors import detector
from lib.evaluation.reranking import SUBSETS
from lib.evaluation.tables import SEED, estimate
from lib.evaluation.words import interval, paired, stands
from lib.models import pretrained
from lib.reward import recorded
from lib.schema import Airl, External, Params

SELECTORS = ("random", "majority", "shorter", "reward")
KEYS = ["name", "backbone", "variant", "detector"]
JUDGES = {
    "reward": "reward",
    "likelihood": "log-likelihood",
    "logprob": "least likely token",
    "entropy": "least certain token",
}  # by detector
COLUMNS = [*KEYS, "metric", "value", "chance_or_random", "ci_low", "ci_high", "n"]


def solutions(path: str | Path) -> list[dict]:
    """The labelled solutions of a file, as `corpora.labelled_solutions` reads them.

    Raises ValueError for a file that is missing or lacks correct or wrong solutions, and as it does.
    """
    if not Path(path).is_file():
        raise ValueError(
            f"{path}: no such file; name the file of labelled solutions in params.yaml, external"
        )
    rows = list(corpora.labelled_solutions(path))
    for kind, is_correct in (("correct", True), ("wrong", False)):
        if not any(row["is_correct"] == is_correct for row in rows):
            raise ValueError(
                f"{path}: no {kind} solutions; a line has question, trace (or steps) and is_correct, and a "
                "reward can be judged only where some are true and some are false"
            )
    return rows


def judge(
    asked: External, labelled: list[dict], experts: list[Demonstration], settings: Params
) -> list[dict]:
    """Rows of `score`, or of `score_by_policy` where `asked.variant` is a policy of `runs.JUDGED`, with whose
    they are, and where some first wrong unit is told with the `threshold` that `experts` choose."""
    run = {"backbone": asked.backbone, "variant": asked.variant, "seed": asked.seed}
    if asked.variant in runs.JUDGED:
        start = runs.backbone_dir(asked.backbone)
        adapter = None if asked.variant == "base" else runs.sft_adapter(asked.backbone, asked.seed)
        asks = pretrained.load_policy(start, adapter), AutoTokenizer.from_pretrained(start)
        detect = functools.partial(
            localisation.detect_by_likelihood, *asks, settings=settings, detectors=localisation.DOUBTS
        )
        rows = score_by_policy(*asks, labelled, settings)
    else:
        airl = settings.airl_variant(asked.variant)
        reward_model = recorded.load_discriminator(asked.backbone, asked.variant, asked.seed, settings)
        asks = reward_model, recorded.tokenizer(asked.backbone, airl, settings)
        detect = functools.partial(localisation.detect_by_reward, *asks, airl=airl, settings=settings)
        rows = score(*asks, labelled, airl, settings)
    if all(row["first_wrong_unit"] is None for row in labelled):
        return [run | row for row in rows]
    thresholds = localisation.thresholds_on_experts(detect, experts, settings.data.seed)
    return [run | {"threshold": round(thresholds[detector(row)], 4)} | row for row in rows]


def score(reward_model, tokenizer, labelled: list[dict], airl: Airl, settings: Params) -> list[dict]:
    """What a reward says of labelled solutions, in order, beside their labels.

    Rows of problem, sample, source, answer, is_correct, first_wrong_unit, `length` in characters, `reward`,
    and `unit_reward` (see `scoring.score_texts`).
    """
    questions, texts = ([row[key] for row in labelled] for key in ("question", "text"))
    scored = recorded.score(reward_model, tokenizer, questions, texts, airl, settings)
    return [
        _label(row) | {"reward": said["reward"], "unit_reward": said["unit_reward"]}
        for row, said in zip(labelled, scored, strict=True)
    ]


def score_by_policy(model, tokenizer, labelled: list[dict], settings: Params) -> list[dict]:
    """As `score`, of a policy itself, a row for each of `localisation.DOUBTS` as its `detector`.

    What stands for the reward falls over a unit by the doubt of it. Of a whole solution `likelihood` is the
    log-density, `logprob` and `entropy` are minus the largest doubt.
    """
    questions, texts = ([row[key] for row in labelled] for key in ("question", "text"))
    found = localisation.doubts(model, tokenizer, questions, texts, settings)
    return [
        _label(row)
        | {"detector": name, "reward": -round(sum(scores) if name == "likelihood" else max(scores), 3)}
        | {"unit_reward": [0.0, *np.round(-np.cumsum(scores), 3).tolist()]}
        for row, by_detector in zip(labelled, found, strict=True)
        for name, scores in by_detector.items()
    ]


def _label(row: dict) -> dict:
    kept = {key: value for key, value in row.items() if key not in ("question", "text")}
    return kept | {"length": len(row["text"])}


def check(name: str, rows: list[dict], n_resamples: int) -> pd.DataFrame:
    """How well a reward judges scored solutions: `COLUMNS`, a metric a row, intervals over problems.

    `rows` are those of `judge`; each detector of theirs is judged by itself. `auroc`: right against wrong, of
    n solutions. `auroc_within`: the same among the solutions of one problem, mean over the n problems that
    have both.
    `.._shorter`: what the shorter solution says in the reward's place, since harder problems have longer
    solutions and fewer right ones.
    `best_of_N_..`: how often the one of N solutions is right that is chosen at random, by majority, as the
    shortest, or by the reward, of n problems; N is the smallest number of solutions that a problem has, and a
    problem that has more counts by all its choices of N; of one there is no choice.
    `best_of_N_reward_above_..`: how much more often the reward's choice is right, paired by problem. A
    majority is judged only where an answer could be read; `unreadable` is the share of the n solutions
    where none could.
    `lowest_last`: that of `reward_quality`, of n wrong solutions; by chance, where any unit may be the one.
    And what `first_errors.check` finds.
    """
    of: dict[str, list[dict]] = {}
    for row in rows:
        of.setdefault(detector(row), []).append(row)
    checked = [_check(name, of_detector, n_resamples) for of_detector in of.values()]
    return pd.concat(checked, ignore_index=True)


def _check(name: str, rows: list[dict], n_resamples: int) -> pd.DataFrame:
    rows = [{**row, "shorter": -row["length"]} for row in rows]
    problems: dict[int, list[dict]] = {}
    for row in rows:
        problems.setdefault(row["problem"], []).append(row)
    found = []
    for score, suffix in (("reward", ""), ("shorter", "_shorter")):
        found.append((f"auroc{suffix}", _auroc(rows, score, n_resamples), 0.5, len(rows)))
        of_problems = [
            metrics.auroc([row[score] for row in samples], [row["is_correct"] for row in samples])
            for samples in problems.values()
        ]
        if within := [value for value in of_problems if not np.isnan(value)]:
            interval = intervals.mean_ci(within, n_resamples, SEED)
            found.append((f"auroc_within{suffix}", interval, 0.5, len(within)))
    n = min(len(samples) for samples in problems.values())
    unread = [row["answer"] is None for row in rows]
    selectors = [s for s in SELECTORS if s != "majority" or not all(unread)] if n > 1 else []
    accuracy = {s: [_accuracy(s, n, samples) for samples in problems.values()] for s in selectors}
    for selector, values in accuracy.items():
        chosen = intervals.mean_ci(values, n_resamples, SEED)
        found.append((f"best_of_{n}_{selector}", chosen, np.mean(accuracy["random"]), len(problems)))
    for other in [s for s in selectors if s != "reward"]:
        above = intervals.difference_ci(accuracy["reward"], accuracy[other], n_resamples, SEED)
        found.append((f"best_of_{n}_reward_above_{other}", above, np.nan, len(problems)))
    if any(unread):
        share = np.mean(unread)  # of this file, not an estimate
        found.append(("unreadable", (share, np.nan, np.nan), np.nan, len(rows)))
    if long := [row for row in rows if not row["is_correct"] and len(row["unit_reward"]) > 3]:
        frame = pd.DataFrame(long).assign(correct=False, seed=0)
        chance = np.mean([2 / (len(row["unit_reward"]) - 1) for row in long])
        found.append(("lowest_last", reward_quality.lowest_last(frame, n_resamples), chance, len(long)))
    found += first_errors.check(rows, n_resamples)
    key = {"name": name, "backbone": rows[0]["backbone"], "variant": rows[0]["variant"]}
    key |= {"detector": detector(rows[0])}
    table = [
        key | {"metric": metric, "chance_or_random": chance, "n": of} | estimate("value", values, first=True)
        for metric, values, chance, of in found
    ]
    return pd.DataFrame(table, columns=COLUMNS).round(4)


def _auroc(rows: list[dict], score: str, n_resamples: int) -> tuple[float, float, float]:
    frame = pd.DataFrame(rows)
    score_PN, correct_PN = (
        frame.pivot(index="problem", columns="sample", values=value) for value in (score, "is_correct")
    )
    scores_PN = score_PN.to_numpy(dtype=float)
    return intervals.auroc_ci(scores_PN[None], correct_PN.eq(True).to_numpy()[None], n_resamples, SEED)


def _accuracy(selector: str, n: int, samples: list[dict]) -> float:
    """Chance that a selector's choice among n of a problem's solutions is right."""
    codes_PN = metrics.answer_codes([[row["answer"] for row in samples]])
    score, by = ("shorter", "reward") if selector == "shorter" else ("reward", selector)
    correct_PN, scores_PN = (np.array([[row[key] for row in samples]]) for key in ("is_correct", score))
    return metrics.rerank_accuracy(
        by, n, codes_PN, correct_PN, scores_PN, scores_PN, n_subsets=SUBSETS, seed=SEED
    )[0]


def recorded_checks(results: str | Path) -> dict[str, list[dict]]:
    """The rows of each `external/NAME.jsonl.xz` under `results`, by NAME; other profiles' by PROFILE/NAME."""
    found = {}
    for path in sorted(Path(results).glob("**/external/*.jsonl.xz")):
        profile = path.relative_to(results).parts[:-2]
        found["/".join((*profile, path.name.split(".")[0]))] = runs.read_rows(path)
    return found


def table(scored: dict[str, list[dict]], n_resamples: int) -> pd.DataFrame:
    """The `check` of each of `recorded_checks`."""
    checked = [check(name, rows, n_resamples) for name, rows in scored.items()]
    return pd.concat(checked, ignore_index=True) if checked else pd.DataFrame(columns=COLUMNS)


def sentences(checked: pd.DataFrame) -> list[str]:
    """What a table of checks says: right from wrong, the choice of one solution, the first error."""
    said = []
    checked = checked.assign(n_seeds=1)
    for (name, backbone, variant, by), rows in checked.groupby(KEYS, sort=False):
        of = {row["metric"]: row for _, row in rows.iterrows()}
        reward = (
            f"the {JUDGES[by]} `{variant}` on {backbone}"
            if by == "reward"
            else (f"the {JUDGES[by]} of the policy `{variant}` on {backbone}")
        )
        said.append(f"On {name}, {reward} has an AUROC of {_beside_shorter(of, 'auroc')}.")
        if "auroc_within" in of:
            said.append(
                f"On {name}, among the solutions of one problem it has {_beside_shorter(of, 'auroc_within')}."
            )
        for metric in filter(re.compile(r"best_of_\d+_reward").fullmatch, of):
            n = metric.split("_")[2]
            than = {"random": "one at random", "majority": "the majority's", "shorter": "the shortest"}
            above = {what: of.get(f"{metric}_above_{other}") for other, what in than.items()}
            beside = [
                f"{stands(row, 'value')} {what} ({paired(row, 'value')})"
                for what, row in above.items()
                if row is not None
            ]
            right = f"right in {interval(of[metric], 'value')}"
            said.append(f"On {name}, its choice among {n} solutions is {right}: {', '.join(beside)}.")
        if "unreadable" in of:
            share, count = of["unreadable"][["value", "n"]]
            unread = f"On {name}, no answer could be read in {share:.1%} of {count} solutions"
            if any(metric.startswith("best_of") for metric in of):
                votes = "there is no majority" if share == 1 else "those have no vote in the majority"
                unread += f"; {votes}"
            unread += "."
            said += [unread] if unread not in said else []  # of each detector the same
        said += first_errors.sentences(name, of)
    return said


def _beside_shorter(of: dict[str, pd.Series], metric: str) -> str:
    ours, shorter = (interval(of[name], "value") for name in (metric, f"{metric}_shorter"))
    return f"{ours}; to call the shorter solution right has {shorter}"
