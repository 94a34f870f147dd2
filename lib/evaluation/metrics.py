"""Metrics: pass@k, reranking, reward quality; first errors are in `pointing`, intervals in `intervals`.

Shapes: `_S` seeds, `_P` problems, `_N` samples of a problem.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from lib.grading import answers

BINS = 10  # of a calibration
CONSTANT = 1e-12  # a part of the squares' sum: rounding
SELECTORS = ("random", "majority", "logprob", "reward", "reward_weighted_majority", "oracle")

# --- pass@k ---


def pass_at_k(n: int, c: np.ndarray | int, k: int) -> np.ndarray:
    """Chance that k of n samples, c of them correct, hold a correct one: 1 - C(n-c, k) / C(n, k).

    The unbiased estimator of Chen et al. 2021; `c` may be an array. Raises ValueError unless
    0 <= c <= n and 1 <= k <= n.
    """
    c = np.asarray(c)
    if not 1 <= k <= n or (c < 0).any() or (c > n).any():
        raise ValueError(f"pass@k needs 1 <= k <= n and 0 <= c <= n; got k={k}, n={n}, c={c}")
    ways = _ways(n, k)
    return 1.0 - np.asarray(ways[n - c] / ways[n], dtype=float)


def _ways(n: int, k: int) -> np.ndarray:
    """C(m, k) for m = 0 to n, shape (n + 1,): whole numbers, since a thousand samples overflow floats."""
    return np.array([math.comb(m, k) for m in range(n + 1)], dtype=object)


def pass_at_k_table(correct_PN: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """pass@k of every problem, shape (P, len(ks))."""
    correct_PN = np.asarray(correct_PN)
    return np.stack([pass_at_k(correct_PN.shape[1], correct_PN.sum(1), k) for k in ks], axis=1)


def reranked_pass_at_k(correct_PN: np.ndarray, scores_PN: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Whether the k samples of highest score hold a correct one, shape (P, len(ks))."""
    order = np.argsort(-np.asarray(scores_PN), axis=1, kind="stable")
    solved = np.maximum.accumulate(np.take_along_axis(np.asarray(correct_PN), order, axis=1), axis=1)
    return solved[:, [k - 1 for k in ks]].astype(float)


# --- reranking ---


def answer_codes(answers_PN: Sequence[Sequence[str | None]]) -> np.ndarray:
    """Number the different answers of each problem 0, 1, .. (see `answers.classes`); -1 for a missing answer.
    Shape (P, N)."""
    return np.array([answers.classes(answers_N) for answers_N in answers_PN])


def rerank_accuracy(
    selector: str,
    n: int,
    codes_PN: np.ndarray,
    correct_PN: np.ndarray,
    logprobs_PN: np.ndarray,
    rewards_PN: np.ndarray,
    *,
    n_subsets: int,
    seed: int,
) -> np.ndarray:
    """Chance that `selector` elects a correct sample among n drawn from the N of a problem, shape (P,).

    random: any; logprob, reward: the highest score; oracle: a correct one if there is one; majority:
    the commonest answer (`codes_PN`, see `answer_codes`); reward_weighted_majority: the answer with
    the largest sum of softmax(reward). Ties are broken at random, and a majority is for a missing answer
    only when all are missing. Exact, except that the majorities are averaged over `n_subsets` random
    subsets, which are nested in n.
    """
    correct_PN = np.asarray(correct_PN, dtype=float)
    n_samples = correct_PN.shape[1]
    if not 1 <= n <= n_samples:
        raise ValueError(f"best of n needs 1 <= n <= {n_samples} samples; got n={n}")
    if selector not in SELECTORS:
        raise ValueError(f"selector: {selector!r} is none of {', '.join(SELECTORS)}")
    if selector == "random" or n == 1:
        return correct_PN.mean(1)
    if selector == "oracle":
        return pass_at_k(n_samples, correct_PN.sum(1).astype(int), n)
    if selector == "logprob":
        return _best_of(n, correct_PN, np.asarray(logprobs_PN))
    if selector == "reward":
        return _best_of(n, correct_PN, np.asarray(rewards_PN))
    order_PKN = np.random.default_rng(seed).random((len(correct_PN), n_subsets, n_samples)).argsort(-1)
    drawn_PKN = order_PKN < n
    if selector == "majority":
        return _majority(codes_PN, correct_PN, drawn_PKN, drawn_PKN.astype(float))
    rewards_PKN = np.where(drawn_PKN, np.asarray(rewards_PN)[:, None], -np.inf)
    return _majority(codes_PN, correct_PN, drawn_PKN, softmax(rewards_PKN, axis=-1))


def best_of_all(correct_SPN: np.ndarray, scores_SPN: np.ndarray) -> np.ndarray:
    """How right the sample with the highest score is, shape (S, P); of equal ones any may be chosen."""
    n = correct_SPN.shape[2]
    return np.array([_best_of(n, *seed) for seed in zip(correct_SPN, scores_SPN, strict=True)])


def _best_of(n: int, correct_PN: np.ndarray, scores_PN: np.ndarray) -> np.ndarray:
    """Expected correctness of the sample with the highest score, over all subsets of n."""
    n_samples = correct_PN.shape[1]
    above_PN = (scores_PN[:, None, :] > scores_PN[:, :, None]).sum(-1)
    tied_PN = (scores_PN[:, None, :] == scores_PN[:, :, None]).sum(-1)
    # the subset's best is one of the tied samples: none above them is drawn, but one of them is
    below = n_samples - above_PN
    ways = _ways(n_samples, n)
    chance_PN = ((ways[below] - ways[below - tied_PN]) / ways[n_samples]).astype(float) / tied_PN
    return (chance_PN * correct_PN).sum(1)


