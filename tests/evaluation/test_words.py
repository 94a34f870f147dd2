"""What is called better or worse, against the interval it is said of."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation import words


def difference(value: float, low: float, high: float, prefix: str = "", n_seeds: int = 5) -> pd.Series:
    return pd.Series({"above": value, f"{prefix}ci_low": low, f"{prefix}ci_high": high, "n_seeds": n_seeds})


@pytest.mark.parametrize(
    "low, value, high, said",
    [
        (0.01, 0.05, 0.09, "better than SFT (llama 0.050)"),
        (-0.09, -0.05, -0.01, "worse than SFT (llama -0.050)"),
        (-0.01, 0.05, 0.11, "not surely different from SFT (llama 0.050)"),
        (0.0, 0.05, 0.10, "not surely different from SFT (llama 0.050)"),  # 0 is an end of it
        (-0.10, -0.05, 0.0, "not surely different from SFT (llama -0.050)"),
        (0.0, 0.0, 0.0, "not surely different from SFT (llama 0.000)"),
        (math.nan, math.nan, math.nan, "not comparable with SFT (llama n/a)"),
    ],
)
def test_a_verdict_in_words(low, value, high, said):
    assert words.briefly({"llama": difference(value, low, high)}, "above", "SFT") == said


def test_what_is_said_of_several_backbones_is_said_once():
    rows = {"a": difference(0.2, 0.1, 0.3), "b": difference(0.1, -0.1, 0.3), "c": difference(0.4, 0.3, 0.5)}
    assert words.briefly(rows, "above", "SFT") == (
        "better than SFT (a 0.200, c 0.400) and not surely different from SFT (b 0.100)"
    )


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted))
def test_a_verdict_is_better_or_worse_only_where_the_interval_leaves_0_out(ends):
    low, value, high = ends
    said = words.stands(difference(value, low, high, "above_"), "above", "above_")
    stands = "better" if low > 0 else "worse" if high < 0 else "not surely different"
    assert said.startswith(stands)
    assert [name for name in ("better", "worse", "not surely different") if name in said] == [stands]


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted))
def test_a_verdict_on_one_training_says_that_it_is(ends):
    low, value, high = ends
    one, five = (words.stands(difference(value, low, high, n_seeds=n), "above") for n in (1, 5))
    assert one == (five if low <= 0 <= high else f"in one training {five}")
