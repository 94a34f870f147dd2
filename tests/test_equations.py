import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lib import equations


def test_equations_of_a_text_by_hand():
    text = "Step 1: 48/2 = 24 clips, then $1,200.50 × 2 = $2,401.00; a = 3, 5 = 5, 12*(2+1)=36."
    found = equations.find(text)
    assert [(e.expression.strip(), e.result) for e in found] == [
        ("48/2", "24"),
        ("$1,200.50 × 2", "2,401.00"),
        ("12*(2+1)", "36"),
    ]
    for e in found:
        assert text[e.start :].startswith(e.expression) and text[e.result_start :].startswith(e.result)
        assert equations.value(e.expression) == equations.value(e.result)


@given(st.integers(1, 99), st.sampled_from("+-*/"), st.integers(1, 99))
def test_values_agree_with_fractions(a, sign, b):
    expected = {"+": a + b, "-": a - b, "*": a * b, "/": Fraction(a, b)}[sign]
    assert equations.value(f"{a} {sign} {b}") == expected
    assert equations.value(f"(({a}) {sign} {b})") == expected


def test_what_is_not_arithmetic_has_no_value():
    for text in ("", "a+1", "1/0", "2**3", "__import__('os')", "1+" * 200 + "1", "True"):
        assert equations.value(text) is None


def test_a_replaced_result_is_carried_on():
    text = "2. 6/2=3 dogs\n3. 3*4=12 legs, 5+5=10\nSo 12."
    first = equations.find(text)[0]
    assert equations.replace(text, first, "6-2", "4") == "2. 6-2=4 dogs\n3. 4*4=16 legs, 5+5=10\nSo 16."
    assert equations.replace(text, first, first.expression, first.result) == text
    assert equations.replace(text, first, "6+2", "8") is None  # 8 * 4 is more than twice the largest number


@given(st.text(alphabet="0123456789.,+-*/x=<>ab \n()$"))
def test_replacing_an_equation_by_itself_keeps_a_text_whose_equations_hold(text):
    found = equations.find(text)
    if found and all(equations.value(e.expression) == equations.value(e.result) for e in found):
        assert all(equations.replace(text, e, e.expression, e.result) == text for e in found)


def test_numbers_are_written_as_the_text_writes_them():
    assert equations.written(Fraction(7), "3 and 4") == "7"
    assert equations.written(Fraction(9), "3 and 4") is None
    assert equations.written(Fraction(-1), "3 and 4") is None
    assert equations.written(Fraction(7, 2), "3 and 4") is None
    assert equations.written(Fraction(7, 2), "3 and 4.50") == "3.50"
    assert equations.written(None, "3") is None


def test_nudges_keep_the_notation():
    new = [edit for *_, edit in equations.nudges(re.finditer(r"[\d,.]+", "1,000.5"))]
    assert new == ["999.5", "1,000.2", "1,000.3", "1,000.4", "1,000.6", "1,000.7", "1,000.8", "1,001.5"]
