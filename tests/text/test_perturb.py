import os
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.data import reading, world
from lib.grading import equations
from lib.text import perturb, traces

GSM8K = (
    "<think>\nStep 1: In May she sold 48/2 = <<48/2=24>>24 clips.\n"
    "2. They cost $1,200.50 x 2 = $2,401.00 in all.\n</think>\n<answer>2,401.00</answer>"
)


CUT_SHORT = (
    "Iris picks a chair for 50 dollars. A coupon takes 3 off. A fee of 8 is added. 5 people split the bill. "
    "How much now?",
    "<think>\n50 - 3 = 47\n47 + 8 = 55\n55 / 5 = 11\n</think>\n<answer>11</answer>",
)

PAPER = ("flip_operator", "nearby_answer", "corrupt_number")
CARRIED = sorted(set(perturb.KINDS) - set(PAPER))


@st.composite
def experts(draw, most=4):
    """A question of up to `most` steps and its expert's trace."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, most))
    return problem.question, world.expert(problem)[0]


any_text = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.,+-*/x=<>answer thik\n()$%"),
    experts().map(lambda expert: expert[1]),
)


@settings(max_examples=150)
@given(any_text, any_text, st.sampled_from(sorted(perturb.KINDS)), st.integers(0, 99))
@example("", "1", "corrupt_number", 0)  # 1 becomes 11 where the text ends
@example("", "11", "corrupt_number", 3)
def test_a_near_miss_differs_from_start_on(question, text, kind, seed):
    result = perturb.KINDS[kind](question, text, random.Random(seed))
    assert result == perturb.KINDS[kind](question, text, random.Random(seed))
    if result is not None:
        assert result.kind == kind
        assert result.text != text
        first = len(os.path.commonprefix([result.text, text]))
        assert first - result.start in (0, 1)  # of a number that was cut short from its last digit on
        if first > result.start:
            assert text[result.start : first + 1].isdigit() and not result.text[first : first + 1].isdigit()


@settings(max_examples=100)
@given(experts(), st.sampled_from(sorted(perturb.KINDS)), st.integers(0, 99))
@example(CUT_SHORT, "wrong_result", 17)  # 11 becomes 1
def test_the_worlds_checker_finds_the_error_in_the_perturbed_unit(expert, kind, seed):
    question, trace = expert
    result = perturb.KINDS[kind](question, trace, random.Random(seed))
    if result is None:
        assert kind in CARRIED  # one step cannot be skipped, equal numbers cannot be swapped
        return
    units = traces.unit_spans(result.text)
    struck = next(i for i, (a, b) in enumerate(units) if a <= result.start <= b)  # b: a number cut short
    assert reading.first_wrong_unit(result.text, trace) == struck
    if kind != "skipped_step":  # the last step may be the one left out
        assert (struck == len(units) - 1) == (kind == "nearby_answer")
    assert traces.parse(result.text).well_formed


@settings(max_examples=100)
@given(experts(), st.sampled_from(CARRIED), st.integers(0, 99))
def test_a_carried_error_is_consistent_to_the_end(expert, kind, seed):
    result = perturb.KINDS[kind](*expert, random.Random(seed))
    if result is None:
        return
    stated = [(equations.value(e.expression), equations.value(e.result)) for e in equations.find(result.text)]
    false = [i for i, (left, right) in enumerate(stated) if left != right]
    assert len(false) == (1 if kind == "wrong_result" else 0)
    if stated:  # else the only step was skipped
        assert traces.parse(result.text).answer == str(stated[-1][1])


def test_the_sets_of_rules_are_the_papers_the_others_and_all():
    assert perturb.SETS["paper"] == PAPER
    assert sorted(perturb.SETS["carried"]) == CARRIED
    assert set(perturb.SETS["all"]) == {*PAPER, *CARRIED} == set(perturb.KINDS)


@settings(max_examples=100)
@given(experts(most=6), st.sampled_from(["paper", "carried", "all"]), st.integers(0, 99))
def test_every_expert_has_near_misses_of_every_set(expert, kinds, seed):
    question, trace = expert
    for wrong in perturb.perturb(question, trace, random.Random(seed), 3, perturb.SETS[kinds]):
        assert wrong.kind in perturb.SETS[kinds]
        assert reading.first_wrong_unit(wrong.text, trace) is not None


@settings(max_examples=100)
@given(experts(), st.sampled_from(["wrong_operator", "copied_operand", "nudged_operand", "wrong_result"]),
       st.integers(0, 99))  # fmt: skip
def test_what_stands_before_a_carried_error_and_how_it_is_made(expert, kind, seed):
    """One step is misread; every later one is the expert's on another number."""
    question, trace = expert
    result = perturb.KINDS[kind](question, trace, random.Random(seed))
    if result is None:
        return
    was, now = equations.find(trace), equations.find(result.text)
    struck = next(i for i, pair in enumerate(zip(was, now, strict=True)) if pair[0] != pair[1])
    old, new = (re.findall(r"\d+|[-+*/()]", e[struck].expression) for e in (was, now))
    changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    if kind == "wrong_result":
        assert not changed and was[struck].result != now[struck].result
    else:
        ((a, b),) = changed
        assert (b in "+-*/") == (a in "+-*/") == (kind == "wrong_operator")
        if kind == "copied_operand":
            assert b in re.findall(r"\d+", question)
        elif kind == "nudged_operand":
            assert abs(int(a) - int(b)) in (1, 2, 3, 10)
    for old, new in zip(was[struck + 1 :], now[struck + 1 :], strict=True):
        assert re.sub(r"\d+", "n", old.expression) == re.sub(r"\d+", "n", new.expression)


