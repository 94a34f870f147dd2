"""How a derivation is worded: styles of writing the same steps, drawn without regard to what they say.

A style is how a whole trace is written. It changes no quantity: a wrong derivation can be written in every
style, and so can the right one.
"""

import ast
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

WORDINGS = {  # of + - * / and =
    "tight": ("+", "-", "*", "/", "="),
    "spaced": (" + ", " - ", " * ", " / ", " = "),
    "signs": ("+", "−", "×", "÷", " = "),
    "words": (" plus ", " minus ", " times ", " over ", " is "),
}
CONNECTIVES = {"Then": 0.6, "Now": 0.2, "So": 0.1, "Next": 0.06, "Here": 0.04}  # one is drawn for each line


@dataclass(frozen=True)
class Style:
    """Choices for a whole trace. `Style()` is the plainest: `12+4=16`, one operation a line.

    wording: a key of WORDINGS. lead: how a line begins, `none`, `connective` ("Then 12+4=16") or `numbered`
    ("1. 12+4=16"). restated: a quantity is said again, `none`, `before` ("from 12: 12+4=16") or `after`
    ("12+4=16, so 16"). units: the last number of an equation's statement gets its unit. commuted: what
    the quantity grows by comes first (`4+12=16`). paired: a line holds two operations
    (`12+4=16; 16*2=32`).
    """

    wording: str = "tight"
    lead: str = "none"
    restated: str = "none"
    units: bool = False
    commuted: bool = False
    paired: bool = False


# How often each choice occurs in the corpus; the choices are independent of each other, and of what is right.
# Skewed, so that how likely a trace is says more about its style than about its sense.
FREQUENCIES = {
    "wording": {"tight": 0.1, "spaced": 0.1, "signs": 0.65, "words": 0.15},
    "lead": {"none": 0.25, "connective": 0.65, "numbered": 0.1},
    "restated": {"none": 0.7, "before": 0.1, "after": 0.2},
    "units": {False: 0.8, True: 0.2},
    "commuted": {False: 0.8, True: 0.2},
    "paired": {False: 0.85, True: 0.15},
}

STYLES = tuple(Style(*choice) for choice in itertools.product(*FREQUENCIES.values()))
EXPERT_STYLES = tuple(
    Style(wording, units=units) for wording in ("tight", "spaced") for units in (True, False)
)


def draw(rng: random.Random) -> Style:
    """A style as the corpus has them."""
    return Style(*(rng.choices(list(f), list(f.values()))[0] for f in FREQUENCIES.values()))


def write(
    start: int, steps: Sequence[tuple[str, int]], unit: str, style: Style, rng: random.Random
) -> list[str]:
    """The lines of a derivation that begins at the quantity `start`.

    `steps` are expressions, such as `12+4`, each with its value. `rng` draws the connectives alone.
    """
    lines, so_far = [], start
    size = 2 if style.paired else 1
    for group in (steps[i : i + size] for i in range(0, len(steps), size)):
        result = group[-1][1]
        line = "; ".join(_equation(expression, value, unit, style) for expression, value in group)
        if style.restated == "before":
            line = f"from {so_far}: {line}"
        if style.restated == "after":
            line = f"{line}, so {_quantity(result, unit, style)}"
        if style.lead == "numbered":
            line = f"{len(lines) + 1}. {line}"
        if style.lead == "connective":
            line = f"{rng.choices(list(CONNECTIVES), list(CONNECTIVES.values()))[0]} {line}"
        lines.append(line)
        so_far = result
    return lines


def _equation(expression: str, value: int, unit: str, style: Style) -> str:
    if style.commuted:
        expression = commuted(expression)
    *operators, equals = WORDINGS[style.wording]
    table = str.maketrans(dict(zip("+-*/", operators, strict=True)))
    stated = str(value) if style.restated == "after" else _quantity(value, unit, style)
    return f"{expression.translate(table)}{equals}{stated}"


def _quantity(value: int, unit: str, style: Style) -> str:
    return f"{value} {unit}" if style.units else str(value)


def commuted(expression: str) -> str:
    """An expression whose outermost operator is + or * with its operands exchanged; any other as it is."""
    tree = ast.parse(expression, mode="eval")
    if isinstance(tree.body, ast.BinOp) and isinstance(tree.body.op, ast.Add | ast.Mult):
        tree.body.left, tree.body.right = tree.body.right, tree.body.left
    return ast.unparse(tree).replace(" ", "")
