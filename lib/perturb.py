"""Near misses: a trace changed by rule in one place, with the place where the change begins.

Works on the text of any trace with arithmetic in it. A change that leaves a checkable equation true,
such as 2 + 2 = 4 into 2 * 2 = 4, is never made.
"""

import ast
import operator
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from lib import traces


@dataclass(frozen=True)
class Perturbed:
    """A changed trace: which rule made it, and the offset in `text` of the first changed character."""

    text: str
    kind: str
    start: int


OPERATORS = "+-*/"
NUDGES = (-10, -3, -2, -1, 1, 2, 3, 10)  # in units of a number's last decimal place

_NUMBER = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d)")
_OPERATOR = re.compile(r"[\d)%][ \t]*([-+*/×÷x−])(?=[ \t]*[($]*\d)")
_MARKER = re.compile(r"\s*(?:[Ss]tep\s*)?\d+[.):]\s")  # "1. " or "Step 2: ", a number that claims nothing
_ANSWER = re.compile(r"<answer>([^<>]*)</answer>")
_EQUATION = re.compile(r"(?:[-+*/×÷−().,$\d \t=]|(?<=[\d \t])x(?=[ \t\d]))+")
_PLAIN = str.maketrans({"×": "*", "÷": "/", "x": "*", "−": "-", ",": None, "$": None})
_ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def flip_operator(trace: str, rng: random.Random) -> Perturbed | None:
    """Replace one operator between two numbers of the steps by another; None if there is none."""
    places = [m.span(1) for a, b in traces.step_spans(trace) for m in _OPERATOR.finditer(trace, a, b)]
    edits = [(a, b, new) for a, b in places for new in OPERATORS if new != trace[a:b].translate(_PLAIN)]
    return _first_false(trace, edits, "flip_operator", rng)


def nearby_answer(trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge a number inside the last `<answer>` tags; None if there is none."""
    answers = list(_ANSWER.finditer(trace))
    numbers = list(_NUMBER.finditer(trace, *answers[-1].span(1))) if answers else []
    return _first_false(trace, _nudges(numbers), "nearby_answer", rng)


def corrupt_number(trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge one number of the steps, list markers apart; None if there is none."""
    numbers = []
    for a, b in traces.step_spans(trace):
        marker = _MARKER.match(trace, a, b)
        numbers += _NUMBER.finditer(trace, marker.end() if marker else a, b)
    return _first_false(trace, _nudges(numbers), "corrupt_number", rng)


KINDS: dict[str, Callable[[str, random.Random], Perturbed | None]] = {
    "flip_operator": flip_operator,
    "nearby_answer": nearby_answer,
    "corrupt_number": corrupt_number,
}


def perturb(trace: str, rng: random.Random, count: int) -> list[Perturbed]:
    """`count` near misses of a trace, each by a rule drawn among those that apply.

    Raises ValueError if no rule applies: an unchanged trace must never pass for a wrong one.
    """
    perturbed = []
    for _ in range(count):
        applicable = [p for rule in KINDS.values() if (p := rule(trace, rng)) is not None]
        if not applicable:
            raise ValueError(f"no rule of {', '.join(KINDS)} applies to the trace {trace[:60]!r}")
        perturbed.append(rng.choice(applicable))
    return perturbed


def _nudges(numbers: Iterable[re.Match]) -> list[tuple[int, int, str]]:
    """The edits that move a number by a little and keep it positive, in the same notation."""
    edits = []
    for match in numbers:
        value = Decimal(match.group().replace(",", ""))
        places = -value.as_tuple().exponent
        for nudge in NUDGES:
            moved = value + Decimal(nudge).scaleb(-places)
            if moved > 0:
                comma = "," if "," in match.group() else ""
                edits.append((*match.span(), f"{moved:{comma}.{places}f}"))
    return edits


def _first_false(
    trace: str, edits: list[tuple[int, int, str]], kind: str, rng: random.Random
) -> Perturbed | None:
    """Make the first of the shuffled edits (start, end, new text) that does not leave a true equation."""
    for a, b, new in rng.sample(edits, len(edits)):
        text = trace[:a] + new + trace[b:]
        start = next((i for i, (x, y) in enumerate(zip(trace, text, strict=False)) if x != y), len(trace))
        if start < len(text) and not _true_equation_at(text, start):
            return Perturbed(text, kind, start)
    return None


def _true_equation_at(text: str, position: int) -> bool:
    """Whether the character is part of an equation that is known to hold."""
    for run in _EQUATION.finditer(text):
        if run.start() <= position < run.end():
            sides = [_value(side) for side in run.group().strip(" \t.,").split("=")]
            return len(sides) > 1 and None not in sides and len(set(sides)) == 1
    return False


def _value(expression: str) -> Fraction | None:
    """The exact value of an arithmetic expression; None if it is not one."""

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Fraction(str(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](value(node.left), value(node.right))
        raise ValueError(expression)

    if len(expression) > 200:
        return None
    try:
        return value(ast.parse(expression.translate(_PLAIN).strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None
