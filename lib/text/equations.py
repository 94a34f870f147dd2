"""Reads the equations of a text, and writes it again with one of them changed."""

import ast
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

OPERATORS = "+-*/"
NUDGES = (-10, -3, -2, -1, 1, 2, 3, 10)  # in units of a number's last decimal place

NUMBER = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d)")
OPERATOR = re.compile(r"[\d)%][ \t]*([-+*/×÷x−])(?=[ \t]*[($]*\d)")
MARKER = re.compile(r"\s*(?:[Ss]tep\s*)?\d+[.):]\s")  # "1. " or "Step 2: ", a number that claims nothing

_CHAIN = re.compile(r"(?:[-+*/×÷−().,$\d \t=]|(?<=[\d \t])x(?=[ \t\d]))+")
_OPERAND = rf"[($ \t]*{NUMBER.pattern}[) \t]*"
_EQUATION = re.compile(
    rf"(?<![\d.,(])(?P<left>{_OPERAND}(?:[-+*/×÷x−]{_OPERAND})+)=[ \t]*\$?(?P<right>{NUMBER.pattern})"
)
_MARKER_OR_NUMBER = re.compile(rf"(?m:^{MARKER.pattern})|(?P<number>{NUMBER.pattern})")
_PLAIN = str.maketrans({"×": "*", "÷": "/", "x": "*", "−": "-", ",": None, "$": None})
_ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Equation:
    """An expression and its stated result, with where both stand in the text."""

    expression: str
    result: str
    start: int  # of the expression; it ends at `start + len(expression)`
    result_start: int


def find(text: str) -> list[Equation]:
    """The equations of a text in order: numbers joined by operators, `=`, a number."""
    return [
        Equation(m["left"], m["right"], m.start("left"), m.start("right")) for m in _EQUATION.finditer(text)
    ]


def replace(text: str, equation: Equation, expression: str, result: str) -> str | None:
    """The text with one equation replaced and its result carried on.

    Every later number equal to a result that changed becomes the new one, and equations that no longer
    hold are recomputed. None if a result cannot be written as `written` does.
    """
    left_end = equation.start + len(equation.expression)
    pieces = [text[: equation.start], expression, text[left_end : equation.result_start], result]
    position, changed = equation.result_start + len(equation.result), {value(equation.result): result}

    def carried(part: str) -> str:
        return _MARKER_OR_NUMBER.sub(
            lambda m: changed.get(value(m["number"]), m.group()) if m["number"] else m.group(), part
        )

    for later in find(text):
        if later.start < position:
            continue
        left, right = carried(later.expression), later.result
        if value(left) != value(right):
            right = written(value(left), text)
            if right is None:
                return None
        gap = text[later.start + len(later.expression) : later.result_start]
        pieces += [carried(text[position : later.start]), left, gap, right]
        position = later.result_start + len(later.result)
        changed[value(later.result)] = right
    return "".join([*pieces, carried(text[position:])])


def written(number: Fraction | None, text: str) -> str | None:
    """A number as the text would write it.

    None unless it is positive, at most twice the text's largest, and with no more decimals than the text has.
    """
    numbers = [Decimal(m.group().replace(",", "")) for m in NUMBER.finditer(text)]
    places = max((-n.as_tuple().exponent for n in numbers), default=0)
    if number is None or not 0 < number <= 2 * max(numbers, default=0):
        return None
    if number.denominator == 1:
        return str(number)
    return None if (number * 10**places).denominator > 1 else f"{float(number):.{places}f}"


def nudges(numbers: Iterable[re.Match]) -> list[tuple[int, int, str]]:
    """The edits (start, end, new) that move a number by a little; it stays positive, in the same notation."""
    edits = []
    for match in numbers:
        old = Decimal(match.group().replace(",", ""))
        places = -old.as_tuple().exponent
        for nudge in NUDGES:
            moved = old + Decimal(nudge).scaleb(-places)
            if moved > 0:
                comma = "," if "," in match.group() else ""
                edits.append((*match.span(), f"{moved:{comma}.{places}f}"))
    return edits


def holds_at(text: str, position: int) -> bool:
    """Whether the character is part of an equation that is known to hold."""
    for run in _CHAIN.finditer(text):
        if run.start() <= position < run.end():
            sides = [value(side) for side in run.group().strip(" \t.,").split("=")]
            return len(sides) > 1 and None not in sides and len(set(sides)) == 1
    return False


def plain(expression: str) -> str:
    """The expression in ASCII operators, without thousands separators and currency."""
    return expression.translate(_PLAIN)


def value(expression: str) -> Fraction | None:
    """The exact value of an arithmetic expression; None if it is not one."""

    def evaluate(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Fraction(str(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -evaluate(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](evaluate(node.left), evaluate(node.right))
        raise ValueError(expression)

    if len(expression) > 200:
        return None
    try:
        return evaluate(ast.parse(plain(expression).strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None
