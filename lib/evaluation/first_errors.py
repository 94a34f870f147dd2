"""Where a reward says that solutions first go wrong, in the terms of ProcessBench: right ones are to pass."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.evaluation import intervals, metrics, pointing, tables
from lib.evaluation.records import Records
from lib.evaluation.tables import SEED
from lib.evaluation.words import interval
from lib.reward.falls import first_flag, reward_drops

ACCURACIES = ("accuracy_erroneous", "accuracy_correct", "f1")
FALSE_ALARMS = (
    "backbone variant threshold f1 ci_low ci_high accuracy_erroneous accuracy_erroneous_ci_low "
    "accuracy_erroneous_ci_high accuracy_correct accuracy_correct_ci_low accuracy_correct_ci_high "
    "n_wrong n_right n_seeds"
).split()
COLUMNS = ["backbone", "detector", "variant", "benchmark", "threshold", *ACCURACIES, "n", "ci_low", "ci_high"]


def detector(row: dict) -> str:
    """What a row of `external.judge` is of; that of a reward does not say."""
    return row.get("detector", "reward")


def check(rows: list[dict], n_resamples: int) -> Iterator[tuple[str, tuple[float, float, float], float, int]]:
    """How well a reward finds first wrong units: metric, value with its interval over problems, chance, n.

    `rows` are those of `external.score`; without a told first wrong unit there is nothing to find.
    `first_error`: how often the reward falls most over that unit, of n wrong solutions; chance names any.
    Where the rows have a `threshold` and some are right, those of `pointing.first_error_accuracy`, with the
    first fall above it; chance names any unit or none. A right solution of which nothing is told has no
    error.
    """
    rows = [{**row, "falls": reward_drops(row["unit_reward"]), "truth": _truth(row)} for row in rows]
    wrong = [row for row in rows if row["truth"] is not None and row["truth"] >= 0]
    if not wrong:
        return
    falls = [row["falls"] for row in wrong]
    of_one_seed = pd.DataFrame(wrong)[["problem"]].assign(seed=0)
    hits, by_chance = (
        tables.of_traces(of_one_seed, values, n_resamples)
        for values in (
            pointing.localisation_hits(falls, [row["truth"] for row in wrong]),
            pointing.chance(falls),
        )
    )
    yield "first_error", hits, by_chance[0], len(wrong)
    right = [row for row in rows if row["truth"] == -1]
    if right and rows[0].get("threshold") is not None:
        yield from _accuracies(wrong, right, n_resamples)


def _truth(row: dict) -> int | None:
    """A row's first wrong unit, -1 where it has none, None where that is not told."""
    told = row["first_wrong_unit"]
    return -1 if told is None and row["is_correct"] else told


def _accuracies(wrong: list[dict], right: list[dict], n_resamples: int) -> Iterator[tuple]:
    frame = pd.DataFrame(
        {**row, "seed": 0, "flag": first_flag(row["falls"], row["threshold"])} for row in [*wrong, *right]
    )
    chances = [np.mean([1 / len(row["unit_reward"]) for row in kind]) for kind in (wrong, right)]
    chances.append(2 / (1 / chances[0] + 1 / chances[1]))
    counts = (len(wrong), len(right), len(frame))
    yield from zip(ACCURACIES, _with_intervals(frame, n_resamples), chances, counts, strict=True)


def _with_intervals(frame: pd.DataFrame, n_resamples: int) -> list[tuple[float, float, float]]:
    """`ACCURACIES` of rows of seed, problem, flag and truth."""
    hit, wrong = frame["flag"] == frame["truth"], frame["truth"] >= 0
    counted = {"hit_wrong": hit & wrong, "wrong": wrong, "hit_right": hit & ~wrong, "right": ~wrong}
    of_each = frame[["seed", "problem"]].assign(**counted).groupby(["seed", "problem"]).sum()
    every = pd.MultiIndex.from_product(of_each.index.levels)
    counts_SPK = of_each.reindex(every, fill_value=0).to_numpy(float).reshape(*every.levshape, len(counted))
    return [
        intervals.sums_ci(accuracy, counts_SPK, n_resamples, SEED, intervals.FRACTION)
        for accuracy in (_of_wrong, _of_right, _f1)
    ]


def _of_wrong(counts: np.ndarray) -> np.ndarray:
    return metrics.ratio(counts[..., :2])


