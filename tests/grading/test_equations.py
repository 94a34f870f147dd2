import os
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data import corpora
from lib.grading import equations


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


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("4/20 + 15/20 = 19/20.", ["4/20 + 15/20 = 19/20"]),
        ("5+5*3=5+15=20 pieces", ["5+5*3 = 5+15", "5+15 = 20"]),
        ("1/2 = 0.5 = 2/4", ["1/2 = 0.5", "0.5 = 2/4"]),
        ("60 = 12*5, Day 1 = 3 * 4 = 12", ["3 * 4 = 12"]),  # it may be anything that is 60, or Day 1
        ("She has (3+4=7) or ($3 + $4 = $7)", ["3+4 = 7", "$3 + $4 = 7"]),
        ("2x3=6, 2 x 3 = 6, £2 × €3 = 6", ["2x3 = 6", "2 x 3 = 6", "£2 × €3 = 6"]),
        ("5 – 2 = 3 and 7 − 2 = 5", ["5 – 2 = 3", "7 − 2 = 5"]),
        (".25 + .5 = .75 cups", [".25 + .5 = .75"]),
        ("3*4=12cm, 3 * 2 = $6/hour, 8/2 = 4-inch", ["3*4 = 12", "3 * 2 = 6", "8/2 = 4"]),
        ("1) 3+4=7\n- 5+3=8\n**2.** 1+1=2\nStep 3: 2+2=4", ["3+4 = 7", "5+3 = 8", "1+1 = 2", "2+2 = 4"]),
        ("**3+4=7** \\(3+4=7\\)", ["3+4 = 7", "3+4 = 7"]),
    ],
)
def test_equations_that_are_read(text, read):
    assert [f"{e.expression} = {e.result}" for e in equations.find(text)] == read


@pytest.mark.parametrize(
    "text",
    [
        *("72 cm * 2/3 = 48 cm", "60 students x 2/3 = 40", "3 apples + 4 * 2 = 11", "7 blocks + 14 + 6 = 27"),
        *("8 * 1 1/2 = 12", "2 - 1/2 = 1 1/2", "12 x 1 and 1/4 = 15", "17/3=5 and 2/3", "$4/3=$1 and $1/3"),
        *("X*2 - $40 = $250", "2x - 6 = 4", "x + 3 + 4 = 9", "2y + 3 + 4 = 9", "p/2 + 3 + 1 = 69", "x = 3"),
        *("100/5 = 5A/5", "8/3 = 24/Y", "0 + 1 = 3S + 1 = 7", "3*30 = 30 + M trees", "2*(3+1 = 4) = 8"),
        *("14 * 5/7 = 2 dollars * 5", "6*2 = 4 cm per day * 3", "6+6 = 4 times 3", "2 times 3 + 4 = 10"),
        *("60 x 30 = 1 800", "14, 400 / 80 = 180", "80 000 x 2/100 = 1 600", "6:00+48 = 6:48", "1,2000+1=2"),
        *("2^3 + 1 = 9", "2**3 + 1 = 9", "2 ** 3 + 1 = 9", "2·3 + 4 = 10", "2 \\times 3 + 4 = 10", "√4+1=3"),
        *("3! + 4 = 10", "2(3+4) = 14", "-5 + 8 = 3", "3 - 5 = -2", "3 + 4 == 7", "3 + 4 >= 7", "1/0 = 5"),
        *("30% * 200 = 60", "$1 / 2 = 50 cents", "a2+3 = 5", "5+2 = 007", "5 = 5", "3 + = 7", "= 3 + 4 ="),
    ],
)  # fmt: skip
def test_what_cannot_be_read_whole_is_not_read(text):
    assert equations.find(text) == []


@given(st.lists(st.tuples(st.integers(1, 99), st.sampled_from([" + ", "-", "*", " x ", "/"])), min_size=2),
       st.data())  # fmt: skip
def test_a_word_after_any_operand_but_the_last_hides_the_equation(terms, data):
    numbers, signs = [str(n) for n, _ in terms], [sign for _, sign in terms[1:]]
    at = data.draw(st.integers(0, len(numbers) - 2))

    def joined(numbers):
        return numbers[0] + "".join(sign + n for sign, n in zip(signs, numbers[1:], strict=True))

    whole = joined(numbers)
    if len(whole) <= 200:
        assert [e.expression for e in equations.find(f"so {whole} = 7 beads")] == [whole]
    numbers[at] += data.draw(st.sampled_from([" cm", " beads", "kg", " of", " 1/2", "%", "y", "^2"]))
    assert equations.find(f"so {joined(numbers)} = 7 beads") == []


