import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lib.evaluation import intervals, metrics


def test_the_interval_of_coin_flips_has_the_binomial_interval():
    flips = np.array([[1.0, 0.0] * 200])
    mean, low, high = intervals.mean_ci(flips, 4000, seed=0)
    assert mean == 0.5
    half_width = 1.96 * math.sqrt(0.25 / 400)
    assert (low, high) == pytest.approx((0.5 - half_width, 0.5 + half_width), abs=0.005)
    assert (mean, low, high) == intervals.mean_ci(flips, 4000, seed=0)


def test_seeds_that_differ_alone_have_students_interval():
    rates = np.array([0.4, 0.45, 0.53])
    expected = stats.t.interval(0.95, df=2, loc=rates.mean(), scale=stats.sem(rates))
    mean, *interval = intervals.mean_ci(np.repeat(rates[:, None], 50, axis=1), 100, seed=0)
    assert mean == pytest.approx(rates.mean()) and interval == pytest.approx(expected)
    assert intervals.mean_ci(np.full((3, 20), 0.7), 100, seed=0) == pytest.approx((0.7, 0.7, 0.7))


def test_problems_that_differ_alone_have_the_interval_of_one_seed():
    """Copies of a seed add nothing."""
    values = np.random.default_rng(0).random((1, 80))
    one, copied = (intervals.mean_ci(np.repeat(values, n, axis=0), 500, seed=0) for n in (1, 3))
    assert one == pytest.approx(copied)


def test_seeds_that_agree_by_chance_leave_the_noise_of_problems():
    """Means .5 of both seeds, which are right on the other's wrong problems: no variance but the cells'."""
    values = np.array([[1.0, 0.0] * 100, [0.0, 1.0] * 99 + [1.0, 0.0]])
    _, low, high = intervals.mean_ci(values, 2000, seed=0)
    assert high - low == pytest.approx(2 * 1.96 * np.std(values.mean(0)) / math.sqrt(200), rel=0.1)


def test_an_interval_of_fractions_stays_within_0_and_1():
    values = np.repeat([[0.98], [1.0]], 20, axis=1)  # Student's with one degree of freedom is +- .13
    mean, low, high = intervals.mean_ci(values, 50, seed=0)
    assert (mean, high) == (pytest.approx(0.99), 1.0) and low == pytest.approx(
        0.99 - 0.01 * 12.7062, abs=1e-4
    )
    with pytest.raises(ValueError, match=r"-0\.1 is no fraction; a difference is for difference_ci"):
        intervals.mean_ci([[0.1, -0.1]], 10, seed=0)
    parts = np.stack([values, np.ones_like(values)], axis=-1)
    ratio = intervals.sums_ci(metrics.ratio, parts, 50, seed=0, bounds=intervals.FRACTION)
    assert ratio == pytest.approx((mean, low, high))


def test_what_two_methods_share_cancels_in_their_difference():
    rng = np.random.default_rng(0)
    theirs = rng.random((3, 1)) / 2 + rng.random((1, 40)) / 2  # seeds and problems differ much
    assert intervals.difference_ci(theirs - 0.1, theirs, 100, seed=0) == pytest.approx((-0.1,) * 3)
    ours = theirs - rng.random(theirs.shape) / 10
    difference = intervals.difference_ci(ours, theirs, 100, seed=0)
    opposite = intervals.difference_ci(theirs, ours, 100, seed=0)
    with pytest.raises(ValueError, match="cannot be paired"):
        intervals.difference_ci(ours, theirs[:1], 100, seed=0)
    assert difference == pytest.approx((-opposite[0], -opposite[2], -opposite[1]))


def test_bootstrap_leaves_missing_cells_out():
    values = np.array([[1.0, np.nan, 0.0], [np.nan, np.nan, 1.0]])
    mean, low, high = intervals.mean_ci(values, 500, seed=0)
    assert mean == pytest.approx(2 / 3) and 0 <= low < high <= 1
    with pytest.raises(ValueError, match="no values"):
        intervals.mean_ci(np.full((2, 3), np.nan), 10, seed=0)


