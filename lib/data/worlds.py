"""The embedded worlds by the name of their dataset, each with what the study asks of one."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lib.data import reading, styled_world, world
from lib.data.problems import Family


class World(NamedTuple):
    """Problems that a program writes, so that it knows how they are solved and where a trace goes wrong.

    `families` by name; the functions are those of `lib.data.world`.
    """

    families: Mapping[str, Family]
    generate: Callable
    expert: Callable
    unreliable: Callable
    first_wrong_unit: Callable[[str, str], int | None]


def _of(module, first_wrong_unit: Callable) -> World:
    return World(module.FAMILIES, module.generate, module.expert, module.unreliable, first_wrong_unit)


WORLDS = {
    "world": _of(world, world.first_wrong_unit),  # one wording a step
    "styled_world": _of(styled_world, reading.first_wrong_unit),  # many, whatever is right
}
