from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import problems

expressions = st.recursive(
    st.integers(0, 99).map(str),
    lambda e: st.tuples(e, st.sampled_from("+-*/"), e).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=6,
)


@settings(max_examples=200)
@given(expressions)
def test_evaluation_agrees_with_python(expression):
    try:
        value = problems.evaluate(expression)
    except ValueError:
        assert "/" in expression  # only a division can fail
        return
    numbers = "".join(
        f"Fraction({w})" if w.isdigit() else w
        for w in expression.replace("(", " ( ").replace(")", " ) ").split()
    )
    assert value == eval(numbers, {"Fraction": Fraction})


@pytest.mark.parametrize(
    "expression",
    [
        "7 / 2",
        "1 / 0",
        "",
        "1 +",
        "2 ** 9",
        "True + 1",
        "1.5 + 1",
        "a + 1",
        "__import__('os').getcwd()",
        "(1, 2)",
        "1 if 2 else 3",
        "[1]",
    ],
)
def test_anything_but_whole_number_arithmetic_is_refused(expression):
    with pytest.raises(ValueError, match="not (whole-number arithmetic|an expression)"):
        problems.evaluate(expression)


def test_inexact_divisions_can_be_rounded_down():
    assert problems.evaluate("7 / 2 + 1", round_down=True) == 4
    with pytest.raises(ValueError, match="whole-number"):
        problems.evaluate("1 / 0", round_down=True)