def plain_ci(statistic, *arrays_SPN, bounds=intervals.UNBOUNDED):
    """The interval of a statistic of all samples, which each resample of the problems computes anew."""

    def by_seed(problems):
        return [
            statistic(*(of_seed[problems].ravel() for of_seed in seed))
            for seed in zip(*arrays_SPN, strict=True)
        ]

    every = np.arange(arrays_SPN[0].shape[1])
    resampled = [np.repeat(every, counts) for counts in intervals._resamples(len(every), 60, 3)]
    values_RS = np.array([by_seed(problems) for problems in resampled])
    return intervals._interval(np.array(by_seed(every)), values_RS, bounds, len(every))


def test_fast_bootstrap_of_auroc_agrees_with_the_plain_one():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (2, 12, 4)).astype(float)  # with ties
    positive = rng.random(scores.shape) < 0.2 + 0.1 * scores
    fast = intervals.auroc_ci(scores, positive, n_resamples=60, seed=3)
    assert fast == pytest.approx(
        plain_ci(metrics.auroc, scores, positive, bounds=intervals.FRACTION), abs=1e-12
    )
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

    expected = plain_ci(plain, scores, positive, there, bounds=intervals.FRACTION)
    assert intervals.auroc_ci(scores, positive, n_resamples=60, seed=3) == pytest.approx(expected)


def of_seeds(sums, *arrays_SPN):
    return np.stack([sums(*seed) for seed in zip(*arrays_SPN, strict=True)])


def test_fast_bootstrap_of_a_ratio_agrees_with_the_plain_one():
    over, under = np.random.default_rng(0).random((2, 3, 12))
    parts = np.stack([over, under], axis=-1)
    plain = plain_ci(lambda a, b: a.mean() / b.mean(), over[..., None], under[..., None])
    assert intervals.sums_ci(metrics.ratio, parts, 60, seed=3) == pytest.approx(plain, abs=1e-12)
    assert np.isnan(intervals.sums_ci(metrics.ratio, parts * [1, 0], 60, seed=3)).all()


def test_fast_bootstrap_of_correlations_agrees_with_numpys():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 12, 4)) - 40
    y = (x + rng.standard_normal(x.shape) > -40).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan

    def plain(x, y):
        return np.corrcoef(x[~np.isnan(x)], y[~np.isnan(x)])[0, 1]

    fast = intervals.sums_ci(metrics.correlation_of, of_seeds(metrics.correlation_sums, x, y), 60, seed=3)
    assert fast == pytest.approx(plain_ci(plain, x, y), abs=1e-9)


def test_fast_bootstrap_of_a_calibration_error_agrees_with_the_plain_one():
    rng = np.random.default_rng(0)
    told, right = rng.random((2, 12, 4)), rng.random((2, 12, 4)) < 0.4

    def plain(told, right):
        which = np.minimum((told * metrics.BINS).astype(int), metrics.BINS - 1)
        return sum(abs((right - told)[which == i].sum()) for i in range(metrics.BINS)) / len(told)

    sums = of_seeds(metrics.calibration_sums, told, right)
    fast = intervals.sums_ci(metrics.calibration_error, sums, 60, seed=3)
    assert fast == pytest.approx(plain_ci(plain, told, right), abs=1e-9)


# --- coverage, on data simulated with crossed effects of seeds and problems ---

SIMULATIONS = 400
SEED_SDS = (0.0, 0.01, 0.03)


def rates(rng, problem_P: np.ndarray, n_seeds: int, seed_sd: float) -> np.ndarray:
    """Shares of 4 right samples, (S, P), of a method whose expected rate is .5: symmetric, also when cut."""
    seed_S1 = seed_sd * rng.standard_normal((n_seeds, 1))
    interaction_SP = 0.1 * rng.standard_normal((n_seeds, len(problem_P)))
    return rng.binomial(4, np.clip(0.5 + problem_P + seed_S1 + interaction_SP, 0, 1)) / 4


