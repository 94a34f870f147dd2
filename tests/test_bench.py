from lib.airl.trainer import AIRLTrainer
from tests import bench


class Names:
    """A clock that only asks whether there is what it is to watch."""

    def __init__(self):
        self.labels = []

    def watch(self, owner, name: str, label: str) -> None:
        assert callable(getattr(owner, name)), name
        self.labels.append(label)


def test_what_the_bench_watches_is_where_it_says():
    names = Names()
    bench.watch_functions(names)
    bench.watch_airl(names, AIRLTrainer)
    assert len(set(names.labels)) == len(names.labels) > 8
