"""The embedded world: word problems as chains of operations on one quantity, solved in many styles.

A program writes each problem, so it knows the derivation: it can write the expert's trace and the trace of a
solver with misconceptions (`lib.data.wording` words both), and `lib.data.reading` says of any trace which
unit is the first wrong one. What a solver gets wrong and how he writes are drawn independently.
"""

import random
import re
from dataclasses import dataclass

from lib.data import wording
from lib.data.reading import evaluate
from lib.data.wording import EXPERT_STYLES, Style
from lib.text import traces

LARGEST = 100  # no quantity in a problem or an expert trace exceeds it
NAMES = "Ana Ben Cara Dan Eva Finn Gia Hugo Iris Jon Kira Leo Mia Ned Ola Pia".split()


@dataclass(frozen=True)
class Operation:
    """One sentence of a problem: what it does to the quantity `v`, and how it is misread.

    `right` and `wrong` are expressions in `v` and the sentence's number `n` that begin with `v`; `misread` is
    the probability that an unreliable solver writes `wrong`; `weight` how often the sentence occurs.
    """

    sentence: str
    right: str
    wrong: str
    misread: float
    weight: float = 1.0
    numbers: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Family:
    """A kind of story: its opening, its question, what the quantity counts, its operations."""

    opening: str
    question: str
    things: tuple[str, ...]
    unit: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Problem:
    """A question with its derivation: where the quantity starts, then one operation a step.

    `right` and `wrong` are expressions in which only `{v}`, the quantity so far, is open.
    """

    family: str
    question: str
    unit: str
    start: int
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    misread: tuple[float, ...]


FEW, SOME, MANY, STARTS = (
    tuple(range(2, 5)),
    tuple(range(2, 7)),
    tuple(range(3, 13)),
    tuple(range(6, 51)),
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


def _fits(expression: str) -> bool:
    try:
        return 2 <= evaluate(expression) <= LARGEST
    except ValueError:
        return False


def generate(rng: random.Random, family: str, n_steps: int) -> Problem:
    """A problem of `n_steps` different operations, every quantity a whole number in 2..LARGEST."""
    story = FAMILIES[family]
    while True:
        name, thing = rng.choice(NAMES), rng.choice(story.things)
        start = v = rng.choice(STARTS)
        chosen: list[tuple[Operation, int]] = []
        while len(chosen) < n_steps:
            numbered = [(o, rng.choice(o.numbers)) for o in story.operations]
            open_ = [
                (o, n)
                for o, n in numbered
                if all(o is not used for used, _ in chosen) and _fits(o.right.format(v=v, n=n))
            ]
            if not open_:
                break
            operation, n = rng.choices(open_, [o.weight for o, _ in open_])[0]
            chosen.append((operation, n))
            v = evaluate(operation.right.format(v=v, n=n))
        else:
            sentences = [o.sentence.format(name=name, n=n) for o, n in chosen]
            opening = story.opening.format(name=name, thing=thing, v=start)
            return Problem(
                family=family,
                question=" ".join([opening, *sentences, story.question]),
                unit=story.unit.format(thing=thing),
                start=start,
                right=tuple(o.right.format(v="{v}", n=n) for o, n in chosen),
                wrong=tuple(o.wrong.format(v="{v}", n=n) for o, n in chosen),
                misread=tuple(o.misread for o, _ in chosen),
            )


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
    if rng.random() < malformed:
        tag = rng.choice([traces.THINK_OPEN + "\n", "\n" + traces.THINK_CLOSE, traces.ANSWER_OPEN])
        trace = trace.replace(tag, "", 1)
    return trace


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


def mentions(question: str, operation: Operation) -> bool:
    """Whether a question contains an operation's sentence, whatever its name and number."""
    pattern = re.escape(operation.sentence).replace(r"\{name\}", r"\w+").replace(r"\{n\}", r"\d+")
    return re.search(pattern, question) is not None
