"""Reads the equations of a text, and writes it again with one of them changed."""

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

OPERATORS = "+-*/"
NUDGES = (-10, -3, -2, -1, 1, 2, 3, 10)  # in units of a number's last decimal place

NUMBER = re.compile(r"(?<![\d.,])(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?!\d)")
OPERATOR = re.compile(r"[\d)%][ \t]*([-+*/×÷x−–])(?=[ \t]*[($]*\.?\d)")

# Numbers that claim nothing: "1. ", "(1)", "- **2.**" at the start of a line, "### Step 3:" anywhere.
_LABEL = (
    r"(?:^|(?<=<think>))[ \t]*(?:(?:[-*+•>]|\#+)[ \t]+)*"
    r"(?:\*\*|__)?(?:\d+[.):]|\(\d+\)(?![ \t]*[-+*/×÷x−–=][ \t]*[\d($]))(?:\*\*|__)?(?!\S)"
    r"|\b(?i:step)[ \t]*\#?\d+(?![.,]?\d)(?:[.:)]|\*\*|__)*"
    r"|^[ \t]*(?:[-*+•>][ \t]+)+"
)
_LABEL_OR_NUMBER = re.compile(rf"(?m:{_LABEL})|(?P<number>{NUMBER.pattern})")

# A run is all that may belong to one calculation, whether it can be read or not: also 6:30 and 14, 400,
# powers, \times, a variable x, the rest of "1 and 1/2". A hyphen or slash before a word is the word's, as in
# 8-inch or $5/hour, and two stars are bold type.
_RUN = (
    r"(?:\d|\.(?=\d)|(?<=\d)[,:](?=\d)|(?<=\d),(?=[ ]\d{3}\b)|[+×÷−–=()$£€%^·⋅∙√± \t]"
    r"|[-/](?![^\W\d_]{2})|(?<!\*)\*(?!\*)|(?<=\d)\*\*(?=\d)|(?<=[ ])\*\*(?=[ ])|\\[A-Za-z]+"
    r"|(?<![^\W\d_])[xX](?![^\W\d_])|(?<=\d[ ])and[ ](?=[($]*\d+/\d))+"
)
_LABEL_OR_RUN = re.compile(rf"(?m:{_LABEL})|(?P<run>{_RUN})")
_ALONE = re.compile(rf"[($£€ \t]*(?P<number>{NUMBER.pattern})[)$£€ \t]*")
_SIDE = re.compile(rf"{_ALONE.pattern}(?:[-+*/×÷x−–][($£€ \t]*{NUMBER.pattern}[)$£€ \t]*)*")
_SAID = r"(?:times|plus|minus|(?:divided|multiplied) by)"
_SAID_BEFORE = re.compile(rf"{_SAID}[ \t]*\Z")
_GOES_ON = re.compile(  # as in 12 cm * 2
    rf"(?:[^\W\d_]+(?:[ /][^\W\d_]+){{0,3}}[ \t]*[-+*/×÷x−–]|{_SAID})[ \t]*[($]*\d"
)
_CENTS = re.compile(r"cents?\b")  # of dollars
_TIGHT = re.compile(r"/\s+(\d+/\d+)")  # in 6 / 1/2 the half is the divisor
_DECIMAL = re.compile(r"[\d,]*\.(\d+)")
_PLAIN = str.maketrans({"×": "*", "÷": "/", "x": "*", "−": "-", "–": "-", **dict.fromkeys(",$£€")})
_ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Equation:
    """An expression and its stated result, with where both stand in the text.

    The result is a number, or in a chain such as 5+5*3=5+15=20 the next expression.
    """

    expression: str
    result: str
    start: int  # of the expression; it ends at `start + len(expression)`
    result_start: int


def find(text: str) -> list[Equation]:
    """The equations of a text in order: numbers joined by operators, `=`, a number or another expression.

    Each is read whole or not at all: a side with a unit, a variable, a mixed number or any sign that is not
    arithmetic in it, or one that goes on behind a unit (72 cm * 2/3), belongs to no equation.
    """
    found = []
    for sides in _chains(text):
        while sides and NUMBER.fullmatch(text, *sides[0]):  # "Day 1 = 2 + 3" says nothing of 1
            del sides[0]
        found += [Equation(text[a:b], text[c:d], a, c) for (a, b), (c, d) in pairwise(sides)]
    return found


def holds(equation: Equation) -> bool:
    """Whether the result is the expression's value; one with decimals may be rounded or cut off."""
    return _agree(equation.expression, equation.result)


