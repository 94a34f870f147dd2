"""The splits of the study's data: made by notebook 01, read by everything else."""

import random

from lib import runs
from lib.data import corpora, demonstrations
from lib.data.demonstrations import Demonstration
from lib.schema import Params
from lib.text import perturb


def make_splits(settings: Params) -> dict[str, list[Demonstration]]:
    """The splits that `data` asks for; raises ValueError if the dataset cannot give them."""
    data = settings.data
    sizes = data.model_dump(exclude={"dataset", "path"})
    if data.dataset == "world":
        return demonstrations.make_world_splits(**sizes)
    splits = corpora.make_splits(data.dataset, data.path, **sizes)
    rows, airl = splits["demonstrations"], settings.airl
    kinds = perturb.SETS[airl.near_misses]
    if airl.perturbations and not any(perturb.applies(row.question, row.trace, kinds) for row in rows):
        raise ValueError(
            f"data.dataset: in {data.dataset} no demonstration has near misses by airl.near_misses: "
            f"{airl.near_misses}, such as {rows[0].id}, which answers {rows[0].answer!r}; take another set, "
            "or set airl.perturbations to 0"
        )
    return splits


def demonstrations_of(seed: int) -> list[Demonstration]:
    """The demonstrations in the order of a seed: of however many it learns from, they come first."""
    pool = split("demonstrations")
    return random.Random(seed).sample(pool, len(pool))


def split(name: str) -> list[Demonstration]:
    """One split of the data, as notebook 01 wrote it."""
    return demonstrations.read_jsonl(runs.DATA / f"{name}.jsonl")
