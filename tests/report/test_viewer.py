"""Token spans: text preserved and escaped, colours symmetric, the wrong unit marked."""

import re
from html import unescape

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.report import viewer


def shown(html: str) -> str:
    """The text a browser would show inside the <pre>."""
    return unescape(re.sub(r"<[^>]+>", "", html.split("<pre", 1)[1].split(">", 1)[1].split("</pre>")[0]))


@given(st.lists(st.text(max_size=8), max_size=12))
def test_any_text_is_shown_as_it_is_and_is_never_markup(pieces):
    html = viewer.heatmap_html(pieces, [0.5] * len(pieces), "a trace")
    assert shown(html) == "".join(pieces)
    assert set(re.findall(r"<(\w+)", html)) <= {"figure", "figcaption", "br", "small", "span", "pre"}


def test_the_title_is_escaped():
    assert "<script" not in viewer.heatmap_html([], [], "<script>alert(1)</script>")


def test_the_scale_is_symmetric_and_the_value_is_the_tooltip():
    html = viewer.heatmap_html(["a", "b"], [2.0, -1.0], "t")
    first, second = html.split("<pre")[1].split("<span")[1:]
    assert f"rgba({viewer.POSITIVE}, 0.75)" in first and 'title="+2.000"' in first
    assert f"rgba({viewer.NEGATIVE}, 0.38)" in second and 'title="-1.000"' in second
    assert "-2.00" in html and "+2.00" in html  # the legend's ends


def test_values_that_are_all_zero_have_a_scale():
    assert 'title="+0.000"' in viewer.heatmap_html(["a"], [0.0], "t")


def test_the_tokens_of_the_wrong_unit_are_marked_and_no_others():
    pieces = ["ab", "cd", "", "ef"]
    assert viewer.overlaps(pieces, (2, 4)) == [False, True, False, False]
    assert viewer.overlaps(pieces, (1, 5)) == [True, True, True, True]
    assert viewer.overlaps(pieces, None) == [False] * 4
    html = viewer.heatmap_html(pieces, [1.0] * 4, "t", wrong=(2, 4))
    assert html.split("<pre")[1].count("underline") == 1


def test_tokens_cut_a_text_at_their_ends():
    assert viewer.tokens("abcd", [1, 3, 4, 4]) == ["a", "bc", "d", ""]


def test_a_value_for_each_token_is_required():
    with pytest.raises(ValueError, match="2 tokens but 1 values"):
        viewer.heatmap_html(["a", "b"], [1.0], "t")


def test_examples_alternate_right_and_wrong_traces_with_token_rewards():
    def row(problem: int, wrong: float, rewards: list[float] | float) -> dict:
        text = "<think>\n1+1=2 apples\n</think>\n<answer>2</answer>"
        ends = [10, len(text)]
        return {
            "problem": problem, "sample": 0, "text": text, "ends": ends, "rewards": rewards,
            "first_wrong_unit": wrong, "well_formed": True, "reward": 1.0,
        }  # fmt: skip

    none = float("nan")
    rows = [
        row(0, none, [1, 2]),
        row(0, none, [3, 4]),
        row(1, 0, [5, 6]),
        row(2, 1, [7, 8]),
        row(3, 1, [9, 10]),
        row(4, none, float("nan")),
    ]
    examples = viewer.examples(pd.DataFrame(rows), count=2)
    assert [e["values"] for e in examples] == [[1, 2], [5, 6], [7, 8]]
    assert examples[0]["wrong"] is None
    assert examples[1]["wrong"] == (8, 20)  # the step's characters
