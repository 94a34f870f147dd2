r"""Which answers are the same: one equivalence grades them and counts their votes.

Equal texts are equal. A quantity equals another in number and unit (`lib.grading.quantities`), an option A
to J another by its letter, mathematics by math-verify (`lib.grading.mathematics`). All of an answer is read,
or it is a text: `12 m` is not `12 cm`, and `20 minutes` is not `3 hours 20 minutes`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from lib.grading import mathematics, quantities
from lib.grading.quantities import Quantity

SLOW_PAIRS = 3  # comparisons that may run out of time among the answers of one question

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")
_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_WRAPPED = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\*\*(.+)\*\*",
        r"`+(.+?)`+",
        r'"([^"]+)"',
        r"\$\$?((?:[^$]|(?<=\\)\$)+)\$\$?",
        r"\\\((.+)\\\)",
        r"\\\[(.+)\\\]",
        r"\\boxed\s*([^\s{}])",
        r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}",
        _TEXT.pattern,
        r"(?i:(?:the\s+)?(?:(?:final|correct)\s+)?(?:answer|option|choice)\b\s*(?:is\b|[:=])?\s*:?)\s*(.+)",
        r"([^.]|.*[^.])\.",
    )
]
# "The total is" before a quantity
_LEAD = re.compile(r"[^\W\d_][^\W\d]+(?:['’]?\s[^\W\d_]+){0,8}\s*(?:\b(?:is|are)\b|[:=])\s*(?=[-+$€£\d])")

_LETTER = re.compile(r"\(?([A-J])[).:]*")
_ONLY_OPTION = re.compile(r"\(?[A-J](?:\)|[.:]*\Z)")
_CHOICE = re.compile(r"\(?(?P<letter>[A-J])(?:[).:]+\s+|\s+[-–—]\s+)(?P<text>.+)", re.DOTALL)
# "or C", "C" or "C. D" after the first option, or "C)" anywhere; but neither "A fever" nor "E. coli"
_ANOTHER = re.compile(r"\A(?:or|and|&)\s+\(?[A-J]\b|\A\(?[A-J]\b\W*(?:\Z|[A-J]\b)|(?<!\w)[A-J]\)")
_LISTED = re.compile(r"[A-J](?:,\s*[A-J])*,?\s+(?:and|or|&)\s+[A-J]")  # an option's text, as in D. A, B and C
# "A. blue B. green" goes on with another option; "B. Vitamin C. It helps" does not
_NEXT = re.compile(r"(\w+)\W+[B-J][.:]\s+\w")
_LETTERED = {"vitamin", "vitamins", "hepatitis", "influenza", "type", "group", "class", "grade", "stage"}

_COMMAND = re.compile(r"\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_FUNCTIONS = set("sin cos tan cot sec csc log ln exp sqrt max min gcd lcm mod pi".split())


class Reading(NamedTuple):
    """What an answer says: an option's letter, a quantity, or mathematics or a text in one spelling."""

    text: str
    letter: str | None = None
    quantity: Quantity | None = None
    is_mathematics: bool = False


def is_correct(answer: str | None, gold: str) -> bool:
    """Whether an answer is the right one; a missing answer is not."""
    return answer is not None and equal(answer, gold)


def equal(a: str, b: str) -> bool:
    r"""Whether two answers to one question are the same, in either order.

    A text that begins with a letter, such as `E. coli`, is option E only beside an answer that is nothing
    but an option. A number without a unit equals one with it. What math-verify cannot compare in 5 s differs.
    """
    if _WHOLE_NUMBER.fullmatch(a) and _WHOLE_NUMBER.fullmatch(b):
        return int(a) == int(b)
    with_options = _names_option(a) or _names_option(b)
    try:
        return _same(_read(a, with_options), _read(b, with_options))
    except TimeoutError:
        return False


def classes(answers: Sequence[str | None]) -> list[int]:
    """Number the different answers to one question 0, 1, .. as they first appear; -1 for a missing one.

    The answers of a class are all equal to one another. Where an answer equals two that differ, such as 12
    beside 12 m and 12 cm, it is with the commoner one; the order of the answers changes nothing but the
    numbers.
    """
    given = {answer for answer in answers if answer is not None}
    with_options = any(_names_option(answer) for answer in given)
    reading_of = {answer: _read(answer, with_options) for answer in given}
    votes = Counter(reading_of[answer] for answer in answers if answer is not None)
    slow = 0
    groups: list[list[Reading]] = []
    for reading in sorted(votes, key=lambda reading: (-votes[reading], str(reading))):
        for group in groups:
            try:
                together = all(_same(reading, other, slow < SLOW_PAIRS) for other in group)
            except TimeoutError:
                slow, together = slow + 1, False
            if together:
                group.append(reading)
                break
        else:
            groups.append([reading])
    group_of = {reading: number for number, group in enumerate(groups) for reading in group}
    numbers: dict[int, int] = {}
    return [
        -1 if answer is None else numbers.setdefault(group_of[reading_of[answer]], len(numbers))
        for answer in answers
    ]


