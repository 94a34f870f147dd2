"""What the tables say, in sentences: every number and every verdict is computed from the rows."""

import math
from collections.abc import Iterable

import pandas as pd

from lib.evaluation import baselines, external, studies
from lib.evaluation.tables import (
    CONTRAST,
    EQUAL_WEIGHTS,
    MAIN_VARIANT,
    NO_STRANGER,
    PAPER_VARIANT,
    PAPER_VARIANTS,
    PRACTICE,
    TWIN,
)
from lib.evaluation.words import compare, interval, label, number, verdict


def by_section(tables: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The sentences of each section of the report, from the tables of that name."""
    return {
        "headline": headline(tables),
        "sceptic": sceptic(tables),
        "policies": gains(tables["gains"]),
        "rerank": rerank(tables["rerank"], "base"),
        "localisation": localisation(tables["localisation"]),
        "reward_quality": reward_quality(tables["reward_quality"]),
        "ablations": ablations(tables["ablations"]),
        "transfer": transfer(tables["transfer"]),
        "external": external.sentences(tables["external"]) if "external" in tables else [],
        "real": real(tables["studies"]) if "studies" in tables else [],
    }


def headline(tables: dict[str, pd.DataFrame]) -> list[str]:
    """What a reader should remember: the policy, the vote, the adversarial part, the choice, the pointer."""
    gained, chosen, located = tables["gains"], tables["rerank"], tables["localisation"]
    n = chosen["n"].max()

    def accuracy(policy: str, selector: str, variant: str = MAIN_VARIANT) -> str:
        rows = chosen[(chosen["policy"] == policy) & (chosen["n"] == n)]
        rows = rows[(rows["selector"] == selector) & (rows["variant"] == variant)]
        return _list(f"{interval(row, 'accuracy')} on {row['backbone']}" for _, row in rows.iterrows())

    errors = located[(located["error_source"] == "policy") & (located["policy"] == "sft")]
    practical = errors[(errors["threshold"] == "perturbed") & (errors["variant"] == MAIN_VARIANT)]
    chance = errors[errors["detector"] == "chance"]
    ours = {
        temperature: _gains(gained, MAIN_VARIANT, temperature) for temperature in ("validation", "greedy")
    }
    best, ours_is = ours["validation"], f"above_{MAIN_VARIANT}"
    rivals = {
        "above_ttrl": "practice on the plain vote",
        "above_likelihood": "practice on its own likelihood",
        f"above_{PRACTICE}": "practice on a stranger's vote",
    }
    against = [
        _each(best, name, than)
        for name, than in rivals.items()
        if any(pd.notna(row[name]) for row in best.values())
    ]
    election, vote = "the election", "practice on a stranger's vote"
    parts = [  # what is changed, the method in which it is, and what that is compared with
        (f"Without likelihoods to weigh and choose by, {election}", EQUAL_WEIGHTS, ours_is, "with them"),
        (f"With two policies on one backbone {election}", NO_STRANGER, ours_is, "with a stranger"),
        (f"Trained against what lost too, {election}", CONTRAST, ours_is, "by imitation alone"),
        (f"With an adversary that learns on, {vote}", TWIN, f"above_{PRACTICE}", "without one"),
    ]
    changed = [
        f"{what} ({_seeds(rows)}) is {_each(rows, name, f'that {than}')}."
        for what, method, name, than in parts
        if (rows := _gains(gained, method))
    ]
    paper = _gains(gained, PAPER_VARIANT)
    return [
        f"Trained on what is elected, the policy is {_each(best, 'above_sft', 'SFT')} at the temperature "
        f"that suits it, and {_each(ours['greedy'], 'above_sft', 'SFT')} greedily.",
        *([f"It is {', and '.join(against)}."] if against else []),
        *([" ".join(changed)] if changed else []),
        *([f"Practice on the paper's dense reward is {_each(paper, 'above_sft', 'SFT')}."] if paper else []),
        f"Among {n} samples of SFT the reward's choice is right in {accuracy('sft', 'reward')}; that of the "
        f"policy's own SFT log-likelihood in {accuracy('sft', 'reward', baselines.LIKELIHOOD)}, the vote in "
        f"{accuracy('sft', 'majority')}. Among the base policy's it is right in "
        f"{accuracy('base', 'reward')}, the vote in {accuracy('base', 'majority')}.",
        "With a threshold that took no step labels it finds the first wrong step in "
        + _list(f"{interval(row, 'hit_at_1')} on {row['backbone']}" for _, row in practical.iterrows())
        + " of SFT's errors; chance finds "
        + _list(number(value) for value in chance["hit_at_1"])
        + ".",
    ]


def _gains(table: pd.DataFrame, method: str, temperature: str = "validation") -> dict[str, pd.Series]:
    """A method's row of `gains` on each backbone that has one."""
    rows = table[(table["method"] == method) & (table["temperature"] == temperature)]
    return {row["backbone"]: row for _, row in rows.iterrows()}


def _seeds(rows: dict[str, pd.Series]) -> str:
    """How many seeds the rows have, the fewest of them."""
    fewest = min(row["n_seeds"] for row in rows.values())
    return f"{fewest} seed{'s' * (fewest > 1)}"


def _each(rows: dict[str, pd.Series], name: str, than: str) -> str:
    """The verdict on each backbone, said once for all that have the same."""
    prefix, said = "" if name == "above_sft" else f"{name}_", {}
    for backbone, row in rows.items():
        stands, by = verdict(row, name, than, prefix)
        said.setdefault(stands, []).append(f"on {backbone}{by}")
    return _list(f"{stands} {', and '.join(places)}" for stands, places in said.items())


def _list(parts: Iterable[str]) -> str:
    """The parts joined; where there are none, nothing was measured."""
    return " and ".join(parts) or "n/a"


def sceptic(tables: dict[str, pd.DataFrame]) -> list[str]:
    """What a sceptic asks, each with its number: sharpening, length, adversaries, thresholds, seeds."""
    one, quality = tables["main"], tables["reward_quality"]
    one = one[(one["k"] == 1) & (one["method"] == "sft")]
    sentences = []
    for backbone, rows in one.groupby("backbone", sort=False):
        by = {row["temperature"]: row for _, row in rows.iterrows()}
        sentences.append(
            f"Sharpening: on {backbone}, SFT is right in {interval(by['1.0'], 'pass_at_k')} at temperature 1 "
            f"and in {interval(by['validation'], 'pass_at_k')} at the one that validation prefers, untrained."
        )
    for backbone, rows in quality.groupby("backbone", sort=False):
        values = _list(
            f"{label(row['variant'])} {interval(row, 'auroc_within', 'auroc_within_')}"
            for _, row in rows[
                rows["variant"].isin([MAIN_VARIANT, *baselines.RULES, baselines.LIKELIHOOD])
            ].iterrows()
        )
        sentences.append(f"Length and likelihood: on {backbone}, AUROC within problems is {values}.")
    adversarial = [(method, "above_sft", "sft") for method in PAPER_VARIANTS]
    for method, than, name in (*adversarial, (TWIN, f"above_{PRACTICE}", PRACTICE)):
        if rows := _gains(tables["gains"], method):
            sentences.append(
                f"Adversarial: {label(method)}, whose discriminator learns against the policy, is "
                f"{_each(rows, than, label(name))} ({_seeds(rows)})."
            )
    located = tables["localisation"]
    own = located[(located["variant"] == MAIN_VARIANT) & (located["error_source"] == "policy")]
    for (backbone, policy), rows in own.groupby(["backbone", "policy"], sort=False):
        values = _list(f"{row['threshold']} {interval(row, 'hit_at_1')}" for _, row in rows.iterrows())
        sentences.append(
            f"Thresholds: on {backbone}, errors of {label(policy)}, hit@1 by threshold is {values}."
        )
    trainings = tables["by_seed"]
    trainings = trainings[trainings["method"].isin([MAIN_VARIANT, PRACTICE, "ttrl"])]
    for (backbone, method), rows in trainings.groupby(["backbone", "method"], sort=False):
        values = ", ".join(f"{number(row['above_sft'], 3)}" for _, row in rows.iterrows())
        sentences.append(f"Seeds: on {backbone}, {label(method)} is above SFT by {values}, one a seed.")
    return sentences


def real(table: pd.DataFrame) -> list[str]:
    """Of each study at another profile, which method is better than which."""
    sentences = []
    table = table[(table["study"] != studies.WORLD) & (table["above"].fillna("") != "")]
    for (study, backbone), rows in table.groupby(["study", "backbone"], sort=False):
        seeds = int(rows["n_seeds"].max())
        said = [
            f"{row['method']} is {''.join(verdict(row, 'value', row['above']))}" for _, row in rows.iterrows()
        ]
        sentences.append(
            f"Pretrained weights, {backbone} ({study}, {seeds} seed{'s' * (seeds > 1)}): {'; '.join(said)}."
        )
    return sentences


def gains(table: pd.DataFrame) -> list[str]:
    """Each method beside SFT on the same problems and seeds, and its part of GRPO's gain."""
    table = table[(table["temperature"] == "validation") & ~table["method"].isin(["sft", "base"])]
    return [
        f"On {row['backbone']}, {label(row['method'])} is {''.join(verdict(row, 'above_sft', 'SFT'))}, and "
        f"has {interval(row, 'share_of_grpo', 'share_of_grpo_')} of GRPO's gain over the base policy."
        for _, row in table.iterrows()
    ]


def rerank(table: pd.DataFrame, policy: str) -> list[str]:
    """Choosing by the main reward against the other selectors, at the largest n."""
    sentences = []
    table = table[(table["policy"] == policy) & (table["variant"] == MAIN_VARIANT)]
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
    """The main reward against chance and the other detectors, by source of error, without step labels."""
    sentences = []
    table = table[table["variant"].isin(["", MAIN_VARIANT, baselines.LIKELIHOOD])]
    practical = table[(table["threshold"] == "perturbed") | (table["detector"] == "chance")]
    for (backbone, source, policy), rows in practical.groupby(
        ["backbone", "error_source", "policy"], sort=False
    ):
        by_detector = {row["detector"]: row for _, row in rows.iterrows()}
        against = " and ".join(
            compare(by_detector["reward"], by_detector[other], "hit_at_1", label(other))
            for other in ("chance", "likelihood", "logprob", "entropy")
            if other in by_detector
        )
        errors = f"errors of {label(policy)}" if source == "policy" else label(source)
        sentences.append(f"On {backbone}, {errors}: hit@1 of the reward is {against}.")
    return sentences


def reward_quality(table: pd.DataFrame) -> list[str]:
    """AUROC, calibration, whether a trained reward follows correctness more than format; and the main reward
    against what stands in its place, among the samples of one problem."""
    sentences = []
    for _, row in table[~table["variant"].isin(baselines.RULES)].iterrows():
        correct, form = row["corr_correct"], row["corr_format"]
        if math.isnan(correct) or math.isnan(form):
            verdict = "which cannot be compared"
        elif not row["corr_correct_ci_low"] > 0:
            verdict = "so it does not surely follow correctness"
        elif correct > abs(form):
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
