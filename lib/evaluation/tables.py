"""The study's tables, computed from the run records alone; no model is loaded.

Every estimate comes with a 95% interval over problems and seeds (`ci_low`, `ci_high`; `intervals` says
how) and the number of seeds. A second estimate in a row has its own columns, e.g. `auroc_ci_low`. An
undefined one, such as the AUROC of traces that are all right, is left empty.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from lib import files
from lib.evaluation import baselines, intervals, metrics
from lib.evaluation.records import Records, grid
from lib.reward.falls import first_above
from lib.text import traces

MAIN_VARIANT = "airl"  # its reward judges the samples of policies that have none of their own
TRACE_COLUMNS = ["reward", "correct", "well_formed", "logprob", "n_tokens"]
PAPER_VARIANT = "airl_dense"
RERANK_SUBSETS = 32  # random subsets of a problem's samples over which the majorities are averaged
SEED = 0  # of the resamples


def groups(frame: pd.DataFrame, *columns: str) -> Iterable[tuple[dict, pd.DataFrame]]:
    """The rows of each combination of values, in the frame's order."""
    for values, rows in frame.groupby(list(columns), sort=False):
        yield dict(zip(columns, values, strict=True)), rows


def estimate(name: str, interval: tuple[float, float, float], first: bool = False) -> dict:
    """The columns of an estimate: the row's first has the plain names of the interval's."""
    prefix = "" if first else f"{name}_"
    return dict(zip((name, f"{prefix}ci_low", f"{prefix}ci_high"), interval, strict=True))


