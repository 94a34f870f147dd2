"""The embedded world: word problems as chains of operations on one quantity.

A program writes each problem, so it knows the derivation: it can write the expert's trace, the
trace of a solver with a misconception, and say of any trace which unit is the first wrong one.
"""

import random
import re

from lib.data import problems
from lib.data.problems import LARGEST, Family, Operation, Problem, evaluate
from lib.text import traces

SMALL, MIDDLE, LARGE = (
    tuple(range(2, 7)),
    tuple(range(3, 13)),
    tuple(range(3, 20)),
)

FAMILIES = {
    "stock": Family(
        "{name} has {v} {thing}.",
        "How many now?",
        ("apples", "shells", "stamps", "beads"),
        "{thing}",
        (
            Operation("{name} finds {n} more.", "{v}+{n}", "{v}+{n}+1", 0.10, 3.0, LARGE),
            Operation("{name} loses {n}.", "{v}-{n}", "{v}-{n}-1", 0.15, 3.0, LARGE),
            Operation("The pile doubles.", "{v}*2", "{v}+2", 0.35, 2.0),
            Operation("The pile triples.", "{v}*3", "{v}+3", 0.50),
            Operation("Half go to a friend.", "{v}/2", "{v}-2", 0.30, 2.0),
            Operation("A third are eaten.", "{v}-{v}/3", "{v}/3", 0.55),
            Operation("A quarter are sold.", "{v}-{v}/4", "{v}/4", 0.60, 0.7),
            Operation("{n} more such piles come.", "{v}*({n}+1)", "{v}*{n}", 0.50, 0.7, SMALL),
            Operation("{name} and {n} friends share evenly.", "{v}/({n}+1)", "{v}/{n}", 0.45, 0.7, SMALL),
            Operation("{n} dozen arrive.", "{v}+{n}*12", "{v}+{n}*10", 0.45, 1.0, SMALL),
            Operation("{n} pairs arrive.", "{v}+{n}*2", "{v}+{n}", 0.40, 1.0, MIDDLE),
            Operation("A score is added.", "{v}+20", "{v}+10", 0.50, 0.7),
        ),
    ),
    "shop": Family(
        "{name} picks a {thing} for {v} dollars.",
        "How much now?",
        ("lamp", "coat", "chair", "clock"),
        "dollars",
        (
            Operation("A fee of {n} is added.", "{v}+{n}", "{v}-{n}", 0.15, 3.0, LARGE),
            Operation("A coupon takes {n} off.", "{v}-{n}", "{v}+{n}", 0.15, 3.0, LARGE),
            Operation("{name} buys {n} of them.", "{v}*{n}", "{v}+{n}", 0.30, 2.0, SMALL),
            Operation("{n} people split the bill.", "{v}/{n}", "{v}-{n}", 0.30, 2.0, SMALL),
            Operation("There is 10 percent off.", "{v}-{v}/10", "{v}-10", 0.50),
            Operation("There is 20 percent off.", "{v}-{v}/5", "{v}-20", 0.55, 0.7),
            Operation("There is 25 percent off.", "{v}-{v}/4", "{v}-25", 0.55, 0.7),
            Operation("A tax of 10 percent is due.", "{v}+{v}/10", "{v}+10", 0.45),
            Operation("A tax of 50 percent is due.", "{v}+{v}/2", "{v}+50", 0.50, 0.7),
            Operation("A second one comes at half price.", "{v}+{v}/2", "{v}*2", 0.50, 0.7),
            Operation(
                "A tip of {n} quarters is added.", "{v}+{n}/4", "{v}+{n}", 0.45, 0.7, (8, 12, 16, 20, 24)
            ),
            Operation("Half is refunded.", "{v}/2", "{v}-2", 0.30),
        ),
    ),
    "trip": Family(
        "{name} plans a {thing} of {v} minutes.",
        "How long now?",
        ("walk", "ride", "hike", "sail"),
        "minutes",
        (
            Operation("A detour costs {n} more.", "{v}+{n}", "{v}+{n}+1", 0.15, 3.0, LARGE),
            Operation("A shortcut saves {n}.", "{v}-{n}", "{v}+{n}", 0.15, 3.0, LARGE),
            Operation("{name} goes there and back.", "{v}*2", "{v}+2", 0.35, 2.0),
            Operation("{name} does it {n} times.", "{v}*{n}", "{v}+{n}", 0.30, 2.0, SMALL),
            Operation("Half an hour of rest is added.", "{v}+30", "{v}+50", 0.50),
            Operation("A quarter hour of rest is added.", "{v}+15", "{v}+25", 0.50),
            Operation("{n} hours of rest are added.", "{v}+{n}*60", "{v}+{n}*10", 0.50, 0.7, (1, 2)),
            Operation("{name} goes twice as fast.", "{v}/2", "{v}*2", 0.45),
            Operation("{name} goes three times as fast.", "{v}/3", "{v}*3", 0.50, 0.7),
            Operation("A third is skipped.", "{v}-{v}/3", "{v}/3", 0.55, 0.7),
            Operation("{name} stops {n} times for 5 minutes.", "{v}+{n}*5", "{v}+{n}+5", 0.40, 1.0, SMALL),
            Operation("The wind makes it half as long again.", "{v}+{v}/2", "{v}/2", 0.55, 0.7),
        ),
    ),
}

