"""What the tables say, in sentences: every number and every verdict is computed from the rows."""

from collections.abc import Iterable

import pandas as pd

from lib.evaluation import external, rivals, studies
from lib.evaluation.tables import (
    MAIN_VARIANT,
    PAPER_VARIANT,
    PAPER_VARIANTS,
    by_backbone,
)
from lib.evaluation.words import (
    grouped,
    interval,
    judged,
    label,
    number,
    reward_label,
    seeds,
    sign,
    stands,
)
from lib.report import headline, sceptic

OF_PAPER = PAPER_VARIANTS[1:]  # which the tables have, and sentences for the first one alone


def by_section(tables: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The sentences of each section of the report, from the tables of that name."""
    return {
        "headline": headline.sentences(tables),
        "sceptic": sceptic.sentences(tables),
        "policies": gains(tables["gains"]),
        "rerank": choices(tables["rivals"]),
        "localisation": pointing(tables["rivals"]) + alarms(tables["false_alarms"]),
        "reward_quality": reward_quality(tables["reward_quality"]) + ranking(tables["rivals"]),
        "ablations": ablations(tables["ablations"]),
        "transfer": transfer(tables["transfer"]),
        "external": external.sentences(tables["external"]) if "external" in tables else [],
        "real": real(tables["studies"]) if "studies" in tables else [],
    }


def real(table: pd.DataFrame) -> list[str]:
    """Of each study at another profile, which method is better than which, and where the world agrees."""
    sentences = []
    table = table[table["above"].fillna("") != ""]
    of_world = table["study"] == studies.WORLD
    world = {measure: rows for measure, rows in table[of_world].groupby("measure", sort=False)}
    for (study, backbone), rows in table[~of_world].groupby(["study", "backbone"], sort=False):
        said = [
            f"{row['method']} is {stands(row, 'value')} {row['above']} ({number(row['value'], 3)})"
            for _, row in rows.iterrows()
        ]
        of = seeds(row for _, row in rows.iterrows())
        name = backbone if backbone == study else f"{backbone} of {study}"
        sentences.append(f"Pretrained weights, {name} ({of}): {'; '.join(said)}.")
        agreed: dict[str, list[str]] = {}
        for _, row in rows[rows["measure"].isin(world)].iterrows():
            how, direction = _beside(row, world[row["measure"]])
            measure = row["measure"].replace(" above ", f" {direction} ")
            agreed.setdefault(how, []).append(measure)
        if agreed:
            told = "; ".join(f"{how}: {', '.join(measures)}" for how, measures in agreed.items())
            sentences.append(f"Beside the embedded world, {name}: {told}.")
    return sentences


def _beside(row: pd.Series, world: pd.DataFrame) -> tuple[str, str]:
    """How a difference of one study stands to that of the world's backbones, and which way it is sure."""
    here, there = sign(row), {of["backbone"]: sign(of) for _, of in world.iterrows()}
    surely = here or next(filter(None, there.values()), 1)
    agree = [backbone for backbone, of in there.items() if of == surely]
    direction = "above" if surely > 0 else "below"
    if surely in there.values() and -surely in there.values():
        return "sure both ways in the world" + " and not here" * (not here), direction
    if here and -here in there.values():
        return "the other way round in the world", direction
    where = "in the world" if len(agree) == len(there) else f"on {' and '.join(agree)} alone"
    if not here:
        return f"sure {where} and not here" if agree else "sure nowhere", direction
    return f"as {where}" if agree else "sure here and not in the world", direction


def gains(table: pd.DataFrame) -> list[str]:
    """All methods beside SFT on the same problems and seeds, and the main one's part of GRPO's gain."""
    table = table[table["temperature"] == "validation"]
    alone = by_backbone(table, method="sft")
    table = table[~table["method"].isin(["sft", "base"])]
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        of_seeds = [
            (label(row["method"]) + " (1 seed)" * (row["n_seeds"] == 1 and not sign(row)), row)
            for _, row in rows.iterrows()
        ]
        sentences.append(f"On {backbone}, {grouped(of_seeds, 'above_sft', ' SFT:')}.")
        of_main = rows[rows["method"] == MAIN_VARIANT].dropna(subset=["share_of_grpo"])
        for _, row in of_main.iterrows():
            share = interval(row, "share_of_grpo", "share_of_grpo_")
            sentences.append(
                f"On {backbone}, {label(MAIN_VARIANT)} has {share} of GRPO's gain over the base policy, "
                f"SFT alone {interval(alone[backbone], 'share_of_grpo', 'share_of_grpo_')}."
            )
    return sentences


def choices(table: pd.DataFrame) -> list[str]:
    """The choice among all samples of each policy, beside every other way to choose."""
    return _of_use(table, rivals.CHOOSING, "the choice of the election's reward among samples of {policy} is")


def pointing(table: pd.DataFrame) -> list[str]:
    """The first wrong step found by the main reward, without step labels, beside other detectors."""
    return _of_use(table, rivals.POINTING, "of {policy}, the election's reward finds the first wrong step")


def ranking(table: pd.DataFrame) -> list[str]:
    """AUROC within problems of the main reward, beside what stands in its place."""
    return _of_use(
        table, rivals.RANKING, "among samples of one problem by {policy}, AUROC of the election's reward is"
    )


def _of_use(table: pd.DataFrame, use: str, what: str) -> list[str]:
    sentences = []
    table = table[(table["use"] == use) & ~table["rival"].isin(OF_PAPER)].fillna({"error_source": ""})
    for (backbone, source, policy), rows in table.groupby(["backbone", "error_source", "policy"], sort=False):
        of = judged(source, policy)
        named = [(reward_label(row["rival"]), row) for _, row in rows.iterrows()]
        sentences.append(f"On {backbone}, {what.format(policy=of)} {grouped(named, 'above')}.")
    return sentences


def alarms(table: pd.DataFrame) -> list[str]:
    """Whether the main reward lets right traces pass, with the threshold that took no step labels."""
    table = table[(table["threshold"] == "perturbed") & (table["variant"] == MAIN_VARIANT)]
    return [
        f"On {row['backbone']}, with the same threshold, the election's reward points at nothing in "
        f"{interval(row, 'accuracy_correct', 'accuracy_correct_')} of the base policy's right traces (F1 "
        f"{interval(row, 'f1')})."
        for _, row in table.iterrows()
    ]


def reward_quality(table: pd.DataFrame) -> list[str]:
    """What the main reward and the paper's go with."""
    return [
        f"On {row['backbone']}, the reward of {label(row['variant'])} correlates "
        f"{interval(row, 'corr_correct', 'corr_correct_')} with a right answer, "
        f"{interval(row, 'corr_format', 'corr_format_')} with a well-formed trace, "
        f"{interval(row, 'corr_style', 'corr_style_')} with an expert's style."
        for _, row in table[table["variant"].isin([MAIN_VARIANT, PAPER_VARIANT])].iterrows()
    ]


def ablations(table: pd.DataFrame) -> list[str]:
    """Each changed setting beside its reference, the first row of its ablation and backbone."""
    sentences = []
    measures = (("pass@1", "pass_at_1", ""), ("AUROC", "auroc", "auroc_"), ("hit@1", "hit_at_1", "hit_at_1_"))
    for (of, ablation, backbone), rows in table.groupby(["reference", "ablation", "backbone"], sort=False):
        (_, reference), *others = rows.iterrows()
        for _, row in others:
            estimates = ", ".join(
                f"{title} {interval(row, name, prefix)} beside {interval(reference, name, prefix)}"
                for title, name, prefix in measures
            )
            changed = f"{ablation} = {row['value']} in the place of {reference['value']}"
            sentences.append(f"On {backbone}, {label(of)} with {changed} ({seeds([row])}): {estimates}.")
    return sentences


def transfer(table: pd.DataFrame) -> list[str]:
    """What each reward gains over any sample away from where it was trained."""
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        for _, row in rows[rows["trained_on"] != rows["tested_on"]].iterrows():
            holds = "still gains" if row["ci_low"] > 0 else "does not surely gain"
            beside = ""
            if pd.notna(row["above_likelihood"]):
                verdict = stands(row, "above_likelihood", "above_likelihood_")
                beside = f", {verdict} the SFT log-likelihood ({number(row['above_likelihood'], 3)})"
            sentences.append(
                f"On {backbone}, {reward_label(row['variant'])} as a reward, trained on {row['trained_on']} "
                f"and tested on {row['tested_on']}, {holds}: accuracy {interval(row, 'accuracy_gain')} above "
                f"any sample, AUROC within problems {interval(row, 'auroc_within', 'auroc_within_')}{beside}."
            )
    return sentences


def markdown(sentences: Iterable[str]) -> str:
    """The sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
