"""Hits, accuracies and thresholds by hand and against every level there is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation import pointing
from lib.reward.falls import first_above, first_flag


def test_localisation_by_hand():
    scores = [[0.0, 2.0, 1.0], [0.0, 2.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    assert pointing.localisation_hits(scores, [1, 0, 0, 2]).tolist() == [1.0, 0.0, 0.5, 0.0]
    assert pointing.chance(scores).tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 3, 1 / 3])
    with pytest.raises(ValueError, match="first wrong unit 2 of a trace with 2"):
        pointing.localisation_hits([[0.0, 1.0]], [2])


def test_the_first_score_above_the_threshold_points():
    assert first_above([0.1, 2.0, 3.0], 1.0).tolist() == [0, 1, 0]
    assert first_above([0.1, 2.0, 3.0], 5.0).tolist() == [0.1, 2.0, 3.0]  # the largest stands


def test_the_first_flag_is_above_the_threshold_or_there_is_none():
    assert [first_flag([0.1, 2.0, 3.0], t) for t in (0.0, 1.0, 2.0, 3.0)] == [0, 1, 2, -1]


def test_processbenchs_accuracies_by_hand():
    # two of three erroneous traces, one of two correct ones
    found = pointing.first_error_accuracy([0, 2, 1, -1, 0], [0, 2, 2, -1, -1])
    assert found == pytest.approx((2 / 3, 1 / 2, 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)))
    assert pointing.first_error_accuracy([0, 1], [1, -1]) == (0.0, 0.0, 0.0)
    assert math.isnan(pointing.first_error_accuracy([0, 1], [1, 1])[2])


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(-1, 2)), max_size=12)
)
def test_no_threshold_has_a_larger_f1_than_the_best(traces):
    traces = [([5, 1, 0], 0), ([0, 1, 2], -1), *traces]
    scores, truth = [s for s, _ in traces], [t for _, t in traces]

    def f1(threshold: float) -> float:
        return pointing.first_error_accuracy([first_flag(s, threshold) for s in scores], truth)[2]

    best = f1(pointing.best_f1_threshold(scores, truth))
    assert best == pytest.approx(max(f1(level) for level in {x for s in scores for x in s}))


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(0, 2)),
        min_size=1,
        max_size=12,
    )
)
def test_no_threshold_finds_more_than_the_best(traces):
    scores, truth = [s for s, _ in traces], [t for _, t in traces]

    def found(threshold: float) -> float:
        return pointing.localisation_hits([first_above(s, threshold) for s in scores], truth).sum()

    best = found(pointing.best_threshold(scores, truth))
    assert best == pytest.approx(max(found(level) for level in {x for s in scores for x in s}))
