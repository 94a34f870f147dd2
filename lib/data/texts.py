"""What backbones are trained on from scratch: endless questions with solutions."""

import random
from collections.abc import Iterator, Sequence

from lib.data import world
from lib.data.demonstrations import Demonstration


def world_texts(
    rng: random.Random,
    steps: Sequence[int],
    malformed: float,
    held_out: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str]]:
    """Endless questions of the world, each with a solution by an unreliable solver.

    Questions in `held_out` never occur.
    """
    while True:
        problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.choice(steps))
        if problem.question not in held_out:
            yield problem.question, world.unreliable(problem, rng, malformed)


def expert_texts(rng: random.Random, demonstrations: Sequence[Demonstration]) -> Iterator[tuple[str, str]]:
    """The questions of demonstrations with their traces, again and again, each time in another order."""
    while True:
        for row in rng.sample(demonstrations, len(demonstrations)):
            yield row.question, row.trace
