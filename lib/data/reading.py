"""Reads a worded derivation: which of its steps is the first wrong one, and in which style it is written.

A step is judged by what it says, not by how it says it: its equations are evaluated exactly, and must lead
from a quantity of the derivation to a later one.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lib.data.problems import evaluate
from lib.data.wording import CONNECTIVES, WORDINGS, Style
from lib.text import traces

_PLAIN = {written.strip(): sign for w in WORDINGS.values() for written, sign in zip(w, "+-*/=", strict=True)}
_WORDED = re.compile("|".join(rf"\b{w}\b" if w.isalpha() else re.escape(w) for w in _PLAIN))
_MARKER = re.compile(r"\s*\d+[.)]\s")  # "1. " claims nothing
_CLAIM = re.compile(r"(?P<expression>[-+*/() 0-9]{1,60})=\s*(?P<result>-?\d{1,9})\b|(?P<number>\d+)")
_UNITS = re.compile(r"\d [a-z]+(?=;|$)", re.MULTILINE)


@dataclass(frozen=True)
class Claim:
    """What a line says in one place: an equation, or, with no expression, a quantity by itself."""

    expression: str | None
    result: int

    @property
    def numbers(self) -> list[int]:
        """The numbers of the expression, in order."""
        return [int(n) for n in re.findall(r"\d+", self.expression or "")]

    @property
    def holds(self) -> bool:
        """Whether the equation is true."""
        try:
            return self.expression is None or evaluate(self.expression) == self.result
        except ValueError:
            return False


def claims(line: str) -> Iterator[Claim]:
    """What a line says, in order: its equations in plain signs, and the numbers outside of them."""
    marker = _MARKER.match(line)
    plain = _WORDED.sub(lambda m: _PLAIN[m.group()], line[marker.end() if marker else 0 :])
    for m in _CLAIM.finditer(plain):
        yield Claim(m["expression"], int(m["result"] or m["number"]))


@dataclass(frozen=True)
class Derivation:
    """A problem's quantities, from the given one to the answer, and the numbers of each step between two."""

    quantities: tuple[int, ...]
    numbers: tuple[Counter[int], ...]


def derivation(expert_trace: str) -> Derivation:
    """What an expert's trace says; experts write one operation a line, and the quantity so far first."""
    steps = [c for line in traces.parse(expert_trace).steps for c in claims(line) if c.expression]
    return Derivation(
        quantities=(steps[0].numbers[0], *(c.result for c in steps)),
        numbers=tuple(Counter(c.numbers) for c in steps),
    )


def first_wrong_unit(text: str, expert_trace: str) -> int | None:
    """Index of the first wrong unit of any text (see `lib.text.traces`), or None if all are right.

    A step is right if its equations are true, lead from the quantity so far to the next one, however they
    are written, and if every other number in it is the quantity so far. One equation may take several
    operations at once, if its numbers are theirs. The final unit is right if the answer is and no operation
    is missing.
    """
    expected, trace = derivation(expert_trace), traces.parse(text)
    places = {0}  # how many operations may be done: a quantity can occur twice
    for i, step in enumerate(trace.steps):
        said = list(claims(step))
        for claim in said:
            places = _moved(places, claim, expected)
        if not places or not any(claim.expression for claim in said):
            return i
    last = len(expected.numbers)
    if last not in places or trace.answer != str(expected.quantities[last]):
        return len(trace.steps)
    return None


def _moved(places: set[int], claim: Claim, expected: Derivation) -> set[int]:
    """Where in the derivation a right claim leads; nowhere if it is wrong."""
    quantities = expected.quantities
    if claim.expression is None:
        return {i for i in places if quantities[i] == claim.result}
    if not claim.holds:
        return set()
    moves = ((i, j) for i in places for j in range(i + 1, len(quantities)) if quantities[j] == claim.result)
    return {j for i, j in moves if _makes(claim, i, j, expected)}


def _makes(claim: Claim, i: int, j: int, expected: Derivation) -> bool:
    """Whether an equation that ends at the j-th quantity makes the operations from the i-th to it.

    One operation is judged by its value. Several must be of their own numbers, without the quantities
    between them, for a misreading can hit upon a later quantity.
    """
    if j == i + 1:
        return expected.quantities[i] in claim.numbers and _operations(claim) == 1
    between = Counter(expected.quantities[i + 1 : j])
    return Counter(claim.numbers) == sum(expected.numbers[i:j], Counter()) - between


def style_of(text: str, expert_trace: str) -> Style | None:
    """The style a text is written in; None if it holds no equation.

    Choices that do not show, such as `commuted` where there is nothing to commute, are those of `Style()`.
    """
    steps = traces.parse(text).steps
    said = [list(claims(step)) for step in steps]
    if not any(claim.expression for line in said for claim in line):
        return None
    body = "\n".join(steps)
    so_far, commuted = derivation(expert_trace).quantities[0], False
    for claim in itertools.chain(*said):
        commuted |= _commuted(claim, so_far)
        so_far = claim.result
    connective = any(step.split(" ")[0] in CONNECTIVES for step in steps)
    return Style(
        wording=_wording(body),
        lead="connective" if connective else "numbered" if any(map(_MARKER.match, steps)) else "none",
        restated="after" if ", so " in body else "before" if "from " in body else "none",
        units=_UNITS.search(body) is not None,
        commuted=commuted,
        paired=any(sum(map(_operations, line)) > 1 for line in said),
    )


def _commuted(claim: Claim, so_far: int) -> bool:
    """Whether an equation begins with what the quantity grows by."""
    if so_far not in claim.numbers[1:]:
        return False
    # 12/2+12, (3+1)*3 and 3+(3-2) begin with the same number in either order
    last = re.search(rf"[*/)].*[+*] ?{so_far}\s*$|\+ ?\(", claim.expression)
    return claim.numbers[0] != so_far or last is not None


def _operations(claim: Claim) -> int:
    """How many operations a claim makes: two where two numbers are added or taken away in one expression."""
    if claim.expression is None:
        return 0
    return 2 if re.fullmatch(r"[^*/+-]+[+-][^*/+-]+[+-][^*/+-]+", claim.expression) else 1


def _wording(body: str) -> str:
    if re.search(r"[\d)] is \d", body):
        return "words"
    if re.search(r"[\d)] = \d", body):
        return "spaced" if re.search(r"[\d)] [-+*/] ", body) else "signs"
    return "tight"
