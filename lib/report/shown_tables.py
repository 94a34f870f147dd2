"""The study's tables as the page shows them: a header, and rows of cells."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.evaluation import words
from lib.evaluation.tables import TEMPERATURES, times_grpo
from lib.evaluation.words import label

QUALITY = (
    "auroc auroc_within auroc_within_style auroc_across_style ece corr_correct corr_format corr_style "
    "corr_style_right reranked lowest_last"
)
# table: its keys, and its estimates, which stand with their intervals
ESTIMATES = {
    "rerank": ("backbone policy variant selector n n_seeds", "accuracy"),
    "gains": (
        "backbone method temperature n_seeds",
        "above_sft above_likelihood above_ttrl above_airl above_airl_practice share_of_grpo",
    ),
    "gains_unlike": (
        "backbone method temperature n_problems n_seeds",
        "above_sft above_likelihood above_ttrl",
    ),
    "rivals": ("use backbone policy error_source rival n_seeds", "above"),
    "false_alarms": (
        "backbone variant threshold n_wrong n_right n_seeds",
        "f1 accuracy_erroneous accuracy_correct",
    ),
    "localisation": ("backbone error_source policy detector variant threshold n n_seeds", "hit_at_1"),
    "localisation_by_kind": ("backbone error_source policy kind detector variant n", "hit_at_1"),
    "reward_quality": ("backbone variant n_seeds problems_across_style", QUALITY),
    "reward_quality_sft": ("backbone variant n_seeds problems_across_style", QUALITY),
    "ablations": ("reference ablation value backbone n_seeds", "pass_at_1 auroc hit_at_1"),
    "transfer": (
        "backbone variant trained_on tested_on n_seeds",
        "accuracy_gain auroc auroc_within above_likelihood",
    ),
    "long": ("backbone method n_seeds", "pass_at_1 above_sft"),
    "first_error": (
        "backbone detector variant benchmark threshold n accuracy_erroneous accuracy_correct",
        "f1",
    ),
    "external": ("name backbone variant detector metric chance_or_random n", "value"),
}


class Shown(NamedTuple):
    """A table's header and cells; `is_published` tells the paper's numbers from our own."""

    header: Sequence[str]
    rows: Sequence[Sequence]
    is_published: bool = False


def shown(tables: dict[str, pd.DataFrame]) -> dict[str, Shown]:
    """Each of `tables` (see `pages.TABLES`) as the page shows it; the paper's by what it is beside."""
    published, told = tables["published"], dict(tables)
    if "external" in tables:
        checked = tables["external"].astype({"chance_or_random": object}).fillna({"chance_or_random": "n/a"})
        whose = np.where(checked["detector"] == "reward", "reward ", "policy ")
        told["external"] = checked.assign(variant=whose + checked["variant"])  # of another profile's name
    experiment = published["experiment"]
    ablations = published[experiment.isin(["ablation", "granularity"])]
    return {
        "published_main": _published_main(published[experiment == "main"]),
        "published_localisation": _published(published[experiment == "localisation"], "detector", "hit@1", 3),
        "published_ablations": _published(ablations, "setting or method", "pass@1", 2),
        "departures": Shown(list(tables["departures"]), tables["departures"].to_numpy().tolist()),
        "by_seed": _by_seed(tables["by_seed"]),
        "stages": _stages(tables["stages"]),
        **({"studies": _studies(tables["studies"])} if "studies" in tables else {}),
        **estimated(told),
    }


def estimated(tables: dict[str, pd.DataFrame]) -> dict[str, Shown]:
    """Of `tables` pass@k, costs, and those of `ESTIMATES`; selectors at the most samples alone."""
    reranked = tables["rerank"]
    told = tables | {"rerank": reranked[reranked["n"] == reranked["n"].max()]}
    estimates = {name: _estimates(told[name], *of) for name, of in ESTIMATES.items() if name in told}
    return {"main": main(told["main"]), "costs": _costs(told["costs"]), **estimates}