def _same(a: Reading, b: Reading, algebra: bool = True) -> bool:
    """Whether two readings say the same; raises TimeoutError if math-verify cannot tell in time."""
    if a.letter or b.letter:
        return a.letter == b.letter
    if a.quantity and b.quantity:
        return quantities.same(a.quantity, b.quantity)
    if a.text == b.text:
        return True
    return algebra and a.is_mathematics and b.is_mathematics and mathematics.equal(a.text, b.text)


@lru_cache(maxsize=2**16)
def _names_option(answer: str) -> bool:
    """Whether an answer can only be an option: as B, (B) or **B**, or by its bracket, as B) text."""
    text = _unwrapped(answer)
    return _letter(text) is not None and _ONLY_OPTION.match(text) is not None


def _letter(text: str) -> str | None:
    """The letter of the one option that an unwrapped answer names, alone or with its text; None otherwise."""
    if alone := _LETTER.fullmatch(text):
        return alone[1]
    choice = _CHOICE.fullmatch(text)
    if choice is None:
        return None
    letter, rest = choice["letter"], choice["text"].strip()
    if _LISTED.fullmatch(rest):
        return None if re.search(rf"\b{letter}\b", rest) else letter
    others = [word for word in _NEXT.findall(rest) if word.lower() not in _LETTERED]
    return None if others or _ANOTHER.search(rest) else letter


@lru_cache(maxsize=2**16)
def _read(answer: str, with_options: bool) -> Reading:
    if _WHOLE_NUMBER.fullmatch(answer):
        return _of_quantity(Quantity(Fraction(answer), ""))
    unwrapped = _unwrapped(answer)
    if with_options and (letter := _letter(unwrapped)):
        return Reading(letter, letter=letter)
    text = _plain(unwrapped)
    if len(text) > mathematics.LONGEST:
        return Reading(text)
    lead = _LEAD.match(text)
    quantity = quantities.read(text) or (quantities.read(text[lead.end() :]) if lead else None)
    if quantity is not None:
        return _of_quantity(quantity)
    if "\\" not in text:
        text = _WORD.sub(lambda word: word[0].casefold(), text)
    is_mathematics = _is_mathematics(text)
    return Reading(re.sub(r" ?([^\w ]) ?", r"\1", text), is_mathematics=is_mathematics)


def _of_quantity(quantity: Quantity) -> Reading:
    return Reading(str(quantity.number), quantity=quantity, is_mathematics=quantity.unit != "%")


def _unwrapped(answer: str) -> str:
    """An answer without what is written around one: bold, dollars, a box, `The answer is`, a full stop."""
    text, before = answer.strip(), None
    while text != before:
        before = text
        for wrapped in _WRAPPED:
            if found := wrapped.fullmatch(text):
                text = found[1].strip() or text
    return text


def _plain(text: str) -> str:
    """A text with one spelling of what is typeset: minus signs, spaces, separators, fractions."""
    text = re.sub(r"[¼-¾⅐-⅞]", lambda half: " " + unicodedata.normalize("NFKC", half[0]), text)
    text = re.sub(r"−|\A[–—](?=\s?[\d.$])", "-", text).replace("⁄", "/")
    text = re.sub(r"(?<!\\)\$([^$]+)(?<!\\)\$|\\[()]", r"\1", text)  # $5$ cm
    text = re.sub(
        r"(?<=\d)(?:\{,\}|\\,|[ \u00a0\u2009\u202f])(?=\d{3}(?![\d/]))", ",", text
    )  # separators of thousands
    text = _TEXT.sub(r" \1 ", text)
    text = re.sub(r"\\[,;:! ]|~|\\q?quad\b", " ", text)
    text = re.sub(r"\\([$%])", r"\1", text)
    text = re.sub(r"\\[dt]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"\\(?:left|right)(?![a-zA-Z])", "", text)
    text = re.sub(r"(?<=\w),?\s+and\s+(?=[\d\\(-])", ", ", text)  # 1331 and 1728
    return " ".join(re.sub(r"\s+\^", "^", text).split())


def _is_mathematics(text: str) -> bool:
    """Whether a text can be mathematics: no words, and an operator, a digit or a command."""
    words = _WORD.findall(_COMMAND.sub(" ", text))
    return (
        all(word in _FUNCTIONS for word in words)
        and re.search(r"[\d\\^=<>+*/]", text) is not None
        and re.search(r"\d \d|:", text) is None
    )
