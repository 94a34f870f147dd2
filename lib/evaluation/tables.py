"""The study's tables, computed from the run records alone; no model is loaded.

Every estimate comes with a 95% interval over problems and seeds (`ci_low`, `ci_high`; `intervals` says
how) and the number of seeds. A second estimate in a row has its own columns, e.g. `auroc_ci_low`. An
undefined one, such as the AUROC of traces that are all right, is left empty.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from lib import files, runs
from lib.evaluation import baselines, intervals, metrics, pointing
from lib.evaluation.records import Records, grid
from lib.reward.falls import first_above

MAIN_VARIANT = "airl"  # its reward judges the samples of policies that have none of their own
PRACTICE, TWIN = "airl_practice", "airl_updated"  # the second with a discriminator that learns on
EQUAL_WEIGHTS, NO_STRANGER = "vote", "one_backbone"  # ablations of the main variant
TRACE_COLUMNS = ["reward", "correct", "well_formed", "logprob", "n_tokens"]
TEMPERATURES = ("validation", "greedy", "1.0")  # the first is the headline's
PAPER_VARIANT = "airl_dense"
LONGER = "airl_dense_300"  # the paper's in more steps
PAPER_VARIANTS = (PAPER_VARIANT, LONGER, "airl_no_perturbation", "airl_step", "airl_interval")
SEED = 0  # of the resamples
UNDEFINED = (float("nan"),) * 3  # an estimate and its interval


def groups(frame: pd.DataFrame, *columns: str) -> Iterable[tuple[dict, pd.DataFrame]]:
    """The rows of each combination of values, in the frame's order."""
    for values, rows in frame.groupby(list(columns), sort=False):
        yield dict(zip(columns, values, strict=True)), rows


def matching(frame: pd.DataFrame, values: dict) -> pd.DataFrame:
    """The rows that have these values, by column."""
    return frame[(frame[list(values)] == pd.Series(values)).all(axis=1)]


def by_backbone(table: pd.DataFrame, **values) -> dict[str, pd.Series]:
    """The row with these values of each backbone that has one."""
    return {row["backbone"]: row for _, row in matching(table, values).iterrows()}


def estimate(name: str, interval: tuple[float, float, float], first: bool = False) -> dict:
    """The columns of an estimate: the row's first has the plain names of the interval's."""
    prefix = "" if first else f"{name}_"
    return dict(zip((name, f"{prefix}ci_low", f"{prefix}ci_high"), interval, strict=True))


def of_defined(values_SP: np.ndarray, n_resamples: int) -> tuple[float, float, float]:
    """`intervals.mean_ci`; `UNDEFINED` where no value is defined."""
    return UNDEFINED if np.isnan(values_SP).all() else intervals.mean_ci(values_SP, n_resamples, SEED)


def headline(main: pd.DataFrame, quality: pd.DataFrame, located: pd.DataFrame) -> dict:
    """One number of each use of a reward, from the tables of `main`, `reward_quality` and `localisation`:
    by what it measures, backbone, and method of `main`. An undefined one is left out."""
    one = main[main["k"] == 1]
    of_reward = located["detector"].isin(["reward", "likelihood"]) & (located["threshold"] == "perturbed")
    own_errors = located[of_reward & (located["error_source"] == "policy") & (located["policy"] == "base")]
    chosen = {
        "pass@1": (one[one["temperature"] == "validation"], "method", "pass_at_k"),
        "pass@1, greedily": (one[one["temperature"] == "greedy"], "method", "pass_at_k"),
        "reward AUROC within problems": (quality, "variant", "auroc_within"),
        "best of all samples": (quality, "variant", "reranked"),
        "first wrong step found": (own_errors, "variant", "hit_at_1"),
    }
    return {
        name: {
            backbone: rows[rows[by].isin(main["method"])].set_index(by)[column].dropna().to_dict()
            for backbone, rows in table.groupby("backbone")
        }
        for name, (table, by, column) in chosen.items()
    }


