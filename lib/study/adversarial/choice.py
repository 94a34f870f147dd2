"""Which demonstrations a reward learns from, and on which questions its policy practises."""

import random

from lib.data.demonstrations import Demonstration
from lib.grading import answers
from lib.text import perturb, traces


def choose(
    demonstrations: list[Demonstration], train: list[Demonstration], settings, seed: int
) -> tuple[list[Demonstration], list[Demonstration]]:
    """The demonstrations to learn from, and the further questions to practise on, of the families asked for.

    Of the demonstrations `wrong_experts` of them, drawn by seed, become traces that end wrong. Those without
    near misses are counted in a line of output. Raises ValueError if there are too few demonstrations, if
    none has near misses, or if one cannot end wrong.
    """
    of_family = [
        [row for row in rows if not settings.families or row.family in settings.families]
        for rows in (demonstrations, train)
    ]
    experts = of_family[0][: settings.demonstrations]
    if len(experts) < settings.demonstrations:
        raise ValueError(
            f"airl.demonstrations: {settings.demonstrations} asked for, {len(experts)} there are of "
            f"families {', '.join(settings.families) or 'all'}; raise data.demonstrations"
        )
    rng = random.Random(seed)
    for i in rng.sample(range(len(experts)), round(settings.wrong_experts * len(experts))):
        experts[i] = experts[i].model_copy(update={"trace": _ends_wrong(experts[i], rng)})
    if settings.perturbations:
        kinds = perturb.SETS[settings.near_misses]
        without = sum(not perturb.applies(row.question, row.trace, kinds) for row in experts)
        if without == len(experts):
            raise ValueError(
                f"airl.near_misses: no rule of {settings.near_misses} applies to any of the {without} "
                "experts; take another set, or set airl.perturbations to 0"
            )
        if without:
            print(f"{without} of {len(experts)} experts have no near miss of {settings.near_misses}")
    return experts, of_family[1][: settings.unlabelled_questions]


def _ends_wrong(expert: Demonstration, rng: random.Random) -> str:
    """A carried near miss with another answer; where none is found, the expert with a nearby answer."""
    for _ in range(20):  # of two errors the second may mend the first
        made = perturb.perturb(expert.question, expert.trace, rng, 1, perturb.CARRIED)
        if not made:  # no rule can carry an error through this trace
            break
        if not answers.is_correct(traces.parse(made[0].text).answer, expert.answer):
            return made[0].text
    wrong = perturb.nearby_answer(expert.question, expert.trace, rng)
    if wrong is None:
        raise ValueError(
            f"airl.wrong_experts: nothing is known to be wrong in place of the answer {expert.answer!r} of "
            f"{expert.id}; set it to 0"
        )
    return wrong.text
