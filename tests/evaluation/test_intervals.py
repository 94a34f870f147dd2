import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lib.evaluation import intervals, metrics


def test_the_interval_of_coin_flips_has_the_binomial_interval():
    flips = np.array([[1.0, 0.0] * 200])
    mean, low, high = intervals.mean_ci(flips, 4000, seed=0)
    assert mean == 0.5
    half_width = 1.96 * math.sqrt(0.25 / 400)
    assert (low, high) == pytest.approx((0.5 - half_width, 0.5 + half_width), abs=0.005)
    assert (mean, low, high) == intervals.mean_ci(flips, 4000, seed=0)


def test_resamples_take_seeds_as_well_as_problems():
    seeds_differ = np.repeat([[0.0], [1.0]], 50, axis=1)  # means 0 (1/4), 1/2 (1/2), 1 (1/4)
    assert intervals.mean_ci(seeds_differ, 2000, seed=0) == (0.5, 0.0, 1.0)
    assert intervals.mean_ci(np.full((3, 20), 0.7), 100, seed=0) == pytest.approx((0.7, 0.7, 0.7))


def test_bootstrap_leaves_missing_cells_out():
    values = np.array([[1.0, np.nan, 0.0], [np.nan, np.nan, 1.0]])
    mean, low, high = intervals.mean_ci(values, 500, seed=0)
    assert mean == pytest.approx(2 / 3) and 0 <= low < high <= 1
    with pytest.raises(ValueError, match="no values"):
        intervals.mean_ci(np.full((2, 3), np.nan), 10, seed=0)


def test_cell_means_by_hand():
    cells = intervals.cell_means([1, 0, 0.5, 1], seeds=[0, 0, 1, 1], problems=[7, 7, 7, 9])
    assert np.array_equal(cells, [[0.5, np.nan], [0.5, 1.0]], equal_nan=True)


def test_fast_bootstrap_of_auroc_agrees_with_the_plain_one():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (2, 12, 4)).astype(float)  # with ties
    positive = rng.random(scores.shape) < 0.2 + 0.1 * scores
    fast = intervals.auroc_ci(scores, positive, n_resamples=60, seed=3)
    plain = intervals.statistic_ci(metrics.auroc, scores, positive, n_resamples=60, seed=3)
    assert fast == pytest.approx(plain, abs=1e-12)
    assert fast[0] == pytest.approx(
        np.mean([metrics.auroc(s.ravel(), p.ravel()) for s, p in zip(scores, positive, strict=True)])
    )


def test_auroc_of_problems_with_different_numbers_of_samples():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (1, 12, 4)).astype(float)
    scores[0, rng.random((12, 4)) < 0.3] = np.nan
    there = ~np.isnan(scores)
    positive = (rng.random(scores.shape) < 0.5) & there

    def plain(scores, positive, there):
        return roc_auc_score(positive[there], scores[there])

    expected = intervals.statistic_ci(plain, scores, positive, there, n_resamples=60, seed=3)
    assert intervals.auroc_ci(scores, positive, n_resamples=60, seed=3) == pytest.approx(expected)
