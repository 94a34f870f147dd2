import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import perturb, traces, world

GSM8K = (
    "<think>\nStep 1: In May she sold 48/2 = <<48/2=24>>24 clips.\n"
    "2. They cost $1,200.50 x 2 = $2,401.00 in all.\n</think>\n<answer>2,401.00</answer>"
)


@st.composite
def expert_traces(draw):
    rng = random.Random(draw(st.integers(0, 10**6)))
    return world.expert(world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 4)))[0]


any_text = st.one_of(st.text(), st.text(alphabet="0123456789.,+-*/x=<>answer thik\n()$%"), expert_traces())


@settings(max_examples=150, deadline=None)
@given(any_text, st.sampled_from(sorted(perturb.KINDS)), st.integers(0, 99))
def test_a_near_miss_differs_from_start_on(text, kind, seed):
    result = perturb.KINDS[kind](text, random.Random(seed))
    assert result == perturb.KINDS[kind](text, random.Random(seed))
    if result is not None:
        assert result.kind == kind
        assert result.text != text
        assert result.text[: result.start] == text[: result.start]
        assert result.text[result.start] != text[result.start : result.start + 1]


@settings(max_examples=100, deadline=None)
@given(expert_traces(), st.sampled_from(sorted(perturb.KINDS)), st.integers(0, 99))
def test_the_worlds_checker_finds_the_error_in_the_perturbed_unit(trace, kind, seed):
    result = perturb.KINDS[kind](trace, random.Random(seed))
    units = traces.unit_spans(result.text)
    struck = next(i for i, (a, b) in enumerate(units) if a <= result.start < b)
    assert world.first_wrong_unit(result.text, trace) == struck
    assert struck == len(units) - 1 if kind == "nearby_answer" else struck < len(units) - 1
    assert traces.parse(result.text).well_formed


def reachable(kind, text):
    return {p.text for s in range(300) if (p := perturb.KINDS[kind](text, random.Random(s))) is not None}


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


def test_the_answer_and_the_list_markers_are_not_corrupted():
    for text in reachable("corrupt_number", GSM8K) | reachable("flip_operator", GSM8K):
        assert traces.parse(text).answer == "2,401.00"
        assert "\nStep 1: In" in text and "\n2. They" in text


def test_rules_that_do_not_apply_give_none():
    words = "<think>\nIt is measles.\n</think>\n<answer>C</answer>"
    assert all(rule(words, random.Random(0)) is None for rule in perturb.KINDS.values())
    with pytest.raises(ValueError, match="no rule of flip_operator, .* applies to the trace"):
        perturb.perturb(words, random.Random(0), 1)


def test_perturb_draws_among_the_applicable_kinds():
    drawn = perturb.perturb(GSM8K, random.Random(0), 60)
    assert len(drawn) == 60 and {p.kind for p in drawn} == set(perturb.KINDS)
    assert drawn == perturb.perturb(GSM8K, random.Random(0), 60)
    prose = "<think>\nHe is sick.\n</think>\n<answer>3</answer>"
    assert {p.kind for p in perturb.perturb(prose, random.Random(0), 20)} == {"nearby_answer"}
    assert perturb.perturb(prose, random.Random(0), 0) == []