def _of_right(counts: np.ndarray) -> np.ndarray:
    return metrics.ratio(counts[..., 2:])


def _f1(counts: np.ndarray) -> np.ndarray:
    """The harmonic mean of both; 0 where both are."""
    wrong, right = _of_wrong(counts), _of_right(counts)
    total = wrong + right
    return np.divide(2 * wrong * right, total, out=total.copy(), where=total != 0)


def false_alarms(records: Records, n_resamples: int) -> pd.DataFrame:
    """Rewards as detectors of first errors among the base policy's samples, right ones too.

    `FALSE_ALARMS`: the interval without a prefix is that of `f1`; n_wrong and n_right are a seed's.
    A right sample has a right answer and no wrong unit, and is passed where no fall of the reward is above
    the threshold. The thresholds are those of `tables.localisation`, chosen among wrong traces alone. Samples
    whose rewards are kept only at their ends are left out. Empty where the base policy is never right.
    """
    scores, located = tables.on_base(records), records.localisation
    right = scores[scores["unit_reward"].notna() & scores["correct"] & scores["first_wrong_unit"].isna()]
    wrong = located[
        (located["source"] == "policy") & (located["policy"] == "base") & (located["detector"] == "reward")
    ]
    right = right[right["sample"] <= wrong["sample"].max()]  # of some problems more samples keep their units
    keys, rows = ["backbone", "variant", "seed"], []
    levels = wrong.drop_duplicates(keys)[[*keys, "thresholds"]]
    right = right.merge(levels, on=keys).assign(
        unit_scores=lambda of: [reward_drops(units).round(3) for units in of["unit_reward"]],
        first_wrong_unit=-1,
    )
    for key, kept in tables.groups(right, "backbone", "variant"):
        of_both = pd.concat([tables.matching(wrong, key), kept])
        for threshold in kept["thresholds"].iloc[0]:
            flags = [
                first_flag(scores, of[threshold])
                for scores, of in zip(of_both["unit_scores"], of_both["thresholds"], strict=True)
            ]
            judged = of_both.assign(flag=flags, truth=of_both["first_wrong_unit"])
            row = key | {"threshold": threshold}
            for name, values in zip(ACCURACIES, _with_intervals(judged, n_resamples), strict=True):
                row |= tables.estimate(name, values, first=name == "f1")
            of_seed = judged[judged["seed"] == judged["seed"].iloc[0]]["truth"]
            row |= {"n_wrong": (of_seed >= 0).sum(), "n_right": (of_seed < 0).sum()}
            rows.append(row | tables.n_seeds(kept))
    return pd.DataFrame(rows, columns=FALSE_ALARMS).round(4)


def table(scored: dict[str, list[dict]], checked: pd.DataFrame) -> pd.DataFrame:
    """The rows of `external.table`, of the same `scored`, that have a threshold, one a benchmark: `COLUMNS`.

    The interval is that of `f1`; n is the number of solutions that it is of.
    """
    rows = []
    for name, solutions in scored.items():
        thresholds = {detector(row): row.get("threshold") for row in solutions}
        for key, found in tables.groups(checked[checked["name"] == name], "backbone", "detector", "variant"):
            of = found.set_index("metric")
            if "f1" in of.index:
                key |= {"benchmark": name, "threshold": thresholds[key["detector"]], "n": of["n"]["f1"]}
                rows.append(key | of["value"].to_dict() | of.loc["f1", ["ci_low", "ci_high"]].to_dict())
    return pd.DataFrame(rows, columns=COLUMNS).round(4)


def sentences(name: str, of: dict[str, pd.Series]) -> Iterator[str]:
    """What the rows of a check, by metric, say of first errors."""
    if "first_error" in of:
        error = of["first_error"]
        yield (
            f"On {name}, it falls most over the first wrong step in {interval(error, 'value')} of "
            f"{error['n']} solutions; by chance it would in {error['chance_or_random']:.2f}."
        )
    if "f1" in of:
        wrong, right, f1 = (of[metric] for metric in ACCURACIES)
        yield (
            f"On {name}, by a threshold chosen on perturbed experts, it names the first wrong step of "
            f"{wrong['value']:.2f} of {wrong['n']} wrong solutions, and none in {right['value']:.2f} of "
            f"{right['n']} right ones: F1 {interval(f1, 'value')}, by chance {f1['chance_or_random']:.2f}."
        )
