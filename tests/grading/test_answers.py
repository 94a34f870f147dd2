"""What is the same answer: spellings by hand, options, mathematics, votes."""

import itertools
import random
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import world
from lib.grading import answers
from lib.text import traces

# --- grading ---

SAME = [
    ("12", "12"), ("012", "12"), ("12.0", "12"), ("1,200", "1200"), (r"\frac{1}{2}", "0.5"), ("-0", "0"),
    # texts
    ("yes", "yes"), ("Tuesday", "Tuesday"), (r"\sqrt{3}", r"\sqrt{3}"), ("Yes.", "yes"), ("2:3", "2 : 3"),
    (r"\text{yes}", "yes"), ("E. coli", "E. coli"), ("(1, 2)", "(1,2)"), ("**Tuesday**", "tuesday"),
    # numbers
    ("1 1/2", "1.5"), (r"\text{13}", "13"), ("−3", "-3"), ("– 3", "-3"),
    (r"1.2\times 10^3", "1200"), ("1{,}200", "1200"),
    ("+5", "5"), ("`5`", "5"), (r"1\frac{1}{2}", "3/2"), ("1½", "3/2"), ("½", "0.5"), (r"\dfrac12", "1/2"),
    (r"1\,200", "1200"), ("1\u202f200", "1200"), ("1 200 km", "1,200 km"),
    ("1.2e3", "1200"), ("5.", "5"), (".5", "1/2"), (r"\boxed{5}", "5"),
    (r"\boxed 5", "5"), ("-1.5E-1", "-0.15"), ("1,200.50", "1200.5"),
    ("$5$", "5"), (r"\(5\)", "5"), (r"\[ 5 \]", "5"), (r"$\boxed{\frac{1}{2}}$", "0.5"), ("Answer: 5", "5"),
    ("The answer is **5**.", "5"), ("The total is 18 dollars", "18"), ("2 dozen", "24"),
    ("5 million", "5,000,000"),
    # units
    ("$18", "18"), ("18 dollars", "$18"), ("18 dollars", "18.00"), (r"\$18", "18"), (r"$\$18$", "18"),
    ("-$5", "$-5"), ("5 m^2", "5 square meters"), ("5 m²", "5 m^{2}"), (r"5\,\text{cm}^2", "5 cm^2"),
    ("$5/hour", "$5 per hour"), ("5 dollars an hour", "$5/hr"), ("60 mph", "60 miles per hour"),
    ("12cm", "12 centimeters"), ("50%", "50"), ("50%", "0.5"), ("50 percent", r"50\%"), ("90°", r"90^\circ"),
    ("19 triples", "19"), ("$5$ cm", "5 cm"), (r"\(5\) dollars", "$5"), ("18$", "$18"),
    ("18 Apples", "18 apples"), ("2 boxes", "2 box"),
    # mathematics
    ("x = 5", "5"), ("2^{10}", "1024"), (r"\frac{2}{\sqrt{2}}", r"\sqrt2"), ("x^2+1", "1 + x^2"),
    ("1331 and 1728", "1728, 1331"), (r"\left(1,2\right)", "(1,2)"), ("2(x+1)", "2x+2"),
]  # fmt: skip

