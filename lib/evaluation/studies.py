"""Measures of the embedded world and of the studies at other profiles, side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.evaluation.baselines import LIKELIHOOD
from lib.evaluation.tables import MAIN_VARIANT, PAPER_VARIANT, matching, read
from lib.evaluation.words import label, reward_label

TABLES = tuple(  # of each study
    "main gains long costs rerank rivals reward_quality reward_quality_sft localisation false_alarms".split()
)
WORLD = "world"  # the study at the profile `default`
COLUMNS = ["measure", "method", "above", "study", "backbone", "value", "ci_low", "ci_high", "n_seeds"]
OF_SFT = {"error_source": "policy", "policy": "sft"}


class Measure(NamedTuple):
    """An estimate of the rows `where` of a table, and what stands before `ci_low` of its interval.

    Of a difference `method` and `above` tell which method and what it is compared with.
    """

    name: str
    table: str
    where: dict
    estimate: str
    prefix: str = ""
    method: str = ""
    above: str = ""


def tables(results: str | Path) -> dict[str, dict[str, pd.DataFrame]]:
    """`TABLES` of each study that `make keep` put under `results`, by its profile.

    Raises ValueError naming a table that is missing.
    """
    return {
        path.parents[1].name: {name: read(name, path.parent) for name in TABLES}
        for path in sorted(Path(results).glob("*/tables/main.csv"))
    }


def _measures() -> Iterator[Measure]:
    """Each measure, in the order in which readers see them."""

    def gain(method: str, than: str, greedily: bool = False) -> Measure:
        above = label(than) + ", greedily" * greedily
        where = {"method": method, "temperature": "greedy" if greedily else "validation"}
        column, prefix = f"above_{than}", "" if than == "sft" else f"above_{than}_"
        name = f"{label(method)} above {above}"
        return Measure(name, "gains", where, column, prefix, label(method), above)

    yield Measure("SFT, pass@1", "main", {"method": "sft", "k": 1, "temperature": "validation"}, "pass_at_k")
    for method in ("grpo", PAPER_VARIANT, LIKELIHOOD, "ttrl", MAIN_VARIANT):
        yield gain(method, "sft")
    yield gain(MAIN_VARIANT, "sft", greedily=True)
    for rival in (LIKELIHOOD, "ttrl"):
        yield gain(MAIN_VARIANT, rival)
    for variant in ("length", LIKELIHOOD, PAPER_VARIANT, MAIN_VARIANT):
        name = f"AUROC within SFT's problems, {reward_label(variant)}"
        yield Measure(name, "reward_quality_sft", {"variant": variant}, "auroc_within", "auroc_within_")
    for selector, variant in (("random", MAIN_VARIANT), ("majority", MAIN_VARIANT), ("reward", LIKELIHOOD),
                              ("reward", PAPER_VARIANT), ("reward", MAIN_VARIANT)):  # fmt: skip
        where = {"policy": "sft", "selector": selector, "variant": variant}
        by = reward_label(variant if selector == "reward" else selector)
        yield Measure(f"choice among SFT's samples, {by}", "rerank", where, "accuracy")
    yield Measure("first error of SFT, chance", "localisation", OF_SFT | {"detector": "chance"}, "hit_at_1")
    for variant in (LIKELIHOOD, PAPER_VARIANT, MAIN_VARIANT):
        detector = LIKELIHOOD if variant == LIKELIHOOD else "reward"
        where = OF_SFT | {"detector": detector, "variant": variant, "threshold": "perturbed"}
        yield Measure(f"first error of SFT, {reward_label(variant)}", "localisation", where, "hit_at_1")


def side_by_side(studies: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """`COLUMNS`: each measure of every study and backbone that has it; choices among the most samples.

    `method` and `above` are of differences alone.
    """
    rows = []
    for of in _measures():
        for study, tables in studies.items():
            table = tables[of.table]
            if of.table == "rerank":
                table = table[table["n"] == table["n"].max()]
            chosen = matching(table, of.where)
            rows += [
                [of.name, of.method, of.above, study, row["backbone"], row[of.estimate]]
                + [row[f"{of.prefix}ci_low"], row[f"{of.prefix}ci_high"], row["n_seeds"]]
                for _, row in chosen.dropna(subset=[of.estimate]).iterrows()
            ]
    return pd.DataFrame(rows, columns=COLUMNS)