def main(table: pd.DataFrame) -> Shown:
    """pass@1 at the temperature that suits each method, greedily, at that of training; pass@k at the first.

    Every cell is text.
    """
    ks, rows = sorted(table["k"].unique())[1:], []
    for (backbone, method), group in table.groupby(["backbone", "method"], sort=False):
        cells = {
            (row["temperature"], row["k"]): words.interval(row, "pass_at_k") for _, row in group.iterrows()
        }
        kept = [(name, 1) for name in TEMPERATURES] + [("validation", k) for k in ks]
        seeds = str(group["n_seeds"].iloc[0])
        rows.append([backbone, label(method), seeds, *(cells.get(cell, "") for cell in kept)])
    titles = ["pass@1", "greedy", "at temperature 1", *(f"pass@{k}" for k in ks)]
    return Shown(["backbone", "method", "seeds", *titles], rows)


def _estimates(table: pd.DataFrame, keys: str, estimates: str) -> Shown:
    """Keys and estimates; the intervals' columns have no prefix for the first, its name for another."""
    first, *others = estimates.split()
    prefixes = {first: ""} | {name: f"{name}_" for name in others}
    rows = [
        [words.named(key, row[key]) for key in keys.split()]
        + [words.interval(row, name, prefix) for name, prefix in prefixes.items()]
        for _, row in table.iterrows()
    ]
    return Shown([name.replace("_at_", "@").replace("_", " ") for name in (*keys.split(), *prefixes)], rows)


def _published_main(table: pd.DataFrame) -> Shown:
    ks = sorted(table["k"].unique())
    rows = []
    for (backbone, method, source), group in table.groupby(["backbone", "method", "source"], sort=False):
        by_k = dict(zip(group["k"], group["value"], strict=True))
        rows.append([backbone, label(method), *(f"{by_k[k]:.2f}" if k in by_k else "" for k in ks), source])
    return Shown(["backbone", "method", *(f"pass@{k:.0f}" for k in ks), "source"], rows, is_published=True)


def _published(table: pd.DataFrame, what: str, measure: str, digits: int) -> Shown:
    noted = table["source"] + ("; " + table["note"]).fillna("")
    rows = [
        [row.backbone, label(row.method), f"{row.value:.{digits}f}", source]
        for row, source in zip(table.itertuples(), noted, strict=True)
    ]
    return Shown(["backbone", what, measure, "source"], rows, is_published=True)


def _by_seed(table: pd.DataFrame) -> Shown:
    rows = [
        [
            r.backbone,
            label(r.method),
            r.seed,
            r.temperature,
            f"{r.pass_at_1:.3f}",
            words.number(r.above_sft, 3),
        ]
        for r in table.itertuples()
    ]
    return Shown(["backbone", "method", "seed", "temperature", "pass@1", "above SFT"], rows)


def _studies(table: pd.DataFrame) -> Shown:
    """A measure a row, a study's backbone a column."""
    columns = list(dict.fromkeys(zip(table["study"], table["backbone"], strict=True)))
    rows = []
    for measure, group in table.groupby("measure", sort=False):
        cells = {(row["study"], row["backbone"]): words.interval(row, "value") for _, row in group.iterrows()}
        rows.append([measure, *(cells.get(column, "") for column in columns)])
    return Shown(["measure", *(f"{backbone} ({study})" for study, backbone in columns)], rows)


def _costs(table: pd.DataFrame) -> Shown:
    times = times_grpo(table, "seconds")
    rows = [
        [r.backbone, label(r.method), r.n_seeds, f"{r.seconds:.0f}", words.number(of_grpo)]
        + ["" if np.isnan(r.samples) else f"{r.samples:.0f}", f"{r.peak_memory_mib:.0f}"]
        for r, of_grpo in zip(table.itertuples(), times, strict=True)
    ]
    header = ["backbone", "method", "seeds", "seconds a run (mean)", "times GRPO's", "samples of its policy"]
    return Shown([*header, "peak memory (MiB)"], rows)


def _stages(table: pd.DataFrame) -> Shown:
    rows = [[label(r.stage), r.runs, f"{r.hours:.1f}", f"{r.mean_seconds:.0f}"] for r in table.itertuples()]
    return Shown(["stage", "runs", "hours in all", "seconds a run (mean)"], rows)
