"""95% intervals over problems and training seeds, corrected for few seeds.

Seeds and problems are crossed random effects: all seeds answer the same problems. To resample both with
replacement (Owen, "The pigeonhole bootstrap", 2007) counts only (S - 1) / S of the seeds' variance, and
normal quantiles are too narrow for S seeds. Here the variance of an estimate, the mean of the seeds'
T_1 .. T_S, is found by the method of moments, the sum of

- var(T_1 .. T_S) / S, with S - 1 degrees of freedom: another training, and other samples;
- the mean covariance of the T of two seeds when problems are resampled, at least 0: other problems.

The interval is the estimate +- t sqrt(variance), with df = (S - 1) variance / (first part) for Student's t:
the parts' 1 / df, 1 / (S - 1) and 0, weighted by their variance. Satterthwaite's (1946) squared weights leave
it too narrow for three seeds, whose variance is often underestimated, and its weight with it. With one seed
the variance is that of T_1 when problems are resampled. Where few seeds agree by chance, an interval can be
narrower than with the seeds held fixed (one in four, simulated, and these cover .80 to .85, the others more);
no narrower than that, all would cover .98.

Where every problem says 0, or every one 1, no resample says anything else: a mean then has Clopper and
Pearson's (1934) exact bound for as many problems, a difference of 0 on either side.

Shapes: `_S` seeds, `_P` problems, `_N` samples of a problem, `_R` resamples of the problems.
"""

import functools
from collections.abc import Callable

import numpy as np
from scipy import stats

from lib.evaluation import metrics

FRACTION = (0.0, 1.0)
CORRELATION = (-1.0, 1.0)
UNBOUNDED = (-np.inf, np.inf)
CONFIDENCE = 0.95
ROUNDING = 1e-9  # of a fraction above 1


def mean_ci(values_SP: np.ndarray, n_resamples: int, seed: int) -> tuple[float, float, float]:
    """(mean, low, high) of fractions; the interval stays within [0, 1].

    With one seed it covers other problems only, and says nothing of another training. NaN marks a cell
    without a value, which is left out of the mean. Raises ValueError where there are no values or one is no
    fraction; differences are for `difference_ci`.
    """
    values_SP = np.atleast_2d(np.asarray(values_SP, dtype=float))
    outside = values_SP[(values_SP < -ROUNDING) | (values_SP > 1 + ROUNDING)]
    if len(outside):
        raise ValueError(f"mean_ci: {outside[0]:g} is no fraction; a difference is for difference_ci")
    return _mean_ci(values_SP, n_resamples, seed, FRACTION)


