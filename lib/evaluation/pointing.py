"""Pointing at the first wrong unit of a trace: hits, ProcessBench's accuracies, and thresholds for both.

Records hold thresholds, so that trainings depend on this file, and on no other metric.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lib.reward.falls import first_above, first_flag

CANDIDATES = 200  # quantiles of the scores that a threshold is chosen from


def localisation_hits(unit_scores: Sequence[Sequence[float]], first_wrong_unit: Sequence[int]) -> np.ndarray:
    """1 where the largest unit score is the first wrong unit's; 1/m when m units tie for the largest."""
    hits = []
    for scores, truth in zip(unit_scores, first_wrong_unit, strict=True):
        if not 0 <= truth < len(scores):
            raise ValueError(f"first wrong unit {truth} of a trace with {len(scores)} unit scores")
        largest = np.asarray(scores) == np.max(scores)
        hits.append(largest[truth] / largest.sum())
    return np.array(hits, dtype=float)


def first_error_accuracy(flags: Sequence[int], first_wrong_unit: Sequence[int]) -> tuple[float, float, float]:
    """ProcessBench's (Zheng et al. 2024): accuracy on traces with an error, on those without, and F1.

    A trace with an error counts where its first wrong unit is flagged, one without (-1) where nothing is
    (-1); F1 is the harmonic mean of both. NaN where a kind of trace is missing.
    """
    flags, truth = np.asarray(flags), np.asarray(first_wrong_unit)
    erroneous, correct = (
        float(np.mean(flags[kind] == truth[kind])) if kind.any() else float("nan")
        for kind in (truth >= 0, truth < 0)
    )
    total = erroneous + correct
    return erroneous, correct, 2 * erroneous * correct / total if total else total


def best_threshold(unit_scores: Sequence[Sequence[float]], first_wrong_unit: Sequence[int]) -> float:
    """The threshold with the most hits of `first_above`, of `CANDIDATES` quantiles of the scores.

    Among equally good ones the middle one.
    """

    def hits(level: float) -> float:
        return localisation_hits([first_above(s, level) for s in unit_scores], first_wrong_unit).sum()

    return _best_level(hits, unit_scores)


def best_f1_threshold(unit_scores: Sequence[Sequence[float]], first_wrong_unit: Sequence[int]) -> float:
    """As `best_threshold`, the one with the largest F1 of `first_error_accuracy`, where traces may be right
    (-1)."""

    def f1(level: float) -> float:
        return first_error_accuracy([first_flag(s, level) for s in unit_scores], first_wrong_unit)[2]

    return _best_level(f1, unit_scores)


def _best_level(value: Callable[[float], float], unit_scores: Sequence) -> float:
    every = np.concatenate([np.asarray(scores, dtype=float) for scores in unit_scores])
    levels = np.quantile(every, np.linspace(0, 1, CANDIDATES), method="nearest")
    values = [value(level) for level in levels]
    best = np.flatnonzero(np.isclose(values, max(values)))
    return float(levels[best[len(best) // 2]])


def first_unit(first_wrong_unit: Sequence[int]) -> np.ndarray:
    """The hits of pointing at the first unit, whatever the trace."""
    return (np.asarray(first_wrong_unit) == 0).astype(float)


def chance(unit_scores: Sequence[Sequence[float]]) -> np.ndarray:
    """The hit rate of pointing at a unit at random: 1 / number of units."""
    return np.array([1.0 / len(scores) for scores in unit_scores])