_STEP = re.compile(r"(?P<expression>[-+*/() 0-9]{1,60})=\s*(?P<result>-?\d{1,9})\b")


def generate(rng: random.Random, family: str, n_steps: int) -> Problem:
    """A problem of a family; see `problems.generate`."""
    return problems.generate(FAMILIES, rng, family, n_steps)


def expert(problem: Problem) -> tuple[str, str]:
    """The expert's trace of a problem and its answer."""
    return _solve(problem, misread=[False] * len(problem.right))


def unreliable(problem: Problem, rng: random.Random, malformed: float) -> str:
    """A trace by a solver who misreads each operation with its own probability.

    With probability `malformed` a tag of the trace is lost on top.
    """
    trace, _ = _solve(problem, misread=[rng.random() < p for p in problem.misread])
    return problems.lose_a_tag(trace, rng, malformed)


def _solve(problem: Problem, misread: list[bool]) -> tuple[str, str]:
    """Walk the derivation from the quantity the solver believes in; misread where told to.

    A misreading that leaves 0..LARGEST is noticed and not made; an inexact division of a
    quantity that is already wrong is rounded down.
    """
    v, steps = problem.start, []
    for right, wrong, slip in zip(problem.right, problem.wrong, misread, strict=True):
        expression = right.format(v=v)
        if slip and 0 <= evaluate(wrong.format(v=v), round_down=True) <= LARGEST:
            expression = wrong.format(v=v)
        v = evaluate(expression, round_down=True)
        steps.append(f"{expression}={v} {problem.unit}")
    return traces.render(steps, str(v)), str(v)


def first_wrong_unit(text: str, expert_trace: str) -> int | None:
    """Index of the first wrong unit of any text (see `lib.text.traces`), or None if all are right.

    Step i is right if it states a true equation whose result is the expert's i-th: a step is
    judged by its value, not by how it is written. The final unit is right if the answer is and no
    step of the expert's is missing.
    """
    expected = [int(_STEP.search(step)["result"]) for step in traces.parse(expert_trace).steps]
    trace = traces.parse(text)
    for i, step in enumerate(trace.steps):
        if i >= len(expected) or _result(step) != expected[i]:
            return i
    if len(trace.steps) < len(expected) or not trace.answer or trace.answer != str(expected[-1]):
        return len(trace.steps)
    return None


def _result(step: str) -> int | None:
    """The result a step states, if its equation is true."""
    match = _STEP.search(step)
    if match is None:
        return None
    try:
        value = evaluate(match["expression"])
    except ValueError:
        return None
    return value if value == int(match["result"]) else None
