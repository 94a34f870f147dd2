import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lib.text import equations


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


def test_a_position_holds_where_it_is_part_of_a_true_equation():
    text = "so 2+3=5 beads, 7-1=5 coats, 2*3=6=12/2 and 8 more"
    held = {text[i] for i in range(len(text)) if equations.holds_at(text, i) and text[i].isalnum()}
    assert held == set("235612")
    assert not any(equations.holds_at(text, i) for i in range(text.index("7-1"), text.index("7-1") + 5))
    assert not equations.holds_at(text, text.index("8"))


@st.composite
def chains(draw):
    """Steps that each begin with the last one's result, all whole and positive, and their lines."""
    v, steps = draw(st.integers(20, 99)), []
    for _ in range(draw(st.integers(1, 4))):
        sign, n = draw(st.sampled_from("+-*")), draw(st.integers(2, 9))
        result = {"+": v + n, "-": v - n, "*": v * n}[sign]
        if not 0 < result < 200:
            break
        steps.append((v, sign, n, result))
        v = result
    return steps


@given(chains(), st.data())
def test_a_changed_result_is_recomputed_down_the_chain(steps, data):
    """Against the chain calculated anew: each later step takes over the changed number in its place."""
    text = "".join(f"{v}{sign}{n}={result} beads\n" for v, sign, n, result in steps)
    if not steps or len({m for v, _, n, r in steps for m in (v, n, r)}) < 2 * len(steps) + 1:
        return  # the same number twice may mean the same quantity or another
    at = data.draw(st.integers(0, len(steps) - 1))
    new = steps[at][3] + data.draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
    expected, v = "", None
    for i, (start, sign, n, result) in enumerate(steps):
        if i > at:
            start, result = v, {"+": v + n, "-": v - n, "*": v * n}[sign]
        v = new if i == at else result
        expected += f"{start}{sign}{n}={v} beads\n"
    values = [int(m) for m in re.findall(r"=(-?\d+)", expected)]
    largest = max(int(m) for m in re.findall(r"\d+", text))
    found = equations.find(text)[at]
    replaced = equations.replace(text, found, found.expression, str(new))
    assert replaced == (expected if all(0 < r <= 2 * largest for r in values[at + 1 :]) else None)
