"""The splits of the study's data: made by notebook 01, read by everything else."""

from lib import runs
from lib.data import corpora, demonstrations
from lib.data.demonstrations import Demonstration
from lib.schema import Params


def make_splits(settings: Params) -> dict[str, list[Demonstration]]:
    """The splits that `data` asks for; raises ValueError if the dataset cannot give them."""
    data = settings.data
    sizes = data.model_dump(exclude={"dataset", "path"})
    if data.dataset == "world":
        return demonstrations.make_world_splits(**sizes)
    return corpora.make_splits(data.dataset, data.path, **sizes)


def split(name: str) -> list[Demonstration]:
    """One split of the data, as notebook 01 wrote it."""
    return demonstrations.read_jsonl(runs.DATA / f"{name}.jsonl")