@pytest.mark.parametrize(
    ("n_seeds", "least", "most"), [(1, 0.93, 0.97), (2, 0.92, 0.98), (3, 0.93, 0.97), (5, 0.93, 0.97)]
)
def test_intervals_cover_as_often_as_they_say(n_seeds, least, most):
    """Means, and differences of two methods; one seed covers its own training alone."""
    rng = np.random.default_rng(n_seeds)
    seed_sds = SEED_SDS if n_seeds > 1 else (0.0,)
    covered = {"mean": [], "difference": []}
    for seed_sd in seed_sds:
        for _ in range(SIMULATIONS):
            problem_P = 0.3 * rng.standard_normal(300)
            ours, theirs = (rates(rng, problem_P, n_seeds, seed_sd) for _ in range(2))
            _, low, high = intervals.mean_ci(ours, 200, seed=0)
            covered["mean"].append(low <= 0.5 <= high)
            _, low, high = intervals.difference_ci(ours, theirs, 200, seed=0)
            covered["difference"].append(low <= 0 <= high)
    for of, hits in covered.items():
        assert least <= np.mean(hits) <= most, (of, np.mean(hits))


def test_intervals_of_auroc_cover_as_often_as_they_say():
    """Scores d_s y + u_p + noise: AUROC Phi(d_s / 2) of a seed, whose d_s is drawn."""
    rng = np.random.default_rng(0)
    d, d_sd, n_problems = 1.5, 0.15, 60
    truth = stats.norm.cdf(d / math.sqrt(4 + d_sd**2))
    covered = []
    for _ in range(SIMULATIONS):
        d_S11 = d + d_sd * rng.standard_normal((3, 1, 1))
        positive_SPN = rng.random((3, n_problems, 2)) < 0.5
        scores_SPN = d_S11 * positive_SPN + rng.standard_normal((1, n_problems, 1))
        scores_SPN += rng.standard_normal(scores_SPN.shape)
        _, low, high = intervals.auroc_ci(scores_SPN, positive_SPN, 100, seed=0)
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_what_all_problems_say_has_the_exact_bound():
    """Of n problems that all say 0, a rate is above the bound with which they would in 2.5%."""
    bound = stats.binomtest(0, 40).proportion_ci(method="exact").high
    zeros = np.zeros((2, 40))
    assert intervals.mean_ci(zeros, 50, seed=0) == pytest.approx((0, 0, bound))
    assert intervals.mean_ci(zeros + 1, 50, seed=0) == pytest.approx((1, 1 - bound, 1))
    assert intervals.difference_ci(zeros, zeros, 50, seed=0) == pytest.approx((0, -bound, bound))
    zeros[:, 10:] = np.nan  # problems without a value are none
    fewer = stats.binomtest(0, 10).proportion_ci(method="exact").high
    assert intervals.mean_ci(zeros, 50, seed=0)[2] == pytest.approx(fewer)


def test_a_weighted_mean_is_that_of_as_many_traces():
    rng = np.random.default_rng(0)
    counts_SP = rng.integers(0, 4, (3, 12))
    values_SP = np.where(counts_SP > 0, rng.random((3, 12)), np.nan)
    found = intervals.weighted_mean_ci(values_SP, counts_SP, 60, seed=3)
    traces = [np.repeat(v, n) for v, n in zip(values_SP, counts_SP, strict=True)]
    assert found[0] == pytest.approx(np.mean([of_seed.mean() for of_seed in traces]))
    sums_SPK = np.stack([np.nan_to_num(values_SP) * counts_SP, counts_SP], axis=-1)
    plain = plain_ci(
        lambda over, under: over.sum() / under.sum(),
        *np.split(sums_SPK, 2, axis=-1),
        bounds=intervals.FRACTION,
    )
    assert found == pytest.approx(plain, abs=1e-12)