def _majority(
    codes_PN: np.ndarray, correct_PN: np.ndarray, drawn_PKN: np.ndarray, weights_PKN: np.ndarray
) -> np.ndarray:
    """Chance that a sample with the heaviest answer is correct, averaged over the K subsets."""
    one_hot_PNC = (codes_PN[:, :, None] == np.arange(codes_PN.shape[1])).astype(float)
    counts_PKC = drawn_PKN.astype(float) @ one_hot_PNC
    right_PKC = (drawn_PKN * correct_PN[:, None]) @ one_hot_PNC
    votes_PKC = np.where(counts_PKC > 0, weights_PKN @ one_hot_PNC, -1.0)
    # equal sums of floats may differ in their last digits
    elected_PKC = (counts_PKC > 0) & (votes_PKC >= votes_PKC.max(-1, keepdims=True) - 1e-9)
    accuracy_PKC = right_PKC / np.maximum(counts_PKC, 1)
    accuracy_PK = (accuracy_PKC * elected_PKC).sum(-1) / np.maximum(elected_PKC.sum(-1), 1)
    # all missing: any sample is elected
    unanswered_PK = (drawn_PKN * correct_PN[:, None]).sum(-1) / drawn_PKN.sum(-1)
    return np.where(counts_PKC.any(-1), accuracy_PK, unanswered_PK).mean(1)


# --- reward quality ---


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative, a tie counting half; NaN without both."""
    positive = np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return float("nan")
    return float(roc_auc_score(positive, scores))


def auroc_within(scores_PN: np.ndarray, positive_PN: np.ndarray) -> np.ndarray:
    """`auroc` among each problem's own samples; NaN for a problem without both.

    Any axes may stand before the samples': (.., N) gives (..,).
    """
    positive_PN = np.asarray(positive_PN, dtype=bool)
    return auroc_of_pairs(scores_PN, positive_PN[..., :, None] & ~positive_PN[..., None, :])


def auroc_of_pairs(scores_PN: np.ndarray, pairs_PNN: np.ndarray) -> np.ndarray:
    """How often the first of a pair of a problem's samples scores higher than the second, a tie half a time.

    `pairs_PNN[p, i, j]` says whether samples i and j of problem p are one; NaN for a problem without any.
    Axes as in `auroc_within`.
    """
    scores_PN = np.asarray(scores_PN, dtype=float)
    here_PN1, there_P1N = scores_PN[..., :, None], scores_PN[..., None, :]
    won_P = ((0.5 * (here_PN1 > there_P1N) + 0.5 * (here_PN1 >= there_P1N)) * pairs_PNN).sum((-2, -1))
    all_P = pairs_PNN.sum((-2, -1))
    return np.divide(won_P, all_P, out=np.full(all_P.shape, np.nan), where=all_P > 0)


def calibration_sums(probabilities_PN: np.ndarray, correct_PN: np.ndarray) -> np.ndarray:
    """Correct less probability, by which of `BINS` equal bins of [0, 1] that is in, and how many: of each
    problem, shape (P, BINS + 1)."""
    gaps_PN = np.asarray(correct_PN, dtype=float) - probabilities_PN
    bins_PN = np.minimum((np.asarray(probabilities_PN) * BINS).astype(int), BINS - 1)
    gaps_PK = ((bins_PN[..., None] == np.arange(BINS)) * gaps_PN[..., None]).sum(-2)
    return np.concatenate([gaps_PK, np.full((len(gaps_PN), 1), gaps_PN.shape[1])], axis=1)


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """Mean |accuracy - mean probability| of bins weighted by their size, of `calibration_sums`, (.., K)."""
    return np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]


def correlation_sums(x_PN: np.ndarray, y_PN: np.ndarray) -> np.ndarray:
    """Of each problem how many values there are, and the sums of x, y, xx, yy and xy, shape (P, 6).

    Both are less their means first, which changes no correlation. A pair with NaN is left out.
    """
    x_PN, y_PN = np.asarray(x_PN, dtype=float), np.asarray(y_PN, dtype=float)
    given_PN = ~np.isnan(x_PN) & ~np.isnan(y_PN)
    if not given_PN.any():
        return np.zeros((len(x_PN), 6))
    x_PN, y_PN = (np.where(given_PN, of - of[given_PN].mean(), 0.0) for of in (x_PN, y_PN))
    return np.stack([given_PN, x_PN, y_PN, x_PN**2, y_PN**2, x_PN * y_PN], axis=-1).sum(1)


def correlation_of(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation, of `correlation_sums`, (.., K); NaN where one side is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    spread_x, spread_y = n * xx - x**2, n * yy - y**2
    defined = (spread_x > CONSTANT * n * xx) & (spread_y > CONSTANT * n * yy)
    spread = np.sqrt(np.where(defined, spread_x * spread_y, 1.0))
    return np.where(defined, (n * xy - x * y) / spread, np.nan)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; NaN when one side is constant."""
    return float(correlation_of(correlation_sums(np.asarray(x)[None], np.asarray(y)[None])[0]))


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first of two sums, (.., 2), as a part of the second; NaN where that is 0."""
    over, under = np.moveaxis(sums, -1, 0)
    return np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under != 0)