def numbers(text: str, start: int, stop: int) -> Iterator[re.Match]:
    """The numbers of a stretch of text, those of labels such as "Step 2:" apart."""
    return (m for m in _LABEL_OR_NUMBER.finditer(text, start, stop) if m["number"])


def replace(
    text: str, equation: Equation, expression: str, result: str, recomputed: int | None = None
) -> str | None:
    """The text with one equation replaced and its result carried on.

    Every later number equal to a result that changed becomes the new one, and equations that no longer
    hold, or that start at `recomputed`, are recomputed. None if a result cannot be written as `written`
    does or is an expression, or if a false equation would come true.
    """
    left_end = equation.start + len(equation.expression)
    pieces = [text[: equation.start], expression, text[left_end : equation.result_start], result]
    position, changed = equation.result_start + len(equation.result), {value(equation.result): result}

    def carried(start: int, stop: int) -> str:
        parts = []
        for m in numbers(text, start, stop):
            parts += [text[start : m.start()], changed.get(value(m.group()), m.group())]
            start = m.end()
        return "".join([*parts, text[start:stop]])

    right = result
    for later in find(text):
        left_end, end = later.start + len(later.expression), later.result_start + len(later.result)
        if end <= position:
            continue
        if later.start >= position:
            left = carried(later.start, left_end)
            pieces += [carried(position, later.start), left]
        else:  # the next of its chain
            left = right
        right = carried(later.result_start, end)
        if _agree(left, right) != (true := later.start == recomputed or holds(later)):
            right = written(value(left), text) if true and NUMBER.fullmatch(later.result) else None
            if right is None:
                return None
        pieces += [text[left_end : later.result_start], right]
        position = end
        changed[value(later.result)] = right
    return "".join([*pieces, carried(position, len(text))])


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
                new = f"{moved:{comma}.{places}f}"
                edits.append((*match.span(), new.removeprefix("0") if match.group()[0] == "." else new))
    return edits


def holds_at(text: str, position: int) -> bool:
    """Whether the character is part of an equation that is known to hold."""
    return any(
        sides[0][0] <= position < sides[-1][1]
        and all(_agree(text[slice(*left)], text[slice(*right)]) for left, right in pairwise(sides))
        for sides in _chains(text)
    )


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
        return evaluate(ast.parse(_TIGHT.sub(r"/(\1)", plain(expression).strip()), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _agree(left: str, right: str) -> bool:
    """Whether two sides have one value; a number with decimals on the right may be rounded or cut off."""
    if None in (values := (value(left), value(right))):
        return False
    beyond, decimal = values[0] - values[1], _DECIMAL.fullmatch(right)
    unit = Fraction(1, 10 ** len(decimal[1])) if decimal else 0
    return beyond == 0 or -unit / 2 <= beyond < unit


def _chains(text: str) -> Iterator[list[tuple[int, int]]]:
    """The spans of two or more sides that are each read whole, with nothing but `=` between them."""
    for run in _LABEL_OR_RUN.finditer(text):
        if "=" not in (run["run"] or ""):
            continue
        chain, stop = [], run.start() - 1
        for part in run["run"].split("="):
            start, stop = stop + 1, stop + 1 + len(part)
            goes_on = stop == run.end() and (
                _GOES_ON.match(text, stop) or ("$" in run["run"] and _CENTS.match(text, stop))
            )
            span = None if goes_on else _side(text, start, stop)
            if span:
                chain.append(span)
            if len(chain) > 1 and (not span or stop == run.end()):
                yield chain
            if not span:
                chain = []


def _side(text: str, start: int, stop: int) -> tuple[int, int] | None:
    """The span of an expression, without what encloses it; None if it is not one."""
    side = text[start:stop]
    surplus = side.count("(") - side.count(")")  # one opened before the equation, or closed after it
    if surplus == 1 and side.lstrip().startswith("("):
        start = text.index("(", start) + 1
    elif surplus == -1 and side.rstrip().endswith(")"):
        stop = text.rindex(")", start, stop)
    if start and re.match(r"\w\S", text[start - 1 : start + 1]):
        return None
    if _SAID_BEFORE.search(text[max(0, start - 20) : start]):
        return None
    if not _SIDE.fullmatch(text, start, stop) or value(text[start:stop]) is None:
        return None
    if alone := _ALONE.fullmatch(text, start, stop):
        return alone.span("number")
    side = text[start:stop]
    return start + len(side) - len(side.lstrip()), start + len(side.rstrip())
