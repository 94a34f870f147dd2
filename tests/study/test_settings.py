"""What a method's runs depend on: the code that decides them, and the parameters."""

from pathlib import Path

import pytest

from lib.study import params, settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tree() -> dict:
    tree = params.apply_profile(ROOT / "params.yaml", "default")
    tree["ablations"] = {
        "few": {"of": "ttrl", "demonstrations": 16},
        "fewer": {"of": "sft", "demonstrations": 8},
        "wrong": {"wrong_experts": 0.25},
    }
    return tree


@pytest.mark.parametrize(
    ("method", "places"),
    [
        ("sft", set()),
        ("fewer", set()),
        ("grpo", set()),
        ("ttrl", {"lib/airl"}),  # whose answers are counted there
        ("few", {"lib/airl"}),
        ("airl", set(settings.ADVERSARIAL)),
        ("wrong", set(settings.ADVERSARIAL)),
        ("step_labels", set(settings.ADVERSARIAL)),
    ],
)
def test_a_methods_code_is_what_trains_it(tree, method, places):
    found = settings.packages(method, params.validate(tree, "params.yaml"))
    assert set(found) == {*settings.TRAINING, *places}


@pytest.mark.parametrize("method", ["sft", "few", "fewer", "wrong"])
def test_sft_decides_what_starts_from_it(tree, method, monkeypatch):
    monkeypatch.chdir(ROOT)
    longer = {**tree, "sft": {**tree["sft"], "epochs": 41}}
    before, after = (
        settings.of_method(method, params.validate(given, "params.yaml")) for given in (tree, longer)
    )
    assert before != after


def test_only_its_own_parameters_decide_a_method(tree, monkeypatch):
    monkeypatch.chdir(ROOT)
    other = {**tree, "ablations": {**tree["ablations"], "wrong": {"wrong_experts": 0.5}}}
    first, second = (params.validate(given, "params.yaml") for given in (tree, other))
    changed = {m for m in first.methods if settings.of_method(m, first) != settings.of_method(m, second)}
    assert changed == {"wrong"}
