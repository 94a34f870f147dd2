from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.grading import quantities


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("5", 5, ""),
        ("-1 1/2", Fraction(-3, 2), ""),
        (r"1\frac{3}{4} cups", Fraction(7, 4), "cup"),
        (r"1.2 \times 10^{-1}", Fraction(3, 25), ""),
        ("$1,200.50", Fraction(2401, 2), "dollar"),
        ("$5 million", 5_000_000, "dollar"),
        ("£3 per kilogram", 3, "pound/kg"),
        ("9.8 m/s^2", Fraction(49, 5), "m/s^2"),
        ("3 sq. ft.", 3, "ft^2"),
        ("3 cubic inches", 3, "in^3"),
        ("12 L", 12, "l"),
        ("18 red apples", 18, "red apple"),
        ("7 feet", 7, "ft"),
        ("3 glasses", 3, "glass"),
    ],
)
def test_a_quantity_by_hand(text, number, unit):
    assert quantities.read(text) == quantities.Quantity(Fraction(number), unit)


@pytest.mark.parametrize(
    "text",
    ["", "five", "--5", "5 + 3", "1/0", "12m", "5 x", "3 hours 20 minutes", "2:3", "5 apples and 3 pears",
     "1,23", "1.2.3", "10^3", "5, 6", "$5 apples", "5 is it", "one two three", "5 a b c d e f g h"],
)  # fmt: skip
def test_what_is_no_quantity_or_more_than_one_is_none(text):
    assert quantities.read(text) is None


quantity = st.builds(
    quantities.Quantity, st.sampled_from([Fraction(1), Fraction(100)]), st.sampled_from(["", "%", "m", "cm"])
)


@given(quantity, quantity)
def test_a_missing_unit_is_any_and_other_units_differ(a, b):
    assert quantities.same(a, a) and quantities.same(a, b) == quantities.same(b, a)
    if a.unit and b.unit:
        assert quantities.same(a, b) == (a == b)
    elif "%" not in (a.unit, b.unit):
        assert quantities.same(a, b) == (a.number == b.number)
