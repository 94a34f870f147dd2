"""Measures of the embedded world and of the studies at other profiles, side by side."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lib import runs
from lib.evaluation.baselines import LIKELIHOOD
from lib.evaluation.tables import MAIN_VARIANT, PAPER_VARIANT
from lib.evaluation.words import label

TABLES = ("main", "gains", "rerank", "reward_quality", "reward_quality_sft", "localisation")  # of each study
ABOVE = " above "  # between the methods of a measure that is a difference
WORLD = "world"  # the study at the profile `default`
COLUMNS = ["measure", "study", "backbone", "value", "ci_low", "ci_high", "n_seeds"]
BEST = {"temperature": "validation"}
OF_SFT = {"error_source": "policy", "policy": "sft"}


def tables(results: str | Path) -> dict[str, dict[str, pd.DataFrame]]:
    """`TABLES` of each study that `make keep` put under `results`, by its profile.

    Raises ValueError naming a table that is missing.
    """
    found = {}
    for path in sorted(Path(results).glob("*/tables/main.csv")):
        read = {name: pd.read_csv(runs.require(path.with_name(f"{name}.csv"))) for name in TABLES}
        found[path.parents[1].name] = {
            name: table.fillna({"variant": ""})
            if "variant" in table
            else table  # what has no reward has none
            for name, table in read.items()
        }
    return found


def _measures() -> Iterator[tuple[str, str, dict, str]]:
    """Each measure's name, its table, which of the rows, and the estimate."""

    def gain(method: str, name: str, **where) -> tuple[str, dict, str]:
        return "gains", {"method": method} | BEST | where, name

    ours = label(MAIN_VARIANT)
    yield "SFT, pass@1", "main", {"method": "sft", "k": 1} | BEST, "pass_at_k"
    for method in ("grpo", PAPER_VARIANT, MAIN_VARIANT):
        yield f"{label(method)}{ABOVE}SFT", *gain(method, "above_sft")
    yield f"{ours}{ABOVE}SFT, greedily", *gain(MAIN_VARIANT, "above_sft", temperature="greedy")
    for rival in (LIKELIHOOD, "ttrl"):
        yield f"{ours}{ABOVE}{label(rival)}", *gain(MAIN_VARIANT, f"above_{rival}")
    for variant in ("length", LIKELIHOOD, PAPER_VARIANT, MAIN_VARIANT):
        where = {"variant": variant}
        yield f"AUROC within SFT's problems, {label(variant)}", "reward_quality_sft", where, "auroc_within"
    for selector, variant in (("random", MAIN_VARIANT), ("majority", MAIN_VARIANT), ("reward", LIKELIHOOD),
                              ("reward", PAPER_VARIANT), ("reward", MAIN_VARIANT)):  # fmt: skip
        where = {"policy": "sft", "selector": selector, "variant": variant}
        by = label(variant if selector == "reward" else selector)
        yield f"choice among SFT's samples, {by}", "rerank", where, "accuracy"
    yield "first error of SFT, chance", "localisation", OF_SFT | {"detector": "chance"}, "hit_at_1"
    for variant in (LIKELIHOOD, PAPER_VARIANT, MAIN_VARIANT):
        detector = LIKELIHOOD if variant == LIKELIHOOD else "reward"
        where = OF_SFT | {"detector": detector, "variant": variant, "threshold": "perturbed"}
        yield f"first error of SFT, {label(variant)}", "localisation", where, "hit_at_1"


def side_by_side(studies: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """`COLUMNS`: each measure of every study and backbone that has it; choices among the most samples."""
    rows = []
    for measure, name, where, estimate in _measures():
        for study, of in studies.items():
            table = of[name]
            if "n" in table and name == "rerank":
                table = table[table["n"] == table["n"].max()]
            chosen = table[(table[list(where)] == pd.Series(where)).all(axis=1)]
            prefix = "" if f"{estimate}_ci_low" not in table else f"{estimate}_"
            rows += [
                [measure, study, row["backbone"], row[estimate], row[f"{prefix}ci_low"]]
                + [row[f"{prefix}ci_high"], row["n_seeds"]]
                for _, row in chosen.dropna(subset=[estimate]).iterrows()
            ]
    return pd.DataFrame(rows, columns=COLUMNS)