DIFFERENT = [
    ("-3", "3"), ("13", "12"), ("", "12"), ("eleven", "12"), ("1,23", "123"), ("12,3456", "123456"),
    ("yes", "no"), ("2:3", "2/3"), (r"\alpha", r"\beta"), ("not 5", "5"), ("it is not 5", "5"),
    # all of it is read
    (r"1-\sqrt{2}", r"1+\sqrt{2}"), ("12 m", "12 cm"), ("20 minutes", "3 hours 20 minutes"),
    ("1728", "1331 and 1728"), ("12 or 13", "12"), ("1 2", "12"), ("1 2", "3"), ("1331 1728", "13311728"),
    ("12 +", "12"),
    ("12:30", "12"),
    ("18 apples\n19", "18"), ("5!", "5"), ("2x", "2"), ("5 pi", "5"), ("5 squared", "5"), ("5 less", "5"),
    ("2 dozen", "2"), ("5 million", "5"), ("5k", "5"), ("12 p.m.", "12 a.m."), ("$5/hour", "$5/day"),
    ("12 miles", "12 miles per hour"), ("5 m^2", "5 m"), ("0.0000001", "0"), ("y = 5", "x = 5"), ("1/0", "0"),
    ("5 halves", "5"), ("5-6", "5"), ("5 of 6", "5"), ("(1,2)", "(2,1)"), ("50%", "5"), ("--", "5"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME)
def test_one_answer_has_many_spellings(a, b):
    assert answers.is_correct(a, b) and answers.is_correct(b, a)
    assert answers.classes([a, b]) == [0, 0]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_an_answer_is_right_only_if_all_of_it_is(a, b):
    assert not answers.is_correct(a, b) and not answers.is_correct(b, a)
    assert answers.classes([a, b]) == [0, 1]


def test_a_missing_answer_is_wrong_and_has_no_vote():
    assert not answers.is_correct(None, "12")
    assert answers.classes([None, "5", None, "6", "5.0"]) == [-1, 0, -1, 1, 0]


numbers = st.fractions(max_denominator=99).filter(lambda x: abs(x) < 10**12)


@given(numbers, numbers)
def test_numbers_are_equal_by_value(a, b):
    for written in (str(a), rf"$\frac{{{a.numerator}}}{{{a.denominator}}}$" if a > 0 else f"{a} dollars"):
        assert answers.equal(written, str(b)) == (a == b)
        assert answers.equal(written, str(a))


@given(st.integers(-(10**15), 10**15), st.integers(0, 3))
def test_a_number_with_separators_and_decimals_is_the_number(number, places):
    exact = Fraction(number, 10**places)
    assert answers.equal(f"{number / 10**places:,.{places}f}", f"{exact.numerator}/{exact.denominator}")


@settings(max_examples=300)
@given(st.text("0159.,/-+ $%()abcABC\\{}^=:\n", max_size=30))
def test_any_text_is_equal_to_itself(text):
    assert answers.equal(text, text) and answers.classes([text, text]) == [0, 0]


@pytest.mark.parametrize(
    "text",
    ["a" * 5000, "1" * 5000, "(" * 3000, "5 " + "a " * 3000, "\\boxed{" * 999, "B. C. " + "x C. " * 999,
     "1 / " * 999, "$" * 4000, "5" + "m" * 5000 + "!", "**" * 2000, "the answer is " * 500,
     "5 m" + "/m" * 2000],
)  # fmt: skip
def test_long_and_strange_texts_are_read_at_once(text):
    start = time.monotonic()
    assert not answers.equal(text, "5") and not answers.equal("B", text)
    assert time.monotonic() - start < 3


# --- options ---


@pytest.mark.parametrize(
    "answer",
    ["B", " B\n", "(B)", "B.", "B)", "B) text", "(B) text", "B. text", "B: a text, and more", "B) Vitamin A",
     "B) A fever and a cough", "B. E. coli", "B) Vitamins A and D", "B.\ntext", "**B**", r"\boxed{B}", "$B$",
     "Answer: B", "B - some text", "B – some text", "The answer is B.", "**B. text**", r"$\text{B}$", "`B`",
     "Option B", "The correct answer is (B) text.", "B. Vitamin C. It helps", "B. A, C and D",
     "B: A and C only", r"\boxed{\text{(B)}}"],
)  # fmt: skip
def test_an_option_counts_by_its_letter(answer):
    assert answers.is_correct(answer, "B")
    assert not any(answers.is_correct(answer, gold) for gold in "ACDEFGHIJ")
    assert answers.classes([answer, "B", "A"]) == [0, 0, 1]


@pytest.mark.parametrize(
    "answer",
    ["A or B", "A, B", "A and B", "A B", "A/B", "(A) or (B)", "A) or B)", "A. or B.", "A. B.", "A. B. C",
     "AB", "A) text B) text", "A) text\n(B) text", "A: B", "Because", "A fever", "a", "b", "", "text", None,
     "A. blue B. green", "A. Blue B. Green", "A - B", "A. A, B and C", "I think"],
)  # fmt: skip
def test_a_reply_that_does_not_name_one_option_is_wrong(answer):
    assert not any(answers.is_correct(answer, gold) for gold in "ABCDEFGHIJ")


@given(
    st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=2, max_size=5, unique=True),
    st.sampled_from(["{}", "({})", "{})", "{}."]),
    st.sampled_from([", ", " or ", " and ", " ", "/", ",", " & ", ", or ", "; ", "\n"]),
)
def test_several_options_are_never_right(letters, form, between):
    answer = between.join(form.format(letter) for letter in letters)
    assert not any(answers.is_correct(answer, gold) for gold in letters)


def test_a_name_that_begins_with_a_letter_is_an_option_only_among_options():
    assert not answers.equal("E. coli", "E. faecalis")
    assert answers.classes(["E. coli", "E. faecalis", "E. coli"]) == [0, 1, 0]
    assert answers.classes(["E. coli", "E", "C"]) == [0, 0, 1]


# --- votes ---


def test_one_answer_in_several_spellings_gets_all_its_votes():
    assert answers.classes(["$18", "20", "18", "18 dollars", "18.00", "20.0"]) == [0, 1, 0, 0, 0, 1]
    assert answers.classes(["1234", "1,234", " 1,234\n"]) == [0, 0, 0]
    assert answers.classes(["B", "(B)", "B)", "B.", "B) a text", "C"]) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "given",
    [
        ["12", "12 m", "12 cm", "12 cm"],
        ["x = 5", "5", "y = 5", "5.0"],
        ["50", "50%", "0.5", "1/2"],
        ["18", "$18", "18 cents", None, "18"],
    ],
)
def test_a_vote_depends_on_no_order_and_joins_no_two_that_differ(given):
    def grouped(order):
        found = answers.classes([given[i] for i in order])
        return {frozenset(i for i, c in zip(order, found, strict=True) if c == k) for k in {*found} - {-1}}

    first = grouped(range(len(given)))
    assert all(grouped(order) == first for order in itertools.permutations(range(len(given))))
    for group in first:
        assert all(answers.equal(given[i], given[j]) for i in group for j in group)


def test_a_number_without_a_unit_votes_with_the_commoner_unit():
    assert answers.classes(["12 m", "12", "12 cm", "12 cm"]) == [0, 1, 1, 1]


@settings(max_examples=300)
@given(st.integers(0, 10**6))
def test_votes_on_what_the_world_writes_are_by_value(seed):
    rng = random.Random(seed)
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 6))
    written = [world.unreliable(problem, rng, malformed=0.0) for _ in range(4)] + [world.expert(problem)[0]]
    given = [traces.parse(text).answer for text in written]
    values = [int(answer) for answer in given]
    assert answers.classes(given) == [list(dict.fromkeys(values)).index(value) for value in values]
