"""What the embedded worlds share: problems as chains of operations on one quantity, and exact arithmetic."""

import ast
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from lib.text import traces

LARGEST = 100  # no quantity in a problem or an expert trace exceeds it
NAMES = "Ana Ben Cara Dan Eva Finn Gia Hugo Iris Jon Kira Leo Mia Ned Ola Pia".split()
STARTS = tuple(range(6, 51))
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}


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


def generate(families: dict[str, Family], rng: random.Random, family: str, n_steps: int) -> Problem:
    """A problem of `n_steps` different operations, every quantity a whole number in 2..LARGEST."""
    story = families[family]
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


def lose_a_tag(trace: str, rng: random.Random, malformed: float) -> str:
    """The trace, with probability `malformed` without one of its tags."""
    if rng.random() < malformed:
        tag = rng.choice([traces.THINK_OPEN + "\n", "\n" + traces.THINK_CLOSE, traces.ANSWER_OPEN])
        trace = trace.replace(tag, "", 1)
    return trace


def mentions(question: str, operation: Operation) -> bool:
    """Whether a question contains an operation's sentence, whatever its name and number."""
    pattern = re.escape(operation.sentence).replace(r"\{name\}", r"\w+").replace(r"\{n\}", r"\d+")
    return re.search(pattern, question) is not None
