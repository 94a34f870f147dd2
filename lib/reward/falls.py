"""Where a reward falls along a trace: what points at its first wrong unit."""

from collections.abc import Sequence

import numpy as np


def reward_drops(unit_reward: Sequence[float]) -> np.ndarray:
    """From the reward [f_0, f_1, .., f_K] before the first unit and at each unit's end: f_(k-1) - f_k.

    The largest drop points at the first wrong unit.
    """
    return -np.diff(np.asarray(unit_reward, dtype=float))


def first_above(scores: Sequence[float], threshold: float) -> np.ndarray:
    """A trace's unit scores made to point at the first above the threshold; unchanged if none is."""
    scores = np.asarray(scores, dtype=float)
    above = scores > threshold
    return np.eye(len(scores))[above.argmax()] if above.any() else scores


def first_flag(scores: Sequence[float], threshold: float) -> int:
    """The first unit of a trace whose score is above the threshold; -1 where none is."""
    above = np.asarray(scores, dtype=float) > threshold
    return int(above.argmax()) if above.any() else -1
