"""What the study set out to reach in the embedded world, and where it stands.

“Reached” is said of the estimate; of a difference also whether its interval leaves 0 out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from lib.evaluation import baselines
from lib.evaluation.rivals import CHOOSING
from lib.evaluation.tables import MAIN_VARIANT, PRACTICE, TWIN, by_backbone, times_grpo
from lib.evaluation.words import interval, number, paired, shares

TABLES = "main gains reward_quality reward_quality_sft rivals localisation transfer costs".split()
LIKELIHOOD = "practice on the likelihood"


class Target(NamedTuple):
    """What was aimed at, and the verdict on each backbone that has the number."""

    what: str
    aim: str
    cells: dict[str, str]


def table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The targets: `what`, `aim`, and a column a backbone."""
    every = [*_of_policy(tables), *_of_reward(tables), *_of_costs(tables["costs"])]
    return pd.DataFrame({"what": t.what, "aim": t.aim} | t.cells for t in every if t.cells).fillna("")


def _of_policy(tables: dict[str, pd.DataFrame]) -> Iterator[Target]:
    gained, main = tables["gains"], tables["main"]
    best = by_backbone(gained, method=MAIN_VARIANT, temperature="validation")
    greedy = by_backbone(gained, method=MAIN_VARIANT, temperature="greedy")
    yield _difference("pass@1 above SFT", 0.05, best, "above_sft")
    yield _difference("the same, greedily", 0.05, greedy, "above_sft")
    for rival, than in (("ttrl", "TTRL"), (baselines.LIKELIHOOD, LIKELIHOOD)):
        yield _difference(f"pass@1 above {than}", 0.03, best, f"above_{rival}", f"above_{rival}_")
    alone = shares(by_backbone(gained, method="sft", temperature="validation"), "share_of_grpo")
    what = f"share of GRPO's gain over base, of which SFT alone has {alone}"
    yield _share(what, 0.90, best, "share_of_grpo", "share_of_grpo_")
    of_ten = {"temperature": "validation", "k": 10}
    sft, ours = (by_backbone(main, method=method, **of_ten) for method in ("sft", MAIN_VARIANT))
    cells = {
        place: _verdict(interval(row, "pass_at_k"), sft[place]["pass_at_k"] - row["pass_at_k"], 2)
        for place, row in ours.items()
        if place in sft
    }
    yield Target("pass@10", "that of SFT", cells)
    twin = by_backbone(gained, method=TWIN, temperature="validation")
    what = "pass@1 of practice on a stranger's vote, the stranger an adversary, above the same without"
    yield _difference(what, 0.02, twin, f"above_{PRACTICE}", f"above_{PRACTICE}_")


def _of_reward(tables: dict[str, pd.DataFrame]) -> Iterator[Target]:
    for whose, name in (("the base policy's", "reward_quality"), ("SFT's", "reward_quality_sft")):
        rows = by_backbone(tables[name], variant=MAIN_VARIANT)
        yield _share(
            f"AUROC within problems among {whose} samples", 0.93, rows, "auroc_within", "auroc_within_"
        )
    for rival, than, aim in (
        ("majority", "the vote", 0.05),
        (baselines.LIKELIHOOD, "the likelihood's", 0.03),
    ):
        rows = by_backbone(tables["rivals"], use=CHOOSING, policy="base", rival=rival)
        yield _difference(f"choice among the base policy's samples above {than}", aim, rows, "above")
    own = {"variant": MAIN_VARIANT, "error_source": "policy", "threshold": "perturbed"}
    for policy, whose, aim in (("base", "the base policy's", 0.85), ("sft", "SFT's", 0.80)):
        rows = by_backbone(tables["localisation"], policy=policy, **own)
        yield _share(f"first wrong step of {whose} traces, no step label seen", aim, rows, "hit_at_1")
    moved = tables["transfer"]
    for where, rows in moved[moved["variant"] == MAIN_VARIANT].groupby("tested_on", sort=False):
        elsewhere = rows[rows["trained_on"] != where]
        cells = by_backbone(elsewhere.dropna(subset=["above_likelihood"]))
        what = f"AUROC within problems of {where} above the likelihood's"
        if where.startswith("samples"):
            what += ", which are the policy's and not the reward's own"
        yield _difference(what, 0.0, cells, "above_likelihood", "above_likelihood_")


def _of_costs(costs: pd.DataFrame) -> Iterator[Target]:
    for what, aim, name in (
        ("policy samples (a stranger's apart)", 1.6, "samples"),
        ("time", 2.0, "seconds"),
    ):
        times = costs.assign(times=times_grpo(costs, name)).dropna(subset=["times"])
        ours = by_backbone(times, method=MAIN_VARIANT)
        cells = {place: _verdict(number(row["times"]), row["times"] - aim, 2) for place, row in ours.items()}
        yield Target(f"{what} of a training, times GRPO's", f"at most {aim:g}", cells)


def _difference(what: str, aim: float, rows: dict[str, pd.Series], name: str, prefix: str = "") -> Target:
    cells = {
        place: _verdict(paired(row, name, prefix), aim - row[name], 3, row[f"{prefix}ci_low"] > 0)
        for place, row in rows.items()
    }
    return Target(what, f"at least {aim:g}", cells)


def _share(what: str, aim: float, rows: dict[str, pd.Series], name: str, prefix: str = "") -> Target:
    cells = {place: _verdict(interval(row, name, prefix), aim - row[name], 2) for place, row in rows.items()}
    return Target(what, f"at least {aim:g}", cells)


def _verdict(said: str, lacks: float, digits: int, is_sure: bool = True) -> str:
    """The number, and what it lacks, if anything, of what was aimed at."""
    if pd.isna(lacks):
        return "n/a"
    if lacks > 0:
        least = 10**-digits
        return f"{said}, missed by {f'{lacks:.{digits}f}' if round(lacks, digits) else f'less than {least}'}"
    return f"{said}, {'reached' if is_sure else 'reached, not surely above 0'}"
