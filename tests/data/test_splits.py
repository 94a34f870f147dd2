import pytest

from lib import runs
from lib.data import demonstrations, splits


@pytest.fixture
def pool(experts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demonstrations.write_jsonl(runs.DATA / "demonstrations.jsonl", experts)
    return experts


def test_each_seed_has_all_demonstrations_in_an_order_of_its_own(pool):
    drawn = {seed: [d.id for d in splits.demonstrations_of(seed)] for seed in range(5)}
    assert all(sorted(ids) == sorted(d.id for d in pool) for ids in drawn.values())
    assert len({tuple(ids[:4]) for ids in drawn.values()}) == 5  # other ones, not only another order
    assert len({frozenset(ids[:4]) for ids in drawn.values()}) == 5


def test_a_seeds_order_does_not_change_with_how_many_are_asked_for_or_when(pool):
    """So whoever learns from more learns from those that others learn from, too."""
    first = splits.demonstrations_of(3)
    splits.demonstrations_of(4)
    assert splits.demonstrations_of(3) == first
    assert first[:4] == splits.demonstrations_of(3)[:8][:4]
