"""The embedded world: word problems as chains of operations on one quantity.

A program writes each problem, so it knows the derivation: it can write the expert's trace, the
trace of a solver with a misconception, and say of any trace which unit is the first wrong one.
"""

import ast
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from lib.text import traces

LARGEST = 100  # no quantity in a problem or an expert trace exceeds it
NAMES = "Ana Ben Cara Dan Eva Finn Gia Hugo Iris Jon Kira Leo Mia Ned Ola Pia".split()


@dataclass(frozen=True)
class Operation:
    """One sentence of a problem: what it does to the quantity `v`, and how it is misread.

    `right` and `wrong` are expressions in `v` and the sentence's number `n`; `misread` is the
    probability that an unreliable solver writes `wrong`; `weight` how often the sentence occurs.
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


SMALL, MIDDLE, LARGE, STARTS = (
    tuple(range(2, 7)),
    tuple(range(3, 13)),
    tuple(range(3, 20)),
    tuple(range(6, 51)),
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
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}


def evaluate(expression: str, round_down: bool = False) -> int:
    """Value of an arithmetic expression in whole numbers.

    Raises ValueError for anything else; for an inexact division too, unless `round_down`.
    """

    def value(node: ast.AST) -> int:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            if type(node.op) in _OPERATORS:
                return _OPERATORS[type(node.op)](left, right)
            if isinstance(node.op, ast.Div) and right and (round_down or left % right == 0):
                return left // right
        raise ValueError(f"not whole-number arithmetic: {expression!r}")

    try:
        return value(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"not an expression: {expression!r}") from error


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
    """The expert's trace of a problem and its answer."""
    return _solve(problem, misread=[False] * len(problem.right))


def unreliable(problem: Problem, rng: random.Random, malformed: float) -> str:
    """A trace by a solver who misreads each operation with its own probability.

    With probability `malformed` a tag of the trace is lost on top.
    """
    trace, _ = _solve(problem, misread=[rng.random() < p for p in problem.misread])
    if rng.random() < malformed:
        tag = rng.choice([traces.THINK_OPEN + "\n", "\n" + traces.THINK_CLOSE, traces.ANSWER_OPEN])
        trace = trace.replace(tag, "", 1)
    return trace


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


def mentions(question: str, operation: Operation) -> bool:
    """Whether a question contains an operation's sentence, whatever its name and number."""
    pattern = re.escape(operation.sentence).replace(r"\{name\}", r"\w+").replace(r"\{n\}", r"\d+")
    return re.search(pattern, question) is not None


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
