"""What the tables say, in sentences: every number and every verdict is computed from the rows."""

from collections.abc import Iterable

import pandas as pd

from lib.evaluation import baselines, external, rivals, studies
from lib.evaluation.tables import (
    CONTRAST,
    EQUAL_WEIGHTS,
    MAIN_VARIANT,
    NO_STRANGER,
    PAPER_VARIANT,
    PRACTICE,
    TWIN,
)
from lib.evaluation.words import each, grouped, interval, label, listed, number, seeds, verdict
from lib.report import sceptic

HEADLINE = ("gains", "rerank", "localisation", "rivals", "false_alarms")  # tables that it reads


def by_section(tables: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The sentences of each section of the report, from the tables of that name."""
    return {
        "headline": headline(tables),
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


def headline(tables: dict[str, pd.DataFrame]) -> list[str]:
    """What a reader should remember: the policy, its rivals and parts, the paper's, choice, pointer."""
    gained = tables["gains"]
    ours = of_method(gained, MAIN_VARIANT)
    against = [
        each(ours, f"above_{rival}", f"practice on {what}", f"above_{rival}_")
        for rival, what in (
            ("ttrl", "the plain vote"),
            (baselines.LIKELIHOOD, "its own likelihood"),
            (PRACTICE, "a stranger's vote"),
        )
        if any(pd.notna(row[f"above_{rival}"]) for row in ours.values())
    ]
    paper = of_method(gained, PAPER_VARIANT)
    return [
        f"Trained on what is elected, the policy is {each(ours, 'above_sft', 'SFT')} at the temperature that "
        f"suits it, and {each(of_method(gained, MAIN_VARIANT, 'greedy'), 'above_sft', 'SFT')} greedily.",
        *([f"It is {', and '.join(against)}."] if against else []),
        *_cheaper(gained),
        *_parts(gained),
        *([f"Practice on the paper's dense reward is {each(paper, 'above_sft', 'SFT')}."] if paper else []),
        _choice(tables["rerank"], tables["rivals"]),
        _pointer(tables["localisation"], tables["rivals"], tables["false_alarms"]),
    ]


def of_method(table: pd.DataFrame, method: str, temperature: str = "validation") -> dict[str, pd.Series]:
    """A method's row of `gains` on each backbone that has one."""
    return _by_backbone(table, method=method, temperature=temperature)


def _by_backbone(table: pd.DataFrame, **where) -> dict[str, pd.Series]:
    rows = table[(table[list(where)] == pd.Series(where)).all(axis=1)]
    return {row["backbone"]: row for _, row in rows.iterrows()}


def _cheaper(gained: pd.DataFrame) -> list[str]:
    """What the vote and the likelihood are worth by themselves."""
    worth = [
        f"{name} is {each(rows, 'above_sft', 'SFT')}"
        for name, method in (
            ("the vote alone", "ttrl"),
            ("the policy's own likelihood", baselines.LIKELIHOOD),
        )
        if (rows := of_method(gained, method))
    ]
    return [f"As what a policy practises on, {'; '.join(worth)}."] if worth else []


def _parts(gained: pd.DataFrame) -> list[str]:
    """What is changed, the method in which it is, and what that is compared with."""
    election, vote, ours = "the election", "practice on a stranger's vote", f"above_{MAIN_VARIANT}"
    parts = [
        (f"Without likelihoods to weigh and choose by, {election}", EQUAL_WEIGHTS, ours, "with them"),
        (f"With two policies on one backbone {election}", NO_STRANGER, ours, "with a stranger"),
        (f"Trained against what lost too, {election}", CONTRAST, ours, "by imitation alone"),
        (f"With an adversary that learns on, {vote}", TWIN, f"above_{PRACTICE}", "without one"),
    ]
    said = [
        f"{what} ({seeds(rows.values())}) is {each(rows, name, f'that {than}', f'{name}_')}."
        for what, method, name, than in parts
        if (rows := of_method(gained, method))
    ]
    return [" ".join(said)] if said else []


def _choice(chosen: pd.DataFrame, paired: pd.DataFrame) -> str:
    """The reward's choice among the most samples, and what it is above."""
    n = chosen["n"].max()
    chosen = chosen[
        (chosen["n"] == n) & (chosen["selector"] == "reward") & (chosen["variant"] == MAIN_VARIANT)
    ]
    paired = paired[paired["use"] == rivals.CHOOSING]

    def against(policy: str, **names: str) -> str:
        right = listed(
            f"{interval(row, 'accuracy')} on {place}"
            for place, row in _by_backbone(chosen, policy=policy).items()
        )
        of = {rival: _by_backbone(paired, policy=policy, rival=rival) for rival in names}
        said = [each(rows, "above", names[rival]) for rival, rows in of.items() if rows]
        return f"right in {right}: {', and '.join(said) or 'n/a'}"

    of_sft = {
        "majority": "the vote",
        baselines.LIKELIHOOD: "the policy's own SFT log-likelihood",
        PRACTICE: "the stranger's SFT log-likelihood, which needs no election",
    }
    return (
        f"Among {n} samples of SFT the reward's choice is {against('sft', **of_sft)}. Among the base "
        f"policy's it is {against('base', majority='the vote')}."
    )


def _pointer(located: pd.DataFrame, paired: pd.DataFrame, passed: pd.DataFrame) -> str:
    """How often the reward points at the first wrong step, beside its rivals, and at right traces."""
    where = {"error_source": "policy", "variant": MAIN_VARIANT, "threshold": "perturbed"}

    def against(policy: str, *names: str) -> str:
        found = listed(
            f"{interval(row, 'hit_at_1')} on {place}"
            for place, row in _by_backbone(located, policy=policy, **where).items()
        )
        key = {"use": rivals.POINTING, "error_source": "policy", "policy": policy}
        of = {rival: _by_backbone(paired, rival=rival, **key) for rival in names}
        said = [each(rows, "above", label(rival)) for rival, rows in of.items() if rows]
        return f"{found}: {', and '.join(said) or 'n/a'}"

    said = [
        "With a threshold that took no step labels it finds the first wrong step of SFT's wrong traces in "
        f"{against('sft', baselines.LIKELIHOOD, 'logprob')}."
    ]
    if (located["policy"] == "base").any():
        said.append(f"Of the base policy's it finds {against('base', 'logprob')}.")
    if right := _by_backbone(passed, variant=MAIN_VARIANT, threshold="perturbed"):
        alarms = listed(f"{number(1 - row['accuracy_correct'])} on {place}" for place, row in right.items())
        said.append(
            f"It does not tell that nothing is wrong: it points into {alarms} of that one's right traces."
        )
    return " ".join(said)


def real(table: pd.DataFrame) -> list[str]:
    """Of each study at another profile, which method is better than which."""
    sentences = []
    table = table[(table["study"] != studies.WORLD) & (table["above"].fillna("") != "")]
    for (study, backbone), rows in table.groupby(["study", "backbone"], sort=False):
        said = [
            f"{row['method']} is {''.join(verdict(row, 'value', row['above']))}" for _, row in rows.iterrows()
        ]
        of = seeds(row for _, row in rows.iterrows())
        sentences.append(f"Pretrained weights, {backbone} ({study}, {of}): {'; '.join(said)}.")
    return sentences


def gains(table: pd.DataFrame) -> list[str]:
    """All methods beside SFT on the same problems and seeds, and the main one's part of GRPO's gain."""
    table = table[(table["temperature"] == "validation") & ~table["method"].isin(["sft", "base"])]
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        of_seeds = [
            (label(row["method"]) + " (1 seed)" * (row["n_seeds"] == 1), row) for _, row in rows.iterrows()
        ]
        sentences.append(f"On {backbone}, {grouped(of_seeds, 'above_sft', ' SFT:')}.")
        for _, row in rows[rows["method"] == MAIN_VARIANT].iterrows():
            share = interval(row, "share_of_grpo", "share_of_grpo_")
            sentences.append(
                f"On {backbone}, {label(MAIN_VARIANT)} has {share} of GRPO's gain over the base policy."
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
    table = table[table["use"] == use].fillna({"error_source": ""})
    for (backbone, source, policy), rows in table.groupby(["backbone", "error_source", "policy"], sort=False):
        of = {"": label(policy), "policy": f"errors of {label(policy)}"}.get(source, f"{label(source)}s")
        named = [(label(row["rival"]), row) for _, row in rows.iterrows()]
        sentences.append(f"On {backbone}, {what.format(policy=of)} {grouped(named, 'above')}.")
    return sentences


def alarms(table: pd.DataFrame) -> list[str]:
    """Which rewards let right traces pass, with the threshold that took no step labels."""
    sentences = []
    table = table[table["threshold"] == "perturbed"]
    for backbone, rows in table.groupby("backbone", sort=False):
        said = [
            f"{label(row['variant'])} {interval(row, 'accuracy_correct', 'accuracy_correct_')} (F1 "
            f"{interval(row, 'f1')})"
            for _, row in rows.iterrows()
        ]
        sentences.append(
            f"On {backbone}, with the same threshold, nothing is pointed at in this part of the base "
            f"policy's right traces: {', '.join(said)}."
        )
    return sentences


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
    for (_, ablation, backbone), rows in table.groupby(["reference", "ablation", "backbone"], sort=False):
        (_, reference), *others = rows.iterrows()
        for _, row in others:
            estimates = ", ".join(
                f"{title} {interval(row, name, prefix)} beside {interval(reference, name, prefix)}"
                for title, name, prefix in measures
            )
            sentences.append(
                f"On {backbone}, {ablation} = {row['value']} in the place of {reference['value']} "
                f"({seeds([row])}): {estimates}."
            )
    return sentences


def transfer(table: pd.DataFrame) -> list[str]:
    """What each reward gains over any sample away from where it was trained."""
    sentences = []
    for backbone, rows in table.groupby("backbone", sort=False):
        for _, row in rows[rows["trained_on"] != rows["tested_on"]].iterrows():
            holds = "still gains" if row["ci_low"] > 0 else "does not surely gain"
            sentences.append(
                f"On {backbone}, {label(row['variant'])} as a reward, trained on {row['trained_on']} and "
                f"tested on {row['tested_on']}, {holds}: accuracy {interval(row, 'accuracy_gain')} above any "
                f"sample, AUROC within problems {interval(row, 'auroc_within', 'auroc_within_')}."
            )
    return sentences


def markdown(sentences: Iterable[str]) -> str:
    """The sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