@pytest.mark.parametrize(
    ("text", "true"),
    [
        *((f"1/3={n}", True) for n in (".33", "0.33", "0.3", "0.3333")),
        *((f"2/3={n}", True) for n in ("0.67", "0.66", ".7", "$0.67")),
        *((f"1/3={n}", False) for n in (".34", "0.32", "0.4", "0")),
        ("7/2=3", False), ("7/2=4", False), ("7/2=3.5", True), ("1.5*3=4.6", False),
        ("1,200 * 2 = 2,400", True), ("1,200 * 2 = 2,401", False), ("5+5*3=5+15", True), ("5+5*3=5+5", False),
        ("28 / 1/5 = 140", True), ("28/1/5 = 5.6", True), ("1/2 = 2/4", True), ("1/2 = 1/4", False),
    ],
)  # fmt: skip
def test_whether_an_equation_holds(text, true):
    (equation,) = equations.find(text)
    assert equations.holds(equation) == true


@given(st.integers(1, 999), st.integers(1, 99), st.integers(1, 4), st.integers(-3, 3))
def test_a_rounded_result_holds_and_one_further_off_does_not(a, b, places, off):
    """Against the quotient rounded to a whole number of its last place, or cut off there."""
    units = a * 10**places
    stated = units // b + off
    accepted = {units // b, (2 * units + b) // (2 * b)}
    if units % b * 2 == b:
        accepted.add(units // b + 1)
    if stated > 0 and units % b:
        text = f"{a}/{b} = {stated // 10**places}.{stated % 10**places:0{places}d}"
        assert equations.holds(*equations.find(text)) == (stated in accepted)


MISREAD = {  # true as meant: in cents, ". 84", 5 thousand, a remainder, 14 / (1 / 4), day 1, weeks 1 to 2
    (717, "100 * 0.75 = 0.75"), (3234, "84 + .82 = 2.46"), (3860, "5 * 3 = 15,000"), (4505, "13 / 6 = 2"),
    (4594, "14 / 1 / 4 = 14 * 4"), (5397, "1 * 2 = 20"), (6591, "1-2 = 96 - 70"),
}  # fmt: skip
FALSE = {  # really, by line of train.jsonl
    (168, "192*100 = 1920"), (169, "6*2.5 = 18.00"), (199, "6/3 = .5"), (503, "3/1 = 1"), (3003, "8*3 = 240"),
    (225, "4080 + 4080 / 2 = 4000 + 2040"), (225, "4000 + 2040 = 6120"), (3335, "$4200+$3000 = 8600"),
    (3410, "10 x .5 = 10"), (4692, "2*8 = 24"), (4974, "200*.55 = 100"), (5196, "5 x 1/2 = 10"),
    (5782, "7+9+1+2 = 19.50"), (6158, "70 + 40 = 100"), (6257, "10 x 1,248 = 11,480"),
    (6701, "2 / 12 = .125"), (6714, "3 x (8/16) = 6"), (6761, "4+4+6 = 18"), (6813, "50-8 = 44"),
    (6843, "500/ 2/5 = 200"), (6843, "500/ 1/10 = 50"), (7179, "1152/ 1,536 = .5"), (7445, "14*20 = 140"),
}  # fmt: skip


@pytest.mark.skipif("STUDY_GSM8K" not in os.environ, reason="STUDY_GSM8K names no directory of GSM8K")
def test_the_false_equations_of_gsm8k():
    rows = corpora.read("gsm8k", os.environ["STUDY_GSM8K"], "train")
    found = [(i, e) for i, row in enumerate(rows, start=1) for e in equations.find(row.trace)]
    assert len(found) > 20_000
    false = {(i, f"{e.expression} = {e.result}") for i, e in found if not equations.holds(e)}
    assert false == FALSE | MISREAD and len(MISREAD) < 10


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


def test_a_chain_is_carried_through_or_given_up():
    text = "5+5*3=5+15=20 pieces, 20*2=40"
    first, second, _ = equations.find(text)
    assert equations.replace(text, second, "5+15", "18") == "5+5*3=5+15=18 pieces, 18*2=36"
    assert equations.replace(text, first, "5+5*4", "25") == "5+5*4=25=25 pieces, 25*2=50"
    text = "2+3=5, 5*2=4+6=10"
    assert equations.replace(text, equations.find(text)[0], "2+4", "6") is None  # 4+6 is not to be computed


def test_a_later_false_equation_is_not_mended():
    text = "2+3=5, 5*2=11, 1/3=0.33, 12-5=7"
    first = equations.find(text)[0]
    assert equations.replace(text, first, "2+4", "6") == "2+4=6, 6*2=11, 1/3=0.33, 12-6=6"
    assert equations.replace("2+3=5, 5*2=12", first, "2+4", "6") is None  # 6*2=12 would come true


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
