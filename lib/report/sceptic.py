"""What a sceptic asks, with its numbers: is it sharpening, length, style, the threshold, the questions?"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from lib.evaluation import baselines
from lib.evaluation.reward_quality import STYLE
from lib.evaluation.tables import MAIN_VARIANT, PAPER_VARIANTS, PRACTICE, TWIN, by_backbone
from lib.evaluation.words import interval, label, number, paired, reward_label, stands

JUDGES = (MAIN_VARIANT, baselines.LIKELIHOOD, *baselines.RULES, STYLE)
TEMPERATURES = {
    "1.0": "at temperature 1",
    "validation": "at the temperature that validation prefers",
    "greedy": "greedily",
}


class Answer(NamedTuple):
    """What is asked, a number that answers, and the number on each backbone."""

    asked: str
    what: str
    cells: dict[str, str]


def table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The answers, in the order of the questions above: `asked`, `what`, and a column a backbone."""
    quality = tables["reward_quality"]
    across = quality[quality["variant"] != STYLE].dropna(subset=["auroc_across_style"])
    answers = [
        *_sharpening(tables["main"], tables["gains"], tables["by_seed"]),
        *_of_judges("Length, style, likelihood?", "AUROC within problems", quality, "auroc_within"),
        *_of_judges("Style?", "right trace in no expert's style preferred", across, "auroc_across_style"),
        *_adversarial(tables["gains"]),
        *_thresholds(tables["localisation"]),
        *_alike(tables["gains_unlike"]),
        *_seeds(tables["by_seed"]),
    ]
    rows = [{"asked": a.asked, "what": a.what} | a.cells for a in answers if a.cells]
    return pd.DataFrame(rows).fillna("")


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """The verdict on what is adversarial."""
    verdicts = [
        {stands(row, f"above_{than}", prefix) for row in rows.values()}
        for rows, _, than, prefix in _opposed(tables["gains"])
    ]
    if not verdicts:
        return []
    better, worse, better_once, worse_once = (
        sum(f"{how}{verdict} than" in of for of in verdicts)
        for how in ("", "in one training ")
        for verdict in ("better", "worse")
    )
    return [
        f"Of {len(verdicts)} methods whose discriminator learns against the policy {better or 'none'} is on "
        "any backbone surely better than what stands beside it below, SFT or the same without updates; "
        f"{worse or 'none'} surely worse; in the one training that it had {better_once or 'none'} is better, "
        f"{worse_once or 'none'} worse."
    ]


def _sharpening(main: pd.DataFrame, gained: pd.DataFrame, trainings: pd.DataFrame) -> Iterator[Answer]:
    asked = "Sharpening?"
    for name, temperature in TEMPERATURES.items():
        rows = by_backbone(main, method="sft", k=1, temperature=name)
        yield Answer(asked, f"SFT's pass@1 {temperature}", _each(rows, interval, "pass_at_k"))
    for name, temperature in TEMPERATURES.items():
        rows = by_backbone(gained, method=MAIN_VARIANT, temperature=name)
        yield Answer(asked, f"the election above SFT, both {temperature}", _each(rows, paired, "above_sft"))
    (coldest, _), *_ = Counter(trainings["temperature"]).most_common()
    cells = {
        backbone: f"{(rows['temperature'] == coldest).sum()} of {len(rows)}"
        for backbone, rows in trainings.groupby("backbone", sort=False)
    }
    yield Answer(asked, f"policies for which validation prefers temperature {coldest:g}", cells)


def _of_judges(asked: str, what: str, quality: pd.DataFrame, name: str) -> Iterator[Answer]:
    for variant in JUDGES:
        rows = by_backbone(quality, variant=variant)
        yield Answer(asked, f"{what}: {reward_label(variant)}", _each(rows, interval, name, f"{name}_"))


def _opposed(gained: pd.DataFrame) -> Iterator[tuple[dict[str, pd.Series], str, str, str]]:
    """Of each method with a discriminator that learns against the policy its rows, its name, what it is
    beside, and the prefix of the interval."""
    beside = [(method, "sft", "") for method in PAPER_VARIANTS] + [(TWIN, PRACTICE, f"above_{PRACTICE}_")]
    for method, than, prefix in beside:
        if rows := by_backbone(gained, method=method, temperature="validation"):
            yield rows, method, than, prefix


def _adversarial(gained: pd.DataFrame) -> Iterator[Answer]:
    for rows, method, than, prefix in _opposed(gained):
        cells = _each(rows, paired, f"above_{than}", prefix)
        yield Answer("Adversarial?", f"{label(method)} above {label(than)}", cells)


def _thresholds(located: pd.DataFrame) -> Iterator[Answer]:
    own = located[(located["variant"] == MAIN_VARIANT) & (located["error_source"] == "policy")]
    for (policy, threshold), _ in own.groupby(["policy", "threshold"], sort=False):
        rows = by_backbone(own, policy=policy, threshold=threshold)
        what = f"first wrong step of {label(policy)}'s traces found: {threshold}"
        yield Answer("Which threshold?", what, _each(rows, interval, "hit_at_1"))


def _alike(gained: pd.DataFrame) -> Iterator[Answer]:
    """The gain on test questions that are none of training's with other names and things."""
    if rows := by_backbone(gained, method=MAIN_VARIANT, temperature="validation"):
        n = max(int(row["n_problems"]) for row in rows.values())
        what = f"the election above SFT on the {n} that differ from the splits' in more than names and things"
        yield Answer("The same questions?", what, _each(rows, paired, "above_sft"))


def _seeds(trainings: pd.DataFrame) -> Iterator[Answer]:
    for method in (MAIN_VARIANT, PRACTICE, "ttrl"):
        cells = {
            backbone: ", ".join(number(value, 3) for value in rows["above_sft"])
            for backbone, rows in trainings[trainings["method"] == method].groupby("backbone", sort=False)
        }
        yield Answer("Which seed?", f"{label(method)} above SFT, each training", cells)


def _each(rows: dict[str, pd.Series], said, name: str, prefix: str = "") -> dict[str, str]:
    return {backbone: said(row, name, prefix) for backbone, row in rows.items()}
