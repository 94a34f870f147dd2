import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import world
from lib.text import traces

TAGS = [traces.THINK_OPEN, traces.THINK_CLOSE, traces.ANSWER_OPEN, traces.ANSWER_CLOSE]
texts = st.lists(
    st.one_of(st.sampled_from([*TAGS, "\n", "\r\n", " ", "1 + 1 = 2"]), st.text(max_size=8)), max_size=14
).map("".join)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_can_be_read(text):
    trace = traces.parse(text)
    assert len(trace.steps) == len(traces.step_spans(text)) == len(traces.unit_spans(text)) - 1
    assert all(step and "\n" not in step for step in trace.steps)
    assert not trace.well_formed or (trace.steps and trace.answer)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_units_are_in_order_and_end_with_the_text(text):
    spans = traces.unit_spans(text)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] == len(text)
    for (_, end), (start, _) in zip(spans[:-2], spans[1:-1], strict=False):
        assert text[end:start].strip("\n").strip() == ""


words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<>\n"), min_size=1)
lines = words.map(str.strip).filter(bool)


@settings(max_examples=100, deadline=None)
@given(st.lists(lines, min_size=1, max_size=5), lines)
def test_what_is_rendered_is_read_back(steps, answer):
    assert traces.parse(traces.render(steps, answer)) == traces.Trace(steps, answer, well_formed=True)


def test_units_by_hand():
    text = traces.render(["1 + 1 = 2", "2 * 3 = 6"], "6")
    units = [text[a:b] for a, b in traces.unit_spans(text)]
    assert units == ["1 + 1 = 2", "2 * 3 = 6", "\n</think>\n<answer>6</answer>"]


@pytest.mark.parametrize(
    ("text", "steps", "answer"),
    [
        ("", [], None),
        ("1 + 1 = 2", ["1 + 1 = 2"], None),
        ("<think>\n1 + 1 = 2\n<answer>2</answer>", ["1 + 1 = 2"], "2"),
        ("<think>\n1 + 1 = 2\n</think>\n2</answer>", ["1 + 1 = 2"], None),
        ("1 + 1 = 2\n</think>\n<answer> 2 </answer>", ["1 + 1 = 2"], "2"),
        ("<think>\na\n</think>\n<answer>1</answer>\n<answer>2</answer>", ["a"], "2"),
    ],
)
def test_damaged_traces_are_read_as_far_as_they_go(text, steps, answer):
    assert traces.parse(text) == traces.Trace(steps, answer, well_formed=False)


@pytest.mark.parametrize(
    ("answer", "gold", "correct"),
    [
        ("12", "12", True),
        ("012", "12", True),
        ("-3", "3", False),
        ("13", "12", False),
        (None, "12", False),
        ("", "12", False),
        ("12.0", "12", True),
        ("1,200", "1200", True),
        (r"\frac{1}{2}", "0.5", True),
        ("eleven", "12", False),
    ],
)
def test_answers_are_graded_by_value(answer, gold, correct):
    assert traces.is_correct(answer, gold) is correct


@pytest.mark.parametrize(
    "answer",
    ["B", " B\n", "(B)", "B.", "B)", "B) text", "(B) text", "B. text", "B: a text, and more", "B) Vitamin A",
     "B) A fever and a cough", "B. E. coli", "B) Vitamins A and D", "B.\ntext"],
)  # fmt: skip
def test_an_option_counts_by_its_letter(answer):
    assert traces.is_correct(answer, "B")
    assert not any(traces.is_correct(answer, gold) for gold in "ACDEFGHIJ")


@pytest.mark.parametrize(
    "answer",
    ["A or B", "A, B", "A and B", "A B", "A/B", "(A) or (B)", "A) or B)", "A. or B.", "A. B.", "A. B. C",
     "AB", "A) text B) text", "A) text\n(B) text", "A: B", "Because", "A fever", "a", "b", "", "text", None],
)  # fmt: skip
def test_a_reply_that_does_not_name_one_option_is_wrong(answer):
    assert not any(traces.is_correct(answer, gold) for gold in "ABCDEFGHIJ")


@given(
    st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=2, max_size=5, unique=True),
    st.sampled_from(["{}", "({})", "{})", "{}."]),
    st.sampled_from([", ", " or ", " and ", " ", "/", ",", " & ", ", or ", "; ", "\n"]),
)
def test_several_options_are_never_right(letters, form, between):
    answer = between.join(form.format(letter) for letter in letters)
    assert not any(traces.is_correct(answer, gold) for gold in letters)


@pytest.mark.parametrize(
    ("answers", "same"),
    [
        (["1234", "1,234", " 1,234\n"], "1234"),
        (["-1234567", "-1,234,567"], "-1234567"),
        (["B", "(B)", "B)", "B.", "B) a text"], "B"),
    ],
)
def test_one_answer_written_in_several_ways_gets_one_vote_each(answers, same):
    assert {traces.normal(answer) for answer in answers} == {same}


@pytest.mark.parametrize("answer", ["1,23", "12,3456", "1.5", "a fever", "A or B", "3 beads", "", None])
def test_other_answers_stay_as_they_are(answer):
    assert traces.normal(answer) == answer
    assert answer is None or traces.normal(f" {answer}\n") == answer


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6))
def test_votes_on_what_the_world_writes_stay_as_they_were(seed):
    rng = random.Random(seed)
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 6))
    for text in (world.expert(problem)[0], world.unreliable(problem, rng, malformed=0.0)):
        answer = traces.parse(text).answer
        assert answer is not None and traces.normal(answer) == answer


@given(st.integers(-(10**17), 10**17))
def test_a_whole_number_without_separators_stays_and_one_with_them_loses_them(number):
    assert traces.normal(str(number)) == traces.normal(f"{number:,}") == str(number)


# --- what is read from outside ---


@pytest.mark.parametrize("given", ["a\nb", "a\nb\n", "a\nb \t\n\n", "a\r\nb", "a\r\nb\r\n", "a\r\r\nb\u00a0"])
def test_line_ends_and_trailing_space_make_no_difference(given):
    assert traces.normalised(given) == "a\nb"


def test_what_is_inside_a_text_stays():
    assert traces.normalised("  a \n\n\tb\rc") == "  a \n\n\tb\rc"


@given(st.text(alphabet="ab \r\n\t"))
def test_a_normalised_text_is_normal_and_says_the_same(text):
    found = traces.normalised(text)
    assert traces.normalised(found) == found == found.rstrip() and "\r\n" not in found
    assert found.split() == text.split()
    assert traces.parse(found).steps == traces.parse(text).steps
