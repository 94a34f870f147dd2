"""What a sceptic asks, with its number: is it sharpening, length, style, the threshold, the questions?"""

from collections import Counter

import pandas as pd

from lib.evaluation import baselines
from lib.evaluation.reward_quality import STYLE
from lib.evaluation.tables import MAIN_VARIANT, PAPER_VARIANTS, PRACTICE, TWIN, by_backbone
from lib.evaluation.words import each, interval, label, listed, number, seeds

JUDGES = [MAIN_VARIANT, *baselines.RULES, STYLE, baselines.LIKELIHOOD]


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """The answers, in the order of the questions above."""
    gained, quality = tables["gains"], tables["reward_quality"]
    return [
        *_sharpening(tables["main"], tables["by_seed"]),
        *_of_judges(
            "Length, style and likelihood: on {}, AUROC within problems is {}.", quality, "auroc_within"
        ),
        *_style(quality),
        *_adversarial(gained),
        *_thresholds(tables["localisation"]),
        *_alike(tables["gains_unlike"]),
        *_seeds(tables["by_seed"]),
    ]


def _sharpening(main: pd.DataFrame, trainings: pd.DataFrame) -> list[str]:
    said = []
    for backbone, rows in main[(main["k"] == 1) & (main["method"] == "sft")].groupby("backbone", sort=False):
        at = {row["temperature"]: interval(row, "pass_at_k") for _, row in rows.iterrows()}
        said.append(
            f"Sharpening: on {backbone}, SFT is right in {at['1.0']} at temperature 1, in {at['validation']} "
            f"at the one that validation prefers and in {at['greedy']} greedily, with no further training."
        )
    (coldest, count), *_ = Counter(trainings["temperature"]).most_common()
    said.append(
        f"Temperatures: validation prefers {coldest:g} for {count} of {len(trainings)} trained policies; "
        "where that is the lowest tried, a lower one might be better still: see what they do greedily."
    )
    return said


def _of_judges(sentence: str, table: pd.DataFrame, name: str) -> list[str]:
    table = table[table["variant"].isin(JUDGES)]
    return [
        sentence.format(
            backbone,
            listed(
                f"{label(row['variant'])} {interval(row, name, f'{name}_')}" for _, row in rows.iterrows()
            ),
        )
        for backbone, rows in table.groupby("backbone", sort=False)
    ]


def _style(quality: pd.DataFrame) -> list[str]:
    """What a reward prefers where being right and an expert's style speak against each other."""
    name, quality = "auroc_across_style", quality[quality["variant"] != STYLE]
    return _of_judges(
        "Style: on {}, of a right sample in a style that no expert uses and a wrong one in an expert's, of "
        "one problem, the right one is preferred in {}.",
        quality.dropna(subset=[name]),
        name,
    )


def _adversarial(gained: pd.DataFrame) -> list[str]:
    said = []
    compared = [(method, "above_sft", "sft", "") for method in PAPER_VARIANTS]
    compared.append((TWIN, f"above_{PRACTICE}", PRACTICE, f"above_{PRACTICE}_"))
    for method, name, than, prefix in compared:
        if rows := by_backbone(gained, method=method, temperature="validation"):
            said.append(
                f"Adversarial: {label(method)}, whose discriminator learns against the policy, is "
                f"{each(rows, name, label(than), prefix)} ({seeds(rows.values())})."
            )
    return said


def _thresholds(located: pd.DataFrame) -> list[str]:
    own = located[(located["variant"] == MAIN_VARIANT) & (located["error_source"] == "policy")]
    return [
        f"Thresholds: on {backbone}, errors of {label(policy)}, hit@1 by threshold is "
        + listed(f"{row['threshold']} {interval(row, 'hit_at_1')}" for _, row in rows.iterrows())
        + "."
        for (backbone, policy), rows in own.groupby(["backbone", "policy"], sort=False)
    ]


def _alike(gained: pd.DataFrame) -> list[str]:
    """The gain on test questions that are none of training's with other names and things."""
    rows = by_backbone(gained, method=MAIN_VARIANT, temperature="validation")
    if not rows:
        return []
    n = max(int(row["n_problems"]) for row in rows.values())
    return [
        "Questions: no test question is one that was trained on, but some differ in names and things alone "
        "from "
        "one of the training or demonstration split (and more from one of pretraining's endless texts). On "
        "the "
        f"{n} that do not differ so little from the splits', the election is "
        f"{each(rows, 'above_sft', label('sft'))}."
    ]


def _seeds(trainings: pd.DataFrame) -> list[str]:
    trainings = trainings[trainings["method"].isin([MAIN_VARIANT, PRACTICE, "ttrl"])]
    said = []
    for backbone, of_backbone in trainings.groupby("backbone", sort=False):
        values = [
            f"{label(method)} by {', '.join(number(value, 3) for value in rows['above_sft'])}"
            for method, rows in of_backbone.groupby("method", sort=False)
        ]
        said.append(f"Seeds: on {backbone}, above SFT of the same seed, each training: {'; '.join(values)}.")
    return said
