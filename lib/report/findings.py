"""What the tables say, in sentences: every number and every verdict is computed from the rows."""

import math
from collections.abc import Iterable

import pandas as pd

from lib.evaluation import baselines, external
from lib.evaluation.tables import MAIN_VARIANT
from lib.evaluation.words import compare, interval, label, number


def by_section(tables: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The sentences of each section of the report, from the tables of that name."""
    return {
        "policies": main(tables["main"]) + gains(tables["gains"]),
        "rerank": rerank(tables["rerank"], "base"),
        "localisation": localisation(tables["localisation"]),
        "reward_quality": reward_quality(tables["reward_quality"]),
        "ablations": ablations(tables["ablations"]),
        "transfer": transfer(tables["transfer"]) + long(tables["long"]),
        "external": external.sentences(tables["external"]) if "external" in tables else [],
    }


def main(table: pd.DataFrame) -> list[str]:
    """Each reward-trained policy against SFT and base, and GRPO against SFT, at pass@1."""
    sentences = []
    for backbone, rows in table[table["k"] == 1].groupby("backbone", sort=False):
        by_method = {row["method"]: row for _, row in rows.iterrows()}
        for method in [m for m in by_method if m not in ("base", "sft", "grpo")]:
            against = " and ".join(
                compare(by_method[method], by_method[other], "pass_at_k", label(other))
                for other in ("sft", "base")
            )
            sentences.append(f"On {backbone}, pass@1 of {label(method)} is {against}.")
        upper = compare(by_method["grpo"], by_method["sft"], "pass_at_k", label("sft"))
        sentences.append(f"On {backbone}, pass@1 of GRPO, the upper bound, is {upper}.")
    return sentences


def gains(table: pd.DataFrame) -> list[str]:
    """Each reward-trained policy beside SFT and GRPO on the same problems and seeds."""
    return [
        f"On {row['backbone']}, problem by problem, {label(row['method'])} is "
        f"{interval(row, 'above_sft')} above SFT at pass@1, and has "
        f"{interval(row, 'share_of_grpo', 'share_of_grpo_')} of GRPO's gain over the base policy."
        for _, row in table.iterrows()
    ]


def rerank(table: pd.DataFrame, policy: str) -> list[str]:
    """Choosing by the reward against the other selectors, at the largest n."""
    sentences = []
    table = table[(table["policy"] == policy) & ~baselines.stands_in(table)]
    for backbone, rows in table.groupby("backbone", sort=False):
        n = rows["n"].max()
        by_selector = {row["selector"]: row for _, row in rows[rows["n"] == n].iterrows()}
        against = ", ".join(
            compare(by_selector["reward"], by_selector[other], "accuracy", label(other))
            for other in ("random", "majority", "logprob", "oracle")
        )
        sentences.append(
            f"On {backbone}, best of {n} samples of {label(policy)}: the reward's choice is {against}."
        )
    return sentences


def localisation(table: pd.DataFrame) -> list[str]:
    """The reward against chance and the best other detector, for each source of error."""
    sentences = []
    for (backbone, source), rows in table.groupby(["backbone", "error_source"], sort=False):
        by_detector = {row["detector"]: row for _, row in rows.iterrows()}
        best = max(("logprob", "entropy"), key=lambda name: by_detector[name]["hit_at_1"])
        against = " and ".join(
            compare(by_detector["reward"], by_detector[other], "hit_at_1", label(other))
            for other in ("chance", best)
        )
        sentences.append(f"On {backbone}, {label(source)}: hit@1 of the reward is {against}.")
    return sentences


def reward_quality(table: pd.DataFrame) -> list[str]:
    """AUROC, calibration, whether a trained reward follows correctness more than format; and the main reward
    against what stands in its place, among the samples of one problem."""
    sentences = []
    for _, row in table[~table["variant"].isin(baselines.RULES)].iterrows():
        correct, form = row["corr_correct"], row["corr_format"]
        if math.isnan(correct) or math.isnan(form):
            verdict = "which cannot be compared"
        elif abs(correct) > abs(form):
            verdict = "so it follows correctness more than format"
        else:
            verdict = "so it follows format at least as much as correctness"
        sentences.append(
            f"On {row['backbone']}, {label(row['variant'])}: AUROC {interval(row, 'auroc')}, calibration "
            f"error {number(row['ece'])}; correlation {number(correct)} with a right answer and "
            f"{number(form)} with a well-formed trace, {verdict}."
        )
    return sentences + _within_problems(table)


def _within_problems(table: pd.DataFrame) -> list[str]:
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        main, others = rows[rows["variant"] == MAIN_VARIANT], rows[baselines.stands_in(rows)]
        if main.empty or others.empty:
            continue
        against = ", ".join(
            compare(main.iloc[0], row, "auroc_within", label(row["variant"]), "auroc_within_")
            for _, row in others.iterrows()
        )
        sentences.append(
            f"On {backbone}, right against wrong samples of the same problem: AUROC of "
            f"{label(MAIN_VARIANT)} is {against}."
        )
    return sentences


def ablations(table: pd.DataFrame) -> list[str]:
    """Each changed setting against its reference, the first row of its ablation and backbone."""
    sentences = []
    for (_, ablation, backbone), rows in table.groupby(["reference", "ablation", "backbone"], sort=False):
        (_, reference), *others = rows.iterrows()
        for _, row in others:
            seeds = f"{row['n_seeds']} seed{'s' if row['n_seeds'] > 1 else ''}"
            paper = f"that of {reference['value']}"
            estimates = ", ".join(
                f"{title} {compare(row, reference, name, paper, prefix)}"
                for title, name, prefix in (
                    ("pass@1", "pass_at_1", ""),
                    ("AUROC", "auroc", "auroc_"),
                    ("hit@1", "hit_at_1", "hit_at_1_"),
                )
            )
            sentences.append(f"On {backbone}, {ablation} = {row['value']} ({seeds}): {estimates}.")
    return sentences


def transfer(table: pd.DataFrame) -> list[str]:
    """Each reward away from where it was trained, against the one at home on the same backbone."""
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        for _, row in rows[rows["trained_on"] != rows["tested_on"]].iterrows():
            holds = "still gains" if row["ci_low"] > 0 else "does not surely gain"
            sentences.append(
                f"On {backbone}, a reward trained on {row['trained_on']} and tested on {row['tested_on']} "
                f"{holds}: accuracy {interval(row, 'accuracy_gain')} above any sample, AUROC "
                f"{interval(row, 'auroc', 'auroc_')}."
            )
    return sentences


def long(table: pd.DataFrame) -> list[str]:
    """Each trained policy against SFT on longer problems."""
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        by_method = {row["method"]: row for _, row in rows.iterrows()}
        for method in [m for m in by_method if m != "sft"]:
            stands = compare(by_method[method], by_method["sft"], "pass_at_1", label("sft"))
            sentences.append(f"On {backbone}, longer problems: pass@1 of {label(method)} is {stands}.")
    return sentences


def markdown(sentences: Iterable[str]) -> str:
    """The sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