def reachable(kind, text, question=""):
    drawn = (perturb.KINDS[kind](question, text, random.Random(seed)) for seed in range(300))
    return {p.text for p in drawn if p is not None}


TWO_STEPS = "<think>\n10+4=14 shells\n14-2=12 shells\n</think>\n<answer>12</answer>"


def two_steps(first, second, answer):
    return f"<think>\n{first} shells\n{second} shells\n</think>\n<answer>{answer}</answer>"


def test_carried_errors_by_hand():
    assert reachable("wrong_operator", TWO_STEPS) == {
        two_steps("10-4=6", "6-2=4", 4),
        two_steps("10+4=14", "14+2=16", 16),
        two_steps("10+4=14", "14*2=28", 28),
        two_steps("10+4=14", "14/2=7", 7),
    }  # 10*4 is more than twice the largest number, 10/4 not whole
    assert reachable("copied_operand", TWO_STEPS, "10 shells, 4 come, 2 go") == {
        two_steps("10+2=12", "12-2=10", 10),
        two_steps("10+10=20", "20-2=18", 18),
        two_steps("10+4=14", "14-4=10", 10),
        two_steps("10+4=14", "14-10=4", 4),
    }
    assert reachable("miscounted_terms", TWO_STEPS) == {
        two_steps("10+4+1=15", "15-2=13", 13),
        two_steps("10+4-1=13", "13-2=11", 11),
        two_steps("10+4=14", "14-2+1=13", 13),
        two_steps("10+4=14", "14-2-1=11", 11),
    }
    assert two_steps("10+4=15", "15-2=13", 13) in reachable("wrong_result", TWO_STEPS)
    assert two_steps("10+5=15", "15-2=13", 13) in reachable("nudged_operand", TWO_STEPS)
    assert reachable("skipped_step", TWO_STEPS) == {
        "<think>\n10-2=8 shells\n</think>\n<answer>8</answer>",
        "<think>\n10+4=14 shells\n</think>\n<answer>14</answer>",
    }
    assert reachable("swapped_numbers", TWO_STEPS) == {two_steps("10+2=12", "12-4=8", 8)}


def test_a_misreading_with_the_same_value_is_never_the_result():
    trace = "<think>\n4/2=2 beads\n</think>\n<answer>2</answer>"  # 4-2 is 2 too
    assert reachable("wrong_operator", trace) == {
        trace.replace("4/2=2", "4+2=6").replace(">2<", ">6<"),
        trace.replace("4/2=2", "4*2=8").replace(">2<", ">8<"),
    }


def test_an_error_is_carried_through_annotations_and_notations():
    carried = reachable("wrong_result", GSM8K)
    assert GSM8K.replace("48/2=24>>24", "48/2=23>>23") in carried
    assert GSM8K.replace("2,401.00", "2401.10") not in carried  # the number keeps its notation
    assert GSM8K.replace("2,401.00", "2,401.10") in carried


def test_flips_of_one_operator_by_hand():
    assert reachable("flip_operator", "7 + 2 = 9 apples") == {f"7 {o} 2 = 9 apples" for o in "-*/"}
    assert reachable("flip_operator", "3 × 2 = 6") == {f"3 {o} 2 = 6" for o in "+-/"}
    assert reachable("flip_operator", "a two-step x box, 5 apples") == set()


def test_a_true_equation_is_never_the_result():
    assert reachable("flip_operator", "2 + 2 = 4") == {"2 - 2 = 4", "2 / 2 = 4"}
    assert reachable("flip_operator", "2.0 x 2.0 = 4.0") == {"2.0 - 2.0 = 4.0", "2.0 / 2.0 = 4.0"}
    corrupted = reachable("corrupt_number", "0 * 5 = 0")
    assert corrupted and not {f"0 * {n} = 0" for n in range(20)} & corrupted


def test_numbers_keep_their_notation():
    answers = {traces.parse(text).answer for text in reachable("nearby_answer", GSM8K)}
    assert answers == {
        "2,400.90",
        *(f"2,400.9{n}" for n in (7, 8, 9)),
        *(f"2,401.0{n}" for n in (1, 2, 3)),
        "2,401.10",
    }
    assert reachable("nearby_answer", "<answer>2</answer>") == {
        f"<answer>{n}</answer>" for n in (1, 3, 4, 5, 12)
    }


