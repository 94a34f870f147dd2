"""Percentile bootstrap intervals; seeds and problems are drawn with replacement.

Shapes: `_S` seeds, `_P` problems, `_N` samples of a problem, `_R` resamples.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

CONFIDENCE = 0.95


def mean_ci(values_SP: np.ndarray, n_resamples: int, seed: int) -> tuple[float, float, float]:
    """(mean, low, high): percentile interval of the mean, seeds and problems drawn with replacement.

    A resample takes the same problems for every seed. NaN marks a cell without a value, which is
    left out of every mean.
    """
    values_SP = np.atleast_2d(np.asarray(values_SP, dtype=float))
    present_SP = ~np.isnan(values_SP)
    if not present_SP.any():
        raise ValueError("mean_ci: no values")
    values_SP = np.where(present_SP, values_SP, 0.0)
    seeds_RS, problems_RP = _resamples(*values_SP.shape, n_resamples, seed)
    totals = ((seeds_RS @ values_SP) * problems_RP).sum(1)
    counts = ((seeds_RS @ present_SP) * problems_RP).sum(1)
    means = np.divide(totals, counts, out=np.full(n_resamples, np.nan), where=counts > 0)
    return float(values_SP.sum() / present_SP.sum()), *_interval(means)


def statistic_ci(
    statistic: Callable[..., float],
    *arrays_SPN: np.ndarray,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """As `mean_ci`, for a `statistic` of all samples of all problems; its mean over seeds.

    `statistic` gets the flattened samples, one array for each of `arrays_SPN`.
    """
    n_seeds, n_problems = arrays_SPN[0].shape[:2]
    seeds_RS, problems_RP = _resamples(n_seeds, n_problems, n_resamples, seed)

    def by_seed(problems: np.ndarray) -> list[float]:
        return [statistic(*(a[s][problems].ravel() for a in arrays_SPN)) for s in range(n_seeds)]

    values_RS = [by_seed(np.repeat(np.arange(n_problems), counts)) for counts in problems_RP]
    return _weighted_by_seed(by_seed(np.arange(n_problems)), np.array(values_RS), seeds_RS)


def auroc_ci(
    scores_SPN: np.ndarray,
    positive_SPN: np.ndarray,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """`statistic_ci` of `metrics.auroc`, fast: pairs are counted once, between problems.

    With pairs_PP[p, q] the won pairs of a positive of p and a negative of q, a tie half a win, the
    AUROC of a resample that has problem p w_p times is w' pairs w / (w'positives * w'negatives).
    A score of NaN, which is not positive, stands for a sample that the problem lacks.
    """
    n_seeds, n_problems, _ = scores_SPN.shape
    seeds_RS, problems_RP = _resamples(n_seeds, n_problems, n_resamples, seed)
    points, values_SR = [], []
    for scores_PN, positive_PN in zip(scores_SPN, positive_SPN.astype(bool), strict=True):
        pairs_PP = np.stack(
            [
                _won_pairs(row, up, scores_PN, positive_PN)
                for row, up in zip(scores_PN, positive_PN, strict=True)
            ]
        )
        weights_RP = np.vstack([np.ones(n_problems), problems_RP])
        won = ((weights_RP @ pairs_PP) * weights_RP).sum(1)
        negative_PN = ~positive_PN & ~np.isnan(scores_PN)
        all_pairs = (weights_RP @ positive_PN.sum(1)) * (weights_RP @ negative_PN.sum(1))
        point, *values = np.divide(won, all_pairs, out=np.full(len(won), np.nan), where=all_pairs > 0)
        points.append(point)
        values_SR.append(values)
    return _weighted_by_seed(points, np.array(values_SR).T, seeds_RS)


def cell_means(values: Sequence[float], seeds: Sequence, problems: Sequence) -> np.ndarray:
    """Mean of the values of every seed and problem, shape (S, P); NaN where there is none."""
    _, rows = np.unique(seeds, return_inverse=True)
    _, columns = np.unique(problems, return_inverse=True)
    totals, counts = np.zeros((2, rows.max() + 1, columns.max() + 1))
    np.add.at(totals, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1)
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


@functools.lru_cache(maxsize=16)
def _resamples(n_seeds: int, n_problems: int, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed (R, S) and each problem (R, P) is in each resample."""
    rng = np.random.default_rng(seed)
    return tuple(rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in (n_seeds, n_problems))


def _interval(values: np.ndarray) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _weighted_by_seed(
    points_S: Sequence[float], values_RS: np.ndarray, seeds_RS: np.ndarray
) -> tuple[float, float, float]:
    resampled = (values_RS * seeds_RS).sum(1) / seeds_RS.sum(1)
    return float(np.mean(points_S)), *_interval(resampled)


def _won_pairs(
    scores_N: np.ndarray, positive_N: np.ndarray, scores_PN: np.ndarray, positive_PN: np.ndarray
) -> np.ndarray:
    """Pairs of a positive here and a negative of each problem in which the positive scores higher."""
    here = scores_N[positive_N][:, None, None]
    return ((0.5 * (here > scores_PN) + 0.5 * (here >= scores_PN)) * ~positive_PN).sum((0, 2))
