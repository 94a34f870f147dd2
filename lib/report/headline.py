"""What a reader should remember: sentences on the policy, its rivals and parts, the choice, the pointer.

Each number in them is a row of `table`, where it stands with its interval.
"""

import pandas as pd

from lib.evaluation import baselines, rivals
from lib.evaluation.tables import (
    EQUAL_WEIGHTS,
    LONGER,
    MAIN_VARIANT,
    NO_STRANGER,
    PAPER_VARIANT,
    PRACTICE,
    TWIN,
    by_backbone,
    times_grpo,
)
from lib.evaluation.words import reward_label, seeds
from lib.report.story import Story

TABLES = tuple(  # that it reads
    "gains long costs rerank localisation reward_quality reward_quality_sft rivals false_alarms".split()
)
OWN, STRANGERS = "practice on its own likelihood", "practice on a stranger's vote"
ELECTION, AS_MANY = "the election as it is", "SFT on as many"


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """One paragraph on each, by its first word; on rivals and parts where there are any."""
    return [f"{of}: {' '.join(said)}" for of, said in _story(tables).paragraphs.items()]


def table(studies: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """The numbers of `sentences` with their intervals, as text: `of`, `what`, and a column for each backbone
    of each study. `studies` has their tables, the first of no name; a number that only one has stands at the
    end of its paragraph.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for study, tables in studies.items():
        n_seeds = tables["gains"].groupby("backbone")["n_seeds"].max()
        for of, what, found in _story(tables).findings:
            for place, cell in found.items():
                name = place if study in ("", place) else f"{place} of {study}"
                column = f"{name}, {seeds([{'n_seeds': n_seeds[place]}])}"
                cells.setdefault((of, what), {})[column] = cell
    paragraphs = list(dict.fromkeys(of for of, _ in cells))
    rows = [{"of": of, "what": what} | cells[of, what] for of, what in cells]
    rows.sort(key=lambda row: paragraphs.index(row["of"]))
    return pd.DataFrame(rows).fillna("")


def _story(tables: dict[str, pd.DataFrame]) -> Story:
    story, gained = Story(), tables["gains"]
    _policy(story, gained)
    _longer(story, tables["long"])
    _rivals(story, gained)
    _costs(story, tables["costs"])
    _parts(story, gained)
    _amounts(story, gained)
    _choice(story, tables["rerank"], tables["rivals"])
    _style(story, tables["reward_quality"], tables["reward_quality_sft"])
    _pointer(story, tables["localisation"], tables["rivals"], tables["false_alarms"], tables["rerank"])
    return story


def _of_method(table: pd.DataFrame, method: str, temperature: str = "validation") -> dict[str, pd.Series]:
    """A method's row of `gains` on each backbone that has one."""
    return by_backbone(table, method=method, temperature=temperature)


def _policy(story: Story, gained: pd.DataFrame) -> None:
    best, greedy = (_of_method(gained, MAIN_VARIANT, name) for name in ("validation", "greedy"))
    of, than = "Policy", ("SFT", "above_sft")
    best, greedy = story.above(of, "pass@1", best, *than), story.above(of, "pass@1, greedily,", greedy, *than)
    story.tell(
        of,
        f"Trained on what is elected, the policy is {best}, each at the temperature that suits it, and "
        f"greedily {greedy}.",
    )


def _longer(story: Story, table: pd.DataFrame) -> None:
    """The policy on problems longer than any that it was trained on."""
    of, what = "Policy", "pass@1 on longer problems, greedily,"
    if ours := by_backbone(table, method=MAIN_VARIANT):
        sft = story.share(of, f"{what} of SFT", by_backbone(table, method="sft"), "pass_at_1")
        verdict = story.above(of, what, ours, "SFT", "above_sft", "above_sft_")
        story.tell(
            of,
            f"On problems longer than any that it was trained on, of which SFT greedily solves {sft}, it is "
            f"{verdict}.",
        )


def _costs(story: Story, table: pd.DataFrame) -> None:
    """What the method asks for beside GRPO, and so beside its rivals."""
    of, names = "Rivals", {"samples": "samples of the policy", "seconds": "time of a training"}
    table = table.assign(**{name: times_grpo(table, name) for name in names})
    if ours := by_backbone(table.dropna(subset=list(names)), method=MAIN_VARIANT):
        samples, time = (story.times(of, f"{what}, times GRPO's", ours, name) for name, what in names.items())
        story.tell(
            of,
            f"The election asks its policy for {samples} times the samples of GRPO and of these rivals, the "
            f"second model for as many again, and takes {time} times GRPO's time.",
        )


def _rivals(story: Story, gained: pd.DataFrame) -> None:
    """The main method beside others that practise, and what the vote and the likelihood are worth alone."""
    of, ours = "Rivals", _of_method(gained, MAIN_VARIANT)
    practices = (("ttrl", "practice on the plain vote"), (baselines.LIKELIHOOD, OWN), (PRACTICE, STRANGERS))
    against = [
        story.above(of, "pass@1", ours, than, f"above_{rival}", f"above_{rival}_")
        for rival, than in practices
        if any(pd.notna(row[f"above_{rival}"]) for row in ours.values())
    ]
    worth = [
        f"{than} is {story.above(of, than, rows, 'SFT', 'above_sft')}"
        for method, than in practices[:2]
        if (rows := _of_method(gained, method))
    ]
    if against:
        story.tell(of, f"It is {'; '.join(against)}.")
    if worth:
        story.tell(of, f"{_capital('; '.join(worth))}.")


def _parts(story: Story, gained: pd.DataFrame) -> None:
    """What is changed, beside what it is changed of."""
    _beside(
        story,
        "Parts",
        gained,
        ("an election without likelihoods to weigh and choose by", EQUAL_WEIGHTS, MAIN_VARIANT, ELECTION),
        ("an election by a policy and a copy of it", NO_STRANGER, MAIN_VARIANT, ELECTION),
        ("practice on the vote of an adversary that learns on", TWIN, PRACTICE, STRANGERS),
        ("practice on the paper's dense reward", PAPER_VARIANT, "sft", "SFT"),
        ("practice on the paper's dense reward for 300 steps", LONGER, "sft", "SFT"),
    )


def _amounts(story: Story, gained: pd.DataFrame) -> None:
    """More or less to learn from."""
    _beside(
        story,
        "Amounts",
        gained,
        ("an election with 16 demonstrations", "airl_16", "sft", AS_MANY),
        ("an election with 256 demonstrations", "airl_256", "sft", AS_MANY),
        ("an election without further questions", "unlabelled_0", MAIN_VARIANT, ELECTION),
        ("an election without further questions", "unlabelled_0", "sft", "SFT"),
        ("SFT on 256 demonstrations", "sft_256", MAIN_VARIANT, "the election with its fewer"),
        ("an election with 1,000 further questions", "unlabelled_1000", MAIN_VARIANT, ELECTION),
        ("an election with a quarter of the experts wrong", "wrong_experts_25", MAIN_VARIANT, ELECTION),
    )


def _beside(story: Story, of: str, gained: pd.DataFrame, *changes: tuple[str, str, str, str]) -> None:
    """A sentence on each change that ran: what it is, its method, a rival of `gains` and what that is called.

    One that has fewer seeds than others says how many.
    """
    for what, method, rival, than in changes:
        if rows := _of_method(gained, method):
            if all(row["n_seeds"] < gained["n_seeds"].max() for row in rows.values()):
                what = f"{what} ({seeds(rows.values())})"
            prefix = "" if rival == "sft" else f"above_{rival}_"
            verdict = story.above(of, what, rows, than, f"above_{rival}", prefix)
            story.tell(of, f"{_capital(what)} is {verdict}.")


def _choice(story: Story, chosen: pd.DataFrame, compared: pd.DataFrame) -> None:
    """The reward's choice among the most samples, and what it is above."""
    of, n = "Choice", chosen["n"].max()
    chosen = chosen[
        (chosen["n"] == n) & (chosen["selector"] == "reward") & (chosen["variant"] == MAIN_VARIANT)
    ]
    compared = compared[compared["use"] == rivals.CHOOSING]

    def against(policy: str, whose: str, **names: str) -> str:
        what, solved = f"choice among all samples of {whose}", by_backbone(chosen, policy=policy)
        solved = {place: row for place, row in solved.items() if row["accuracy"] > 0}  # others have no choice
        right = story.share(of, f"right {what}", solved, "accuracy")
        of_rivals = {rival: by_backbone(compared, policy=policy, rival=rival) for rival in names}
        of_rivals = {name: {p: rows[p] for p in solved if p in rows} for name, rows in of_rivals.items()}
        said = [
            story.above(of, what, rows, names[rival], "above") for rival, rows in of_rivals.items() if rows
        ]
        return f"right in {right}: {', '.join(said) or 'n/a'}"

    of_sft = {
        "majority": "the vote",
        baselines.LIKELIHOOD: "the policy's own SFT log-likelihood",
        PRACTICE: "the stranger's SFT log-likelihood",
    }
    story.tell(of, f"Among {n} samples of SFT the reward's choice is {against('sft', 'SFT', **of_sft)}.")
    if _solves(chosen):
        story.tell(of, f"Among the base policy's it is {against('base', 'base', majority='the vote')}.")


def _solves(chosen: pd.DataFrame) -> bool:
    """Whether the base policy is ever right."""
    return bool((chosen.loc[chosen["policy"] == "base", "accuracy"] > 0).any())


def _style(story: Story, of_base: pd.DataFrame, of_sft: pd.DataFrame) -> None:
    """What the reward prefers where being right and an expert's style speak against each other."""
    of, name, said = "Choice", "auroc_across_style", []
    for whose, quality in (("the base policy's", of_base), ("SFT's", of_sft)):
        quality = quality.dropna(subset=[name])
        rows, own = (by_backbone(quality, variant=of) for of in (MAIN_VARIANT, "base_logprob"))
        if rows:
            what = f"right trace in no expert's style preferred among {whose}"
            told = f"{story.share(of, what, rows, name, f'{name}_')} among {whose}"
            if own:
                free = story.share(of, f"{what}, by its log-probability", own, name, f"{name}_")
                told += f" (the base policy's own log-probability in {free})"
            said.append(told)
    if said:
        story.tell(
            of,
            "Of a right trace in a style that no expert uses and a wrong one in an expert's, of one problem, "
            f"it prefers the right one in {'; in '.join(said)}.",
        )


def _pointer(
    story: Story, located: pd.DataFrame, compared: pd.DataFrame, passed: pd.DataFrame, chosen: pd.DataFrame
) -> None:
    """How often the reward points at the first wrong step, beside its rivals, and at right traces.

    Not of a base policy that is never right, whose traces are wrong from their first step on, nor of real
    data, of which no one knows where a trace goes wrong.
    """
    located = located[located["error_source"] == "policy"]
    of, where = "Pointer", {"error_source": "policy", "variant": MAIN_VARIANT, "threshold": "perturbed"}

    def against(policy: str, whose: str, *names: str) -> str:
        what = f"first wrong step of {whose}'s traces"
        found = story.share(of, what, by_backbone(located, policy=policy, **where), "hit_at_1")
        key = {"use": rivals.POINTING, "error_source": "policy", "policy": policy}
        of_rivals = {rival: by_backbone(compared, rival=rival, **key) for rival in names}
        said = [
            story.above(of, what, rows, reward_label(rival), "above")
            for rival, rows in of_rivals.items()
            if rows
        ]
        return f"{found}: {', '.join(said) or 'n/a'}"

    if (located["policy"] == "sft").any():
        found = against("sft", "SFT", baselines.LIKELIHOOD, PRACTICE, "logprob", "first_unit")
        story.tell(of, f"Without step labels it finds the first wrong step of SFT's wrong traces in {found}.")
    if (located["policy"] == "base").any() and _solves(chosen):
        story.tell(of, f"Of the base policy's it finds {against('base', 'base', 'logprob', 'first_unit')}.")
    if right := by_backbone(passed, variant=MAIN_VARIANT, threshold="perturbed"):
        kept = story.share(of, "base's right traces passed", right, "accuracy_correct", "accuracy_correct_")
        what, name = "first wrong step of base's traces, where it may pass them,", "accuracy_erroneous"
        found = story.share(of, what, right, name, f"{name}_")
        most_ring = max(row["accuracy_correct"] for row in right.values()) < 0.5
        no_alarm = ": as an alarm it rings for most right traces" * most_ring
        story.tell(
            of,
            f"Where it may point at no step, it passes {kept} of that one's right traces, and finds {found} "
            f"of the first wrong steps{no_alarm}.",
        )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