def write(table: pd.DataFrame, name: str, directory: str | Path) -> None:
    """Write `name`.csv with four decimals, whole or not at all."""
    with files.new_file(Path(directory) / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")


def read(name: str, directory: str | Path) -> pd.DataFrame:
    """The table that `write` wrote; what has no reward has "" as its variant.

    Raises ValueError naming a missing one.
    """
    table = pd.read_csv(runs.require(Path(directory) / f"{name}.csv"))
    return table.assign(variant=table["variant"].astype(object).fillna("")) if "variant" in table else table


def without(records: Records, variants: Iterable[str]) -> Records:
    """The records less what some rewards say, such as those of ablations, which have fewer seeds."""
    scores, located = (
        of[~of["variant"].isin(list(variants))] for of in (records.scores, records.localisation)
    )
    return records._replace(scores=scores, localisation=located)


# --- policies ---


def at_temperatures(records: Records) -> pd.DataFrame:
    """The graded test samples of every policy at all temperatures: `1.0`, the samples that rewards judge,
    beside `validation`, the one that validation prefers for the policy, and `greedy`."""
    trained = records.samples.assign(temperature="1.0")
    return pd.concat([records.tempered, trained[records.tempered.columns]], ignore_index=True)


def main(records: Records, methods: Iterable[str], ks: Iterable[int], n_resamples: int) -> pd.DataFrame:
    """pass@k of the listed methods: backbone, method, temperature, k, pass_at_k, ci_low, ci_high, n_seeds."""
    samples = at_temperatures(records)
    samples = samples[samples["method"].isin(list(methods))]
    order = {name: i for i, name in enumerate(TEMPERATURES)}
    samples = samples.sort_values("temperature", key=lambda column: column.map(order), kind="stable")
    table = []
    for key, rows in groups(samples, "temperature", "backbone", "method"):
        correct_SPN = grid(rows, "correct")
        for k in within(ks, correct_SPN):
            values_SP = metrics.pass_at_k(correct_SPN.shape[2], correct_SPN.sum(2), k)
            interval = intervals.mean_ci(values_SP, n_resamples, SEED)
            table.append(key | {"k": k} | estimate("pass_at_k", interval, first=True) | n_seeds(rows))
    columns = ["backbone", "method", "temperature", "k", "pass_at_k", "ci_low", "ci_high", "n_seeds"]
    return pd.DataFrame(table)[columns].round(4)


def costs(records: Records) -> pd.DataFrame:
    """What a training takes: backbone, method, mean seconds, samples, peak_memory_mib (the largest), n_seeds,
    hardware.

    `samples` are those that the policy writes in it, where it practises; an election's second learner writes
    as many.
    """
    sizes = records.runs["parameters"].map(
        lambda of: [of.get(name, np.nan) for name in ("steps", "prompts_per_step", "group_size")]
    )
    grouped = records.runs.assign(samples=sizes.map(np.prod)).groupby(["backbone", "method"], sort=False)
    table = grouped.agg(
        seconds=("seconds", "mean"),
        samples=("samples", "first"),
        peak_memory_mib=("peak_memory_mib", "max"),
        n_seeds=("seed", "size"),
        hardware=("hardware", lambda of: " and ".join(sorted(set(of)))),
    )
    return table.reset_index().round(4)


def times_grpo(costs: pd.DataFrame, name: str) -> pd.Series:
    """Of `costs` a column, in that of GRPO on the same backbone; seconds of other hardware do not compare."""
    grpo = costs[costs["method"] == "grpo"].set_index("backbone")
    times = costs[name] / costs["backbone"].map(grpo[name])
    is_same = costs["hardware"] == costs["backbone"].map(grpo["hardware"])
    return times.where(is_same | (name != "seconds"))


def within(ks: Iterable[int], values_SPN: np.ndarray) -> list[int]:
    """The ks that the samples of a problem are enough for."""
    return [k for k in ks if k <= values_SPN.shape[2]]


def n_seeds(rows: pd.DataFrame) -> dict:
    return {"n_seeds": rows["seed"].nunique()}


# --- the reward ---


def calibration(records: Records) -> pd.DataFrame:
    """Reliability on the base policy's samples: backbone, variant, predicted and observed (means), n."""
    rows = on_base(records).dropna(subset="logit")  # kept of few samples
    rows = rows.assign(predicted=expit(rows["logit"]))
    # not scikit-learn's calibration_curve: it puts a value on an edge into the bin below, and tells no counts
    rows["bin"] = (rows["predicted"] * metrics.BINS).astype(int).clip(upper=metrics.BINS - 1)
    grouped = rows.groupby(["backbone", "variant", "bin"], sort=True)
    table = grouped.agg(predicted=("predicted", "mean"), observed=("correct", "mean"), n=("correct", "size"))
    return table.reset_index().drop(columns="bin").round(4)


def correlations(records: Records) -> dict[str, pd.DataFrame]:
    """Pearson correlations of `TRACE_COLUMNS` by backbone, mean over seeds, on the base policy's samples."""
    rows = on_base(records)
    matrices = {}
    for backbone, chosen in rows[rows["variant"] == MAIN_VARIANT].groupby("backbone", sort=False):
        by_seed = [
            [[metrics.correlation(one[a], one[b]) for a in TRACE_COLUMNS] for b in TRACE_COLUMNS]
            for _, one in chosen.groupby("seed")
        ]
        matrices[backbone] = pd.DataFrame(np.mean(by_seed, 0), TRACE_COLUMNS, TRACE_COLUMNS).round(4)
    return matrices


def on_base(records: Records) -> pd.DataFrame:
    return records.scores[records.scores["policy"] == "base"]


def localisation(records: Records, n_resamples: int) -> pd.DataFrame:
    """First wrong unit found: backbone, detector, error_source, policy, variant, threshold, hit_at_1, .., n.

    Detector `reward` reads the reward of `variant`, `likelihood` is SFT's, `chance` points at any unit,
    `first_unit` at the first. `threshold` is `none` (the largest score), `perturbed` (the first score above
    one that was chosen on experts that a rule struck) or `oracle` (one chosen on labelled errors of the same
    policy on validation problems). Shares are of all wrong traces of a seed, n in the mean of the seeds, of
    `error_source`: near misses of experts, or the policy's own.
    """
    rows = records.localisation
    rows = rows.assign(detector=rows["detector"].where(rows["variant"] != baselines.LIKELIHOOD, "likelihood"))
    rows = rows.rename(columns={"source": "error_source"})
    rows = rows.sort_values(["backbone", "error_source", "policy"], kind="stable")
    table = []
    for key, found in groups(rows, "backbone", "error_source", "policy", "detector", "variant"):
        by_chance = of_traces(found, pointing.chance(found["unit_scores"]), n_resamples)
        common = {"chance": round(by_chance[0], 4), "n": a_seeds(found)} | n_seeds(found)
        judged = {threshold: hits(found, threshold) for threshold in thresholds(found)}
        for threshold, values in judged.items():
            interval = of_traces(found, values, n_resamples)
            table.append(key | {"threshold": threshold} | estimate("hit_at_1", interval, first=True) | common)
        if key["variant"] == MAIN_VARIANT:
            first = of_traces(found, pointing.first_unit(found["first_wrong_unit"]), n_resamples)
            for name, interval in (("chance", by_chance), ("first_unit", first)):
                row = key | {"detector": name, "variant": "", "threshold": "none"}
                table.append(row | estimate("hit_at_1", interval, first=True) | common)
    return pd.DataFrame(table).round(4)


def thresholds(rows: pd.DataFrame) -> tuple[str, ...]:
    """The thresholds that a detector has for some errors."""
    return ("none", *rows["thresholds"].iloc[0])


def localisation_by_kind(records: Records, n_resamples: int) -> pd.DataFrame:
    """As `localisation` with the threshold `perturbed`, by kind of error.

    Columns: backbone, error_source, policy, kind, detector, variant, hit_at_1, .., n.
    """
    kept = ["", MAIN_VARIANT, PAPER_VARIANT, baselines.LIKELIHOOD]
    rows = records.localisation[records.localisation["variant"].isin(kept)]
    columns = ["backbone", "source", "policy", "kind", "detector", "variant"]
    table = []
    for key, found in groups(rows.sort_values(columns[:4], kind="stable"), *columns):
        key["error_source"] = key.pop("source")
        interval = of_traces(found, hits(found, "perturbed"), n_resamples)
        count = {"n": a_seeds(found)}
        table.append(key | estimate("hit_at_1", interval, first=True) | n_seeds(found) | count)
    return pd.DataFrame(table).round(4)


def hits(rows: pd.DataFrame, threshold: str) -> np.ndarray:
    """Whether each wrong trace's detector points at its first wrong unit, by one of its `thresholds`."""
    pointed = rows["unit_scores"]
    if threshold != "none":
        levels = (of_row[threshold] for of_row in rows["thresholds"])
        pointed = [first_above(scores, level) for scores, level in zip(pointed, levels, strict=True)]
    return pointing.localisation_hits(pointed, rows["first_wrong_unit"].astype(int))


def of_traces(rows: pd.DataFrame, values: np.ndarray, n_resamples: int) -> tuple[float, float, float]:
    """The mean over a seed's traces, a value each, and over seeds; its interval over problems and seeds."""
    keys = [rows["seed"].to_numpy(), rows["problem"].to_numpy()]
    cells = pd.Series(np.asarray(values, dtype=float)).groupby(keys)
    means_SP, counts_SP = cells.mean().unstack(), cells.size().unstack(fill_value=0)
    return intervals.weighted_mean_ci(means_SP.to_numpy(), counts_SP.to_numpy(), n_resamples, SEED)


def a_seeds(rows: pd.DataFrame) -> int:
    """How many rows a seed has, in the mean."""
    return round(len(rows) / rows["seed"].nunique())