@pytest.mark.parametrize(
    ("answer", "others"),
    [
        ("B", {"A", "C"}),
        ("(B)", {"(A)", "(C)"}),
        ("B. 2", {"A. 1", "C. x=5"}),
        ("B) 2", {"A) 1", "C) x=5"}),
        ("E. coli 7", set()),  # no option of the question, nor a number to move
        ("yes", {"no"}),
        ("False", {"True"}),
        ("Tuesday", set()),
        ("7 cm", {f"{n} cm" for n in (4, 5, 6, 8, 9, 10, 17)}),
        ("0/9", {f"{n}/9" for n in (1, 2, 3, 10)}),  # 0/8 is no other number
    ],
)
def test_a_nearby_answer_is_really_wrong(answer, others):
    question = "Which is it?\nA. 1\nB. 2\nC. x=5"
    made = reachable("nearby_answer", traces.render(["It is 2."], answer), question)
    assert made == {traces.render(["It is 2."], other) for other in others}


def test_where_no_options_are_listed_nothing_is_known_of_the_others():
    assert reachable("nearby_answer", traces.render(["It is 2."], "B. 2"), "Is it so?") == set()
    brackets = reachable("nearby_answer", traces.render(["It is 2."], "B"), "Is it?\n(A) 1\n(B) 2")
    assert brackets == {traces.render(["It is 2."], "A")}


def test_the_answer_is_not_corrupted():
    for text in reachable("corrupt_number", GSM8K) | reachable("flip_operator", GSM8K):
        assert traces.parse(text).answer == "2,401.00"


LABELS = [
    *("Step 1: In", "2. They", "**Step 1:**", "### Step 2", "### 2. Then", "**1.**", "(1)", "(2) They"),
    *("Step 3.", "4.", "5) So", "- 6. So", "* **7.** So", "> 8: So", "STEP 9 - So", "By step 10 and"),
]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", sorted(perturb.KINDS))
def test_a_label_is_not_a_claim(kind, label):
    """Nothing else in the first line has a number, so all that is changed comes after it."""
    for first in (f"<think>\n{label}\n", f"<think>{label}\n"):
        trace = f"{first}8+2=10 beads\n10-3=7 beads\n</think>\n<answer>7</answer>"
        made = reachable(kind, trace, "8 beads, 2 come, 3 go")
        assert made and all(text.startswith(first) for text in made)


def test_a_carried_number_leaves_labels_as_they_are():
    trace = "<think>\nStep 1: 1+1=2 beads\nStep 2: 2*3=6 beads\n(6) so 6\n</think>\n<answer>6</answer>"
    expected = trace.replace("1+1=2", "1+1=3").replace("2*3=6", "3*3=9").replace("so 6", "so 9")
    assert expected.replace(">6<", ">9<") in reachable("wrong_result", trace)


def test_a_false_equation_is_never_mended():
    trace = "<think>\n10+4=13 beads\n20-2=18 beads\n18/2=6 beads\n</think>\n<answer>6</answer>"
    made = reachable("wrong_result", trace)
    assert any("20-2=17" in text for text in made) and any("10+4=15" in text for text in made)
    for text in made:
        one, two, three = equations.find(text)
        assert not equations.holds(one) and not equations.holds(three)


def test_rules_that_do_not_apply_give_none():
    words = "<think>\nIt is measles.\n</think>\n<answer>C</answer>"
    assert all(rule("5 of 7", words, random.Random(0)) is None for rule in perturb.KINDS.values())
    assert perturb.perturb("5 of 7", words, random.Random(0), 3, perturb.KINDS) == []
    assert not perturb.applies("5 of 7", words, perturb.KINDS)
    assert perturb.applies("", GSM8K, CARRIED) and not perturb.applies("", "3 apples", CARRIED)


def test_perturb_draws_among_the_applicable_kinds():
    drawn = perturb.perturb("", GSM8K, random.Random(0), 60, PAPER)
    assert len(drawn) == 60 and {p.kind for p in drawn} == set(PAPER)
    assert drawn == perturb.perturb("", GSM8K, random.Random(0), 60, PAPER)
    prose = "<think>\nHe is sick.\n</think>\n<answer>3</answer>"
    assert {p.kind for p in perturb.perturb("", prose, random.Random(0), 20, PAPER)} == {"nearby_answer"}
    assert perturb.perturb("", prose, random.Random(0), 0, PAPER) == []
    assert {p.kind for p in perturb.perturb("9", TWO_STEPS, random.Random(0), 99, perturb.KINDS)} == {
        *perturb.KINDS
    }


def test_a_number_cut_short_is_wrong_from_its_last_digit_on():
    trace = "<think>\n50-3=47\n55/5=11\n</think>\n<answer>11</answer>"
    cut, longer = trace.replace("=11\n", "=1\n"), trace.replace("=11\n", "=111\n")
    for text, start in ((cut, cut.index("=1\n") + 1), (longer, longer.index("=111") + 3)):
        assert perturb._first_changed(trace, [text], "wrong_result") == perturb.Perturbed(
            text, "wrong_result", start
        )
