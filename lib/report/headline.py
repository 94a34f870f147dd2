"""What a reader should remember, in sentences: the policy, its rivals and parts, the choice, the pointer."""

import pandas as pd

from lib.evaluation import baselines, rivals
from lib.evaluation.tables import (
    EQUAL_WEIGHTS,
    MAIN_VARIANT,
    NO_STRANGER,
    PAPER_VARIANT,
    PRACTICE,
    TWIN,
    by_backbone,
)
from lib.evaluation.words import each, interval, label, listed, number, seeds

TABLES = tuple(  # that it reads
    "gains rerank localisation reward_quality reward_quality_sft rivals false_alarms".split()
)


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """One paragraph on each, by its first word; on rivals and parts where there are any."""
    gained = tables["gains"]
    said = {
        "Policy": [
            f"Trained on what is elected, it is {each(_of_method(gained, MAIN_VARIANT), 'above_sft', 'SFT')} "
            f"at "
            "the temperature that suits it, and "
            f"{each(_of_method(gained, MAIN_VARIANT, 'greedy'), 'above_sft', 'SFT')} greedily."
        ],
        "Rivals": [*_rivals(gained), *_cheaper(gained)],
        "Parts": [*_parts(gained), *_paper(gained)],
        "Choice": [
            _choice(tables["rerank"], tables["rivals"]),
            *_style(tables["reward_quality"], tables["reward_quality_sft"]),
        ],
        "Pointer": [_pointer(tables["localisation"], tables["rivals"], tables["false_alarms"])],
    }
    return [f"{of}: {' '.join(paragraph)}" for of, paragraph in said.items() if paragraph]


def _rivals(gained: pd.DataFrame) -> list[str]:
    """The main method beside others that practise."""
    ours = _of_method(gained, MAIN_VARIANT)
    against = [
        each(ours, f"above_{rival}", f"practice on {what}", f"above_{rival}_")
        for rival, what in (
            ("ttrl", "the plain vote"),
            (baselines.LIKELIHOOD, "its own likelihood"),
            (PRACTICE, "a stranger's vote"),
        )
        if any(pd.notna(row[f"above_{rival}"]) for row in ours.values())
    ]
    return [f"It is {', and '.join(against)}."] if against else []


def _paper(gained: pd.DataFrame) -> list[str]:
    paper = _of_method(gained, PAPER_VARIANT)
    return [f"Practice on the paper's dense reward is {each(paper, 'above_sft', 'SFT')}."] if paper else []


def _of_method(table: pd.DataFrame, method: str, temperature: str = "validation") -> dict[str, pd.Series]:
    """A method's row of `gains` on each backbone that has one."""
    return by_backbone(table, method=method, temperature=temperature)


def _cheaper(gained: pd.DataFrame) -> list[str]:
    """What the vote and the likelihood are worth by themselves."""
    worth = [
        f"{name} is {each(rows, 'above_sft', 'SFT')}"
        for name, method in (
            ("the vote alone", "ttrl"),
            ("the policy's own likelihood", baselines.LIKELIHOOD),
        )
        if (rows := _of_method(gained, method))
    ]
    return [f"As what a policy practises on, {'; '.join(worth)}."] if worth else []


def _parts(gained: pd.DataFrame) -> list[str]:
    """What is changed, the method in which it is, and what that is compared with."""
    election, vote, ours = "the election", "practice on a stranger's vote", f"above_{MAIN_VARIANT}"
    parts = [
        (f"Without likelihoods to weigh and choose by, {election}", EQUAL_WEIGHTS, ours, "with them"),
        (f"With two policies on one backbone {election}", NO_STRANGER, ours, "with a stranger"),
        (f"With an adversary that learns on, {vote}", TWIN, f"above_{PRACTICE}", "without one"),
    ]
    said = [
        f"{what} ({seeds(rows.values())}) is {each(rows, name, f'that {than}', f'{name}_')}."
        for what, method, name, than in parts
        if (rows := _of_method(gained, method))
    ]
    return said


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
            for place, row in by_backbone(chosen, policy=policy).items()
        )
        of = {rival: by_backbone(paired, policy=policy, rival=rival) for rival in names}
        said = [each(rows, "above", names[rival]) for rival, rows in of.items() if rows]
        return f"right in {right}: {', and '.join(said) or 'n/a'}"

    of_sft = {
        "majority": "the vote",
        baselines.LIKELIHOOD: "the policy's own SFT log-likelihood",
        PRACTICE: "the stranger's SFT log-likelihood, for which no election is needed,",
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
            for place, row in by_backbone(located, policy=policy, **where).items()
        )
        key = {"use": rivals.POINTING, "error_source": "policy", "policy": policy}
        of = {rival: by_backbone(paired, rival=rival, **key) for rival in names}
        said = [each(rows, "above", label(rival)) for rival, rows in of.items() if rows]
        return f"{found}: {', and '.join(said) or 'n/a'}"

    said = [
        "With a threshold chosen on perturbed experts, without step labels, it finds the first wrong step of "
        "SFT's wrong traces in "
        f"{against('sft', baselines.LIKELIHOOD, 'logprob', 'first_unit')}."
    ]
    if (located["policy"] == "base").any():
        said.append(f"Of the base policy's it finds {against('base', 'logprob', 'first_unit')}.")
    if right := by_backbone(passed, variant=MAIN_VARIANT, threshold="perturbed"):
        alarms = listed(
            f"{number(1 - row['accuracy_correct'])} on {place} (and where it may point nowhere, it finds "
            f"{number(row['accuracy_erroneous'])} of the first wrong steps)"
            for place, row in right.items()
        )
        said.append(
            f"It does not tell that nothing is wrong: it points into that one's right traces in {alarms}."
        )
    return " ".join(said)


def _style(of_base: pd.DataFrame, of_sft: pd.DataFrame) -> list[str]:
    """What the reward prefers where being right and an expert's style speak against each other."""
    name, said = "auroc_across_style", []
    for policy, quality in (("the base policy's", of_base), ("SFT's", of_sft)):
        rows = by_backbone(quality.dropna(subset=[name]), variant=MAIN_VARIANT)
        right = [f"{interval(row, name, f'{name}_')} on {place}" for place, row in rows.items()]
        follows = [place for place, row in rows.items() if row[f"{name}_ci_high"] < 0.5]
        if right:
            there = f", so that style counts for more than being right on {listed(follows)}" * bool(follows)
            said.append(f"among {policy} in {listed(right)}{there}")
    if not said:
        return []
    return [
        "Of a right trace in a style that no expert uses and a wrong one in an expert's, of one problem, it "
        f"prefers the right one {'; '.join(said)}."
    ]
