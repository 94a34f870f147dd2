import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.text import traces

TAGS = [traces.THINK_OPEN, traces.THINK_CLOSE, traces.ANSWER_OPEN, traces.ANSWER_CLOSE]
texts = st.lists(
    st.one_of(st.sampled_from([*TAGS, "\n", "\r\n", " ", "1 + 1 = 2"]), st.text(max_size=8)), max_size=14
).map("".join)


@settings(max_examples=300)
@given(texts)
def test_any_text_can_be_read(text):
    trace = traces.parse(text)
    assert len(trace.steps) == len(traces.step_spans(text)) == len(traces.unit_spans(text)) - 1
    assert all(step and "\n" not in step for step in trace.steps)
    assert not trace.well_formed or (trace.steps and trace.answer)


@settings(max_examples=300)
@given(texts)
def test_units_are_in_order_and_end_with_the_text(text):
    spans = traces.unit_spans(text)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] == len(text)
    for (_, end), (start, _) in zip(spans[:-2], spans[1:-1], strict=False):
        assert text[end:start].strip("\n").strip() == ""


words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<>\n"), min_size=1)
lines = words.map(str.strip).filter(bool)


@settings(max_examples=100)
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