def difference_ci(
    ours_SP: np.ndarray,
    theirs_SP: np.ndarray,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """(mean of ours - theirs, low, high), paired: each cell against that of the same seed and problem.

    What the two share, such as hard problems, cancels. Otherwise as `mean_ci`. Raises ValueError where the
    cells are not the same.
    """
    ours_SP, theirs_SP = (np.atleast_2d(np.asarray(v, dtype=float)) for v in (ours_SP, theirs_SP))
    if ours_SP.shape != theirs_SP.shape:
        raise ValueError(f"difference_ci: cells {ours_SP.shape} and {theirs_SP.shape} cannot be paired")
    return _mean_ci(ours_SP - theirs_SP, n_resamples, seed, CORRELATION)


def _mean_ci(
    values_SP: np.ndarray, n_resamples: int, seed: int, bounds: tuple[float, float]
) -> tuple[float, float, float]:
    """The mean is linear in what each cell adds to it, which has no missing values."""
    present_SP = ~np.isnan(values_SP)
    if not present_SP.any():
        raise ValueError("mean: no values")
    n_seeds, n_problems = values_SP.shape
    mean = values_SP[present_SP].mean()
    added_SP = np.where(present_SP, values_SP - mean, 0.0) * n_seeds / present_SP.sum()
    problems_RP = _resamples(n_problems, n_resamples, seed)
    values_RS = mean + problems_RP @ added_SP.T
    return _interval(mean + added_SP.sum(1), values_RS, bounds, present_SP.any(0).sum())


def weighted_mean_ci(
    values_SP: np.ndarray,
    weights_SP: np.ndarray,
    n_resamples: int,
    seed: int,
    bounds: tuple[float, float] = FRACTION,
) -> tuple[float, float, float]:
    """As `mean_ci`, each cell as often as its weight says: with counts of traces, a share of all traces.

    A cell without a value is left out, whatever its weight.
    """
    weights_SP = np.where(np.isnan(values_SP), 0.0, weights_SP)
    sums_SPK = np.stack([np.nan_to_num(values_SP) * weights_SP, weights_SP], axis=-1)
    return sums_ci(metrics.ratio, sums_SPK, n_resamples, seed, bounds)


def sums_ci(
    statistic: Callable[[np.ndarray], np.ndarray],
    sums_SPK: np.ndarray,
    n_resamples: int,
    seed: int,
    bounds: tuple[float, float] = UNBOUNDED,
) -> tuple[float, float, float]:
    """As `mean_ci`, for a `statistic` of sums over problems, such as a ratio; its mean over seeds.

    `statistic` takes sums, shape (R, K), to values, shape (R,). A resample in which one is undefined, NaN, is
    left out.
    """
    problems_RP = _resamples(sums_SPK.shape[1], n_resamples, seed)
    weights_RP = np.vstack([np.ones_like(problems_RP[0]), problems_RP])
    points_S, values_RS = np.split(np.stack([statistic(weights_RP @ of) for of in sums_SPK], axis=1), [1])
    return _interval(points_S[0], values_RS, bounds, (sums_SPK != 0).any((0, 2)).sum())


def auroc_ci(
    scores_SPN: np.ndarray,
    positive_SPN: np.ndarray,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """As `mean_ci`, for `metrics.auroc` of all samples of all problems; pairs are counted once.

    With pairs_PP[p, q] the won pairs of a positive of p and a negative of q, a tie half a win, the
    AUROC of a resample that has problem p w_p times is w' pairs w / (w'positives * w'negatives).
    A score of NaN, which is not positive, stands for a sample that the problem lacks.
    """
    n_problems = scores_SPN.shape[1]
    problems_RP = _resamples(n_problems, n_resamples, seed)
    points, values_SR = [], []
    for scores_PN, positive_PN in zip(scores_SPN, positive_SPN.astype(bool), strict=True):
        pairs_PP = _won_pairs(scores_PN, positive_PN)
        weights_RP = np.vstack([np.ones(n_problems), problems_RP])
        won = ((weights_RP @ pairs_PP) * weights_RP).sum(1)
        negative_PN = ~positive_PN & ~np.isnan(scores_PN)
        all_pairs = (weights_RP @ positive_PN.sum(1)) * (weights_RP @ negative_PN.sum(1))
        point, *values = np.divide(won, all_pairs, out=np.full(len(won), np.nan), where=all_pairs > 0)
        points.append(point)
        values_SR.append(values)
    return _interval(np.array(points), np.array(values_SR).T, FRACTION, n_problems)


@functools.lru_cache(maxsize=16)
def _resamples(n_problems: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each problem is in each resample, shape (R, P)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=n_resamples)


def _interval(
    points_S: np.ndarray, values_RS: np.ndarray, bounds: tuple[float, float], n_problems: int
) -> tuple[float, float, float]:
    """(estimate, low, high), from each seed's value and its values when problems are resampled."""
    n_seeds, estimate = len(points_S), float(np.mean(points_S))
    values_RS = values_RS[~np.isnan(values_RS).any(1)]
    if np.isnan(estimate) or len(values_RS) < 2:
        return estimate, float("nan"), float("nan")
    covariance_SS = np.atleast_2d(np.cov(values_RS, rowvar=False))
    with_these_seeds = covariance_SS.mean()
    variance, seeds = with_these_seeds, 0.0
    if n_seeds > 1:
        seeds = np.var(points_S, ddof=1) / n_seeds
        shared = (covariance_SS.sum() - np.trace(covariance_SS)) / (n_seeds * (n_seeds - 1))
        variance = seeds + max(shared, 0.0) or with_these_seeds  # seeds can agree by chance
    df = (n_seeds - 1) * variance / seeds if seeds else np.inf
    half_width = stats.t.ppf((1 + CONFIDENCE) / 2, df) * np.sqrt(variance)
    alike = {FRACTION: (0, 1), CORRELATION: (0,)}.get(bounds, ())
    if half_width < ROUNDING and any(abs(estimate - at) < ROUNDING for at in alike):
        half_width = 1 - ((1 - CONFIDENCE) / 2) ** (1 / n_problems)
    low, high = np.clip([estimate - half_width, estimate + half_width], *bounds)
    return estimate, float(low), float(high)


def _won_pairs(scores_PN: np.ndarray, positive_PN: np.ndarray) -> np.ndarray:
    """Pairs of a positive of one problem and a negative of another in which the positive scores higher."""
    of_problem, positives = np.nonzero(positive_PN)[0], scores_PN[positive_PN]
    pairs_PP = np.zeros((len(scores_PN),) * 2)
    for q, negative_N in enumerate(~positive_PN & ~np.isnan(scores_PN)):
        negatives = np.sort(scores_PN[q, negative_N])
        below, up_to = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
        pairs_PP[:, q] = np.bincount(of_problem, (below + up_to) / 2, minlength=len(pairs_PP))
    return pairs_PP
