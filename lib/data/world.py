"""The embedded world: word problems as chains of operations on one quantity, solved in many styles.

A program writes each problem, so it knows the derivation: it can write the expert's trace and the trace of a
solver with misconceptions (`lib.data.wording` words both), and `lib.data.reading` says of any trace which
unit is the first wrong one. What a solver gets wrong and how he writes are drawn independently.
"""

import random
import re

from lib.data import problems, wording
from lib.data.problems import LARGEST, Family, Operation, Problem, evaluate
from lib.data.wording import EXPERT_STYLES, Style
from lib.text import traces

FEW, SOME, MANY = (
    tuple(range(2, 5)),
    tuple(range(2, 7)),
    tuple(range(3, 13)),
)

# Some sentences hardly anyone misreads, and some are misread as often as not: neither the commonest reading
# nor the likeliest trace is then a good guess at the right one.
FAMILIES = {
    "stock": Family(
        "{name} has {v} {thing}.",
        "How many now?",
        ("apples", "shells", "stamps", "beads"),
        "{thing}",
        (
            Operation("{name} finds {n} more.", "{v}+{n}", "{v}-{n}", 0.02, 3.0, MANY),
            Operation("{name} loses {n}.", "{v}-{n}", "{v}+{n}", 0.02, 3.0, MANY),
            Operation("The pile doubles.", "{v}*2", "{v}+2", 0.36, 2.0),
            Operation("The pile triples.", "{v}*3", "{v}+3", 0.45),
            Operation("Half go to a friend.", "{v}/2", "{v}-2", 0.36, 2.0),
            Operation("A third are eaten.", "{v}-{v}/3", "{v}/3", 0.50),
            Operation("A quarter are sold.", "{v}-{v}/4", "{v}/4", 0.60, 0.7),
            Operation("{n} more such piles come.", "{v}*({n}+1)", "{v}*{n}", 0.40, 0.7, FEW),
            Operation("{name} and {n} friends share evenly.", "{v}/({n}+1)", "{v}/{n}", 0.40, 0.7, FEW),
            Operation("{n} dozen arrive.", "{v}+{n}*12", "{v}+{n}*10", 0.45, 1.0, FEW),
            Operation("{n} pairs arrive.", "{v}+{n}*2", "{v}+{n}", 0.36, 1.0, SOME),
            Operation("A score is added.", "{v}+20", "{v}+10", 0.60, 0.7),
        ),
    ),
    "shop": Family(
        "{name} picks a {thing} for {v} dollars.",
        "How much now?",
        ("lamp", "coat", "chair", "clock"),
        "dollars",
        (
            Operation("A fee of {n} is added.", "{v}+{n}", "{v}-{n}", 0.02, 3.0, MANY),
            Operation("A coupon takes {n} off.", "{v}-{n}", "{v}+{n}", 0.02, 3.0, MANY),
            Operation("{name} buys {n} of them.", "{v}*{n}", "{v}+{n}", 0.36, 2.0, SOME),
            Operation("{n} people split the bill.", "{v}/{n}", "{v}-{n}", 0.36, 2.0, SOME),
            Operation("There is 10 percent off.", "{v}-{v}/10", "{v}-10", 0.55),
            Operation("There is 20 percent off.", "{v}-{v}/5", "{v}-20", 0.60, 0.7),
            Operation("There is 25 percent off.", "{v}-{v}/4", "{v}-25", 0.45, 0.7),
            Operation("A tax of 10 percent is due.", "{v}+{v}/10", "{v}+10", 0.45),
            Operation("A tax of 50 percent is due.", "{v}+{v}/2", "{v}+50", 0.45, 0.7),
            Operation("A second one comes at half price.", "{v}+{v}/2", "{v}*2", 0.55, 0.7),
            Operation("A tip of {n} quarters is added.", "{v}+{n}/4", "{v}+{n}", 0.40, 0.7, (8, 12, 16, 20)),
            Operation("Half is refunded.", "{v}/2", "{v}-2", 0.36),
        ),
    ),
    "trip": Family(
        "{name} plans a {thing} of {v} minutes.",
        "How long now?",
        ("walk", "ride", "hike", "sail"),
        "minutes",
        (
            Operation("A detour costs {n} more.", "{v}+{n}", "{v}-{n}", 0.02, 3.0, MANY),
            Operation("A shortcut saves {n}.", "{v}-{n}", "{v}+{n}", 0.02, 3.0, MANY),
            Operation("{name} goes there and back.", "{v}*2", "{v}+2", 0.36, 2.0),
            Operation("{name} does it {n} times.", "{v}*{n}", "{v}+{n}", 0.36, 2.0, SOME),
            Operation("Half an hour of rest is added.", "{v}+30", "{v}+50", 0.55),
            Operation("A quarter hour of rest is added.", "{v}+15", "{v}+25", 0.45),
            Operation("{n} hours of rest are added.", "{v}+{n}*60", "{v}+{n}*10", 0.50, 0.7, (1, 2)),
            Operation("{name} goes twice as fast.", "{v}/2", "{v}*2", 0.50),
            Operation("{name} goes three times as fast.", "{v}/3", "{v}*3", 0.45, 0.7),
            Operation("A third is skipped.", "{v}-{v}/3", "{v}/3", 0.60, 0.7),
            Operation("{name} stops {n} times for 5 minutes.", "{v}+{n}*5", "{v}+{n}", 0.30, 1.0, SOME),
            Operation("The wind makes it half as long again.", "{v}+{v}/2", "{v}/2", 0.50, 0.7),
        ),
    ),
}


_THINGS = [thing for family in FAMILIES.values() for thing in family.things]
_OPEN = re.compile(rf"\b({'|'.join([*problems.NAMES, *_THINGS])})\b")


def outline(question: str) -> str:
    """A question without who it is about and what is counted: what two that differ in these alone share."""
    return _OPEN.sub("_", question)


def generate(rng: random.Random, family: str, n_steps: int) -> Problem:
    """A problem of a family; see `problems.generate`."""
    return problems.generate(FAMILIES, rng, family, n_steps)


def expert(problem: Problem) -> tuple[str, str]:
    """The expert's trace of a problem, in one of the experts' styles, and its answer."""
    rng = random.Random(problem.question)
    return solve(problem, [False] * len(problem.right), rng.choice(EXPERT_STYLES), rng)


def unreliable(problem: Problem, rng: random.Random, malformed: float) -> str:
    """A trace, in any style, by a solver who misreads each operation with its own probability.

    With probability `malformed` a tag of the trace is lost on top.
    """
    misread = [rng.random() < p for p in problem.misread]
    trace, _ = solve(problem, misread, wording.draw(rng), rng)
    return problems.lose_a_tag(trace, rng, malformed)


def solve(problem: Problem, misread: list[bool], style: Style, rng: random.Random) -> tuple[str, str]:
    """A trace in a style, and its answer: the derivation walked from the quantity the solver believes in.

    Operations are misread where told to. A reading that leaves 0..LARGEST is noticed, and the other one made
    if that stays inside; an inexact division of a quantity that is already wrong is rounded down.
    """
    v, steps = problem.start, []
    for right, wrong, slip in zip(problem.right, problem.wrong, misread, strict=True):
        readings = [reading.format(v=v) for reading in ((wrong, right) if slip else (right, wrong))]
        values = [evaluate(reading, round_down=True) for reading in readings]
        made = 1 if not 0 <= values[0] <= LARGEST and 0 <= values[1] <= LARGEST else 0
        v = values[made]
        steps.append((readings[made], v))
    return traces.render(wording.write(problem.start, steps, problem.unit, style, rng), str(v)), str(v)