def headline(main: pd.DataFrame, quality: pd.DataFrame, located: pd.DataFrame) -> dict:
    """One number of each use of a reward, from the tables of `main`, `reward_quality` and `localisation`:
    by what it measures, backbone, and method of `main`. An undefined one is left out."""
    own_errors = located[(located["detector"] == "reward") & (located["error_source"] == "policy")]
    chosen = {
        "pass@1": (main[main["k"] == 1], "method", "pass_at_k"),
        "reward AUROC": (quality, "variant", "auroc"),
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


# --- policies ---


def main(records: Records, methods: Iterable[str], ks: Iterable[int], n_resamples: int) -> pd.DataFrame:
    """pass@k of the listed methods: backbone, method, k, pass_at_k, ci_low, ci_high, n_seeds."""
    table = []
    for key, rows in groups(
        records.samples[records.samples["method"].isin(list(methods))], "backbone", "method"
    ):
        correct_SPN = grid(rows, "correct")
        for k in _within(ks, correct_SPN):
            values_SP = metrics.pass_at_k(correct_SPN.shape[2], correct_SPN.sum(2), k)
            interval = intervals.mean_ci(values_SP, n_resamples, SEED)
            table.append(key | {"k": k} | estimate("pass_at_k", interval, first=True) | n_seeds(rows))
    return pd.DataFrame(table).round(4)


def costs(records: Records) -> pd.DataFrame:
    """Mean seconds and largest memory: backbone, method, seconds, peak_memory_mib, n_seeds."""
    grouped = records.runs.groupby(["backbone", "method"], sort=False)
    table = grouped.agg(
        seconds=("seconds", "mean"), peak_memory_mib=("peak_memory_mib", "max"), n_seeds=("seed", "size")
    )
    return table.reset_index().round(4)


def _within(ks: Iterable[int], values_SPN: np.ndarray) -> list[int]:
    return [k for k in ks if k <= values_SPN.shape[2]]


def n_seeds(rows: pd.DataFrame) -> dict:
    return {"n_seeds": rows["seed"].nunique()}


# --- reranking ---


def rerank(records: Records, n_resamples: int) -> pd.DataFrame:
    """Best of n by selector: backbone, policy, variant, selector, n, accuracy, ci_low, ci_high, n_seeds.

    `variant` names the reward: a policy trained on a reward is judged by that one, any other by
    `MAIN_VARIANT`'s. n is 1, 2, 4, .. up to the samples of a problem. The base policy's samples are chosen
    by the `baselines` in the reward's place too: their selector is `reward`.
    """
    on_base_alone = on_base(records)
    likelihood = on_base_alone[on_base_alone["variant"] == baselines.LIKELIHOOD]
    others = pd.concat([baselines.scores(on_base_alone), likelihood])
    table = _chosen(_judged(records), metrics.SELECTORS, n_resamples)
    table += _chosen(others, ["reward"], n_resamples)
    return pd.DataFrame(table).sort_values("backbone", kind="stable", ignore_index=True).round(4)


def _chosen(scores: pd.DataFrame, selectors: Sequence[str], n_resamples: int) -> list[dict]:
    """The rows of `rerank` of some scores."""
    table = []
    for key, arrays in _rerankable(scores):
        n_samples = arrays["correct"].shape[2]
        for selector in selectors:
            for n in [2**i for i in range(n_samples.bit_length()) if 2**i <= n_samples]:
                values_SP = [
                    metrics.rerank_accuracy(
                        selector, n, codes, correct, logprob, reward, n_subsets=RERANK_SUBSETS, seed=SEED
                    )
                    for codes, correct, logprob, reward in zip(
                        arrays["codes"], arrays["correct"], arrays["logprob"], arrays["reward"], strict=True
                    )
                ]
                interval = intervals.mean_ci(np.array(values_SP), n_resamples, SEED)
                row = {"selector": selector, "n": n} | estimate("accuracy", interval, first=True)
                table.append(key | row | {"n_seeds": len(values_SP)})
    return table


def reranked_pass_at_k(records: Records, ks: Iterable[int], n_resamples: int) -> pd.DataFrame:
    """A right answer among the k ranked first: as `rerank`, but k and pass_at_k for n and accuracy."""
    table = []
    for key, arrays in _rerankable(_judged(records)):
        correct_SPN = arrays["correct"]
        kept = _within(ks, correct_SPN)
        by_selector = {"random": [metrics.pass_at_k_table(correct, kept) for correct in correct_SPN]}
        for selector in ("logprob", "reward"):
            by_selector[selector] = [
                metrics.reranked_pass_at_k(correct, scores, kept)
                for correct, scores in zip(correct_SPN, arrays[selector], strict=True)
            ]
        for selector, values_SPK in by_selector.items():
            for i, k in enumerate(kept):
                interval = intervals.mean_ci(np.array(values_SPK)[:, :, i], n_resamples, SEED)
                row = {"selector": selector, "k": k} | estimate("pass_at_k", interval, first=True)
                table.append(key | row | {"n_seeds": len(values_SPK)})
    return pd.DataFrame(table).round(4)


def _judged(records: Records) -> pd.DataFrame:
    """The scores of each policy by its own reward, or by the main one."""
    judges = records.scores["policy"].where(
        records.scores["policy"] == records.scores["variant"], MAIN_VARIANT
    )
    return records.scores[records.scores["variant"] == judges]


def _rerankable(scores: pd.DataFrame) -> Iterable[tuple[dict, dict[str, np.ndarray]]]:
    """For each policy and reward, the samples as arrays (S, P, N)."""
    for key, rows in groups(scores, "backbone", "policy", "variant"):
        arrays = {column: grid(rows, column) for column in ("correct", "logprob", "reward")}
        answers = [traces.parse(text).answer for text in rows["text"]]
        # as objects: a column of strings would hold NaN for None, which a majority then counts
        answers = grid(rows.assign(answer=pd.Series(answers, rows.index, dtype=object)), "answer")
        yield key, arrays | {"codes": np.array([metrics.answer_codes(answers_PN) for answers_PN in answers])}


# --- the reward ---


def calibration(records: Records) -> pd.DataFrame:
    """Reliability on the base policy's samples: backbone, variant, predicted and observed (means), n."""
    rows = on_base(records)
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
    """First wrong unit found: backbone, detector, error_source, variant, hit_at_1, .., chance, n.

    `hit_at_1` is of the first unit above the detector's threshold, `largest_hit_at_1` of its largest score.
    n counts the wrong traces a seed's detector judges: near misses of experts, and the base policy's own.
    `variant` names the reward that detector `reward` reads; detector `chance` points at any unit of the
    same traces.
    """
    rows = records.localisation
    rows = rows[(rows["detector"] != "reward") | (rows["variant"] == MAIN_VARIANT)]
    rows = rows[rows["policy"] != "sft"]
    rows = rows.rename(columns={"source": "error_source"}).sort_values(
        ["backbone", "error_source"], kind="stable"
    )
    table = []
    for key, group in groups(rows, "backbone", "error_source"):
        judged = [(name, group[group["detector"] == name]) for name in ("reward", "logprob", "entropy")]
        for detector, found in [*judged, ("chance", judged[0][1])]:
            by_chance = metrics.chance(found["unit_scores"])
            found_hits = largest_hits = by_chance
            if detector != "chance":
                found_hits = hits(found)
                largest_hits = metrics.localisation_hits(
                    found["unit_scores"], found["first_wrong_unit"].astype(int)
                )
            interval = by_problem(found, found_hits, n_resamples)
            row = {"backbone": key["backbone"], "detector": detector, "error_source": key["error_source"]}
            row |= {"variant": MAIN_VARIANT if detector == "reward" else ""}
            row |= estimate("hit_at_1", interval, first=True) | n_seeds(found)
            row |= estimate("largest_hit_at_1", by_problem(found, largest_hits, n_resamples))
            table.append(
                row
                | {
                    "chance": by_problem(found, by_chance, n_resamples)[0],
                    "n": found.groupby("seed").size().max(),
                }
            )
    return pd.DataFrame(table).round(4)


def localisation_by_kind(records: Records, n_resamples: int) -> pd.DataFrame:
    """As `localisation`, by kind of error, with the paper's reward and the SFT policy's errors beside it:
    backbone, error_source, policy, kind, detector, variant, hit_at_1, .., n."""
    rows = records.localisation[records.localisation["variant"].isin(["", MAIN_VARIANT, PAPER_VARIANT])]
    columns = ["backbone", "source", "policy", "kind", "detector", "variant"]
    table = []
    for key, found in groups(rows.sort_values(columns[:4], kind="stable"), *columns):
        key["error_source"] = key.pop("source")
        interval = by_problem(found, hits(found), n_resamples)
        count = {"n": found.groupby("seed").size().max()}
        table.append(key | estimate("hit_at_1", interval, first=True) | n_seeds(found) | count)
    return pd.DataFrame(table).round(4)


def hits(rows: pd.DataFrame) -> np.ndarray:
    pointed = [
        first_above(scores, threshold)
        for scores, threshold in zip(rows["unit_scores"], rows["threshold"], strict=True)
    ]
    return metrics.localisation_hits(pointed, rows["first_wrong_unit"].astype(int))


def by_problem(rows: pd.DataFrame, values: np.ndarray, n_resamples: int) -> tuple[float, float, float]:
    return intervals.mean_ci(intervals.cell_means(values, rows["seed"], rows["problem"]), n_resamples, SEED)
