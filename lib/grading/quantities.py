"""Numbers as people write them, and what they are numbers of: `1,200`, `1 1/2`, `$5 per hour`, `12 cm`."""

import re
from fractions import Fraction
from typing import NamedTuple

SEPARATOR = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # of thousands

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,100})"
_QUANTITY = re.compile(
    rf"""(?P<sign>[-+]?)\ ?(?P<currency>[$€£¥]?)\ ?(?P<inner_sign>[-+]?)\ ?
    (?: (?:(?P<whole>\d{{1,100}})\ )? (?P<top>{_DIGITS})\ ?/\ ?(?P<bottom>{_DIGITS})
      | (?P<decimal>{_DIGITS}(?:\.\d{{0,100}})?|\.\d{{1,100}}) (?:[eE](?P<exponent>[-+]?\d{{1,3}}))? )
    (?![\d.,]|\^(?!\ ?\{{?\ ?\\circ)) (?P<rest>.*)""",
    re.VERBOSE,
)
_FRACTION = re.compile(r"\\frac ?(?:(\d) ?(\d)|\{ ?([\d,]+) ?\} ?\{ ?([\d,]+) ?\})")
_POWER_OF_TEN = re.compile(
    r"(?<=[\d.]) ?(?:\\times|\\cdot|[x×*·]) ?10 ?(?:\^|\*\*) ?(\{)?([-+]?\d{1,3})(?(1)\})"
)
_SCALE = re.compile(r"\s*(hundred|thousand|million|billion|trillion|dozens?|k(?![a-z]))\b", re.IGNORECASE)
_SCALES = {
    "hundred": 100, "thousand": 10**3, "k": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "dozens": 12,
}  # fmt: skip
_SYMBOLS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "%": "%"}
# a unit only apart from its number: 12m may be 12 times m
_LETTERS = set("mgshlLNJWVKCF")
_SPELLED = {
    "metre": "m", "meter": "m", "centimetre": "cm", "centimeter": "cm", "millimetre": "mm",
    "millimeter": "mm", "kilometre": "km", "kilometer": "km", "inch": "in", "inche": "in", "foot": "ft",
    "feet": "ft", "yard": "yd", "mile": "mi", "gram": "g", "gramme": "g", "kilogram": "kg", "kilo": "kg",
    "milligram": "mg", "ounce": "oz", "lb": "pound", "litre": "l", "liter": "l", "L": "l",
    "millilitre": "ml", "milliliter": "ml", "mL": "ml", "second": "s", "sec": "s", "minute": "min",
    "hour": "h", "hr": "h", "wk": "week", "yr": "year", "USD": "dollar", "buck": "dollar", "EUR": "euro",
    "GBP": "pound", "percent": "%", "percentage": "%", "pct": "%", "deg": "degree", "°": "degree",
    "mph": "mi/h", "kph": "km/h",
    "people": "person", "men": "man", "women": "woman", "children": "child",
}  # fmt: skip
# after a number these words say something else than what it counts
_NO_UNITS = set(
    "and or to not no plus minus times over by mod choose more less fewer greater than least most at is are "
    "was if but half halves third thirds fourth fourths fifth fifths sixth sixths eighth eighths tenth "
    "tenths squared cubed factorial of from into pi sqrt sin cos tan log ln exp i".split()
)
_UNIT = re.compile(r"(/ ?)?([^\W\d_]++|[%$€£¥°])(\^[23])? ?")
_UNITS = re.compile(rf"(?:{_UNIT.pattern}){{0,6}}")


class Quantity(NamedTuple):
    """A number and its unit in one spelling; the unit of a bare number is ""."""

    number: Fraction
    unit: str


def read(text: str) -> Quantity | None:
    """The one quantity that a text is; None where it is anything else or more, such as `3 hours 20 minutes`.

    A unit is what follows the number, at most a few words without a number: `18 red apples` has one.
    """
    text = _FRACTION.sub(r" \1\3/\2\4", text).strip()
    found = _QUANTITY.fullmatch(_POWER_OF_TEN.sub(r"e\2", text))
    if found is None:
        return None
    number = _number(found)
    scale = _SCALE.match(found["rest"])
    rest = found["rest"][scale.end() :] if scale else found["rest"]
    apart = bool(scale) or not found["rest"][:1].isalpha()
    unit = _unit(rest, apart)
    if number is None or unit is None:
        return None
    if found["currency"]:
        named = _SYMBOLS[found["currency"]]
        unit = named + unit.removeprefix(named)
        if not re.fullmatch(rf"{named}(/.*)?", unit):
            return None  # $5 apples
    return Quantity(number * (_SCALES[scale[1].lower()] if scale else 1), unit)


def same(a: Quantity, b: Quantity) -> bool:
    """Whether two quantities are equal: in number and unit, or in number where one has no unit.

    A percentage equals the bare number and the bare fraction: 50% is 50 and 1/2.
    """
    if a.number == b.number:
        return a.unit == b.unit or not (a.unit and b.unit)
    (bare, percent) = (a, b) if b.unit else (b, a)
    return bare.unit == "" and percent.unit == "%" and bare.number == percent.number / 100


def _number(found: re.Match) -> Fraction | None:
    """The value of a match of `_QUANTITY`; None for a fraction over 0 and for two signs."""
    if found["sign"] and found["inner_sign"]:
        return None
    if found["decimal"]:
        value = Fraction(found["decimal"].replace(",", "").rstrip("."))
        value *= Fraction(10) ** int(found["exponent"] or 0)
    else:
        top, bottom = (int(found[part].replace(",", "")) for part in ("top", "bottom"))
        if bottom == 0:
            return None
        value = int(found["whole"] or 0) + Fraction(top, bottom)
    return -value if "-" in (found["sign"], found["inner_sign"]) else value


def _unit(text: str, apart: bool) -> str | None:
    """A unit in one spelling: "" for none, None for what is no unit."""
    text = re.sub(r"\^\s*\{?\s*(?:\\circ|∘)\s*\}?|\\(?:circ|degree)\b", "°", text.strip())
    text = re.sub(r"\^\s*\{\s*([23])\s*\}", r"^\1", text).replace("²", "^2").replace("³", "^3")
    text = re.sub(r"\s*\b(?:per|a|an|each)\s+(?!cent\b)(?=\w)", "/", text.replace("per cent", "%"))
    text = re.sub(r"\b(?:square|sq)\.?\s+(\w+)|(\w+)\s+squared\b", r"\1\2^2", text)
    text = re.sub(r"\b(?:cubic|cu)\.?\s+(\w+)|(\w+)\s+cubed\b", r"\1\2^3", text)
    text = text.replace(".", "")
    if not _UNITS.fullmatch(text):
        return None
    spelled = []
    for slash, word, power in _UNIT.findall(text):
        variable = len(word) == 1 and word.isalpha() and not (word in _LETTERS and (apart or slash))
        if variable or word.casefold() in _NO_UNITS:
            return None
        spelled.append((slash.strip() or " ") + _spelling(word) + power)
    return "".join(spelled).strip()


def _spelling(word: str) -> str:
    word = _SYMBOLS.get(word, word)
    if len(word) == 1 or word in _SPELLED:
        return _SPELLED.get(word, word)
    word = word.casefold()
    if len(word) > 2 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-2] if re.search(r"(?:x|s|sh|ch)es$", word) else word[:-1]
    return _SPELLED.get(word, word)
