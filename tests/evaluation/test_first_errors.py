"""First errors of others' solutions: by hand, on the published set, and in the table."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from lib import runs
from lib.evaluation import external, first_errors, localisation, records
from tests import synthetic

RUN = {"backbone": "qwen2", "variant": "airl", "seed": 0, "threshold": 1.0}


def row(problem, sample, unit_reward, first_wrong_unit, is_correct=False):
    return RUN | {
        "problem": problem, "sample": sample, "answer": "5", "is_correct": is_correct, "reward": 0.0,
        "length": 9, "unit_reward": unit_reward, "first_wrong_unit": first_wrong_unit,
    }  # fmt: skip


ROWS = [
    row(0, 0, [0.0, -2.0, -9.0], 0),  # found, though it falls most over unit 1
    row(0, 1, [0.0, 0.0, -1.0], 1),  # falls most there, but not by more than the threshold
    row(1, 0, [0.0, -2.0, -2.0, -2.0], 2),  # another unit is named
    row(1, 1, [0.0, -2.0], 0),  # found
    row(2, 0, [0.0, 0.0, -0.5], -1, True),  # nothing is named
    row(2, 1, [0.0, -3.0], None, True),  # right and not told: it has none, but one is named
    row(3, 0, [0.0, -3.0], None),  # wrong and not told: left out
]


def by_metric(rows, n_resamples=50):
    return {metric: (value, chance, n) for metric, value, chance, n in first_errors.check(rows, n_resamples)}


def test_accuracies_by_hand():
    found = by_metric(ROWS)
    assert {metric: n for metric, (_, _, n) in found.items()} == {
        "first_error": 4, "accuracy_erroneous": 4, "accuracy_correct": 2, "f1": 6,
    }  # fmt: skip
    values = {metric: value[0] for metric, (value, _, _) in found.items()}
    assert values == pytest.approx({
        "first_error": ((0 + 1) / 2 + (0 + 1) / 2) / 2,
        "accuracy_erroneous": 2 / 4,
        "accuracy_correct": 1 / 2,
        "f1": 1 / 2,
    })  # fmt: skip
    by_chance = (1 / 3 + 1 / 3 + 1 / 4 + 1 / 2) / 4, (1 / 3 + 1 / 2) / 2
    assert found["accuracy_erroneous"][1] == pytest.approx(by_chance[0])
    assert found["accuracy_correct"][1] == pytest.approx(by_chance[1])
    assert found["f1"][1] == pytest.approx(2 * by_chance[0] * by_chance[1] / sum(by_chance))
    for value, low, high in (value for value, _, _ in found.values()):
        assert low <= value <= high


def test_what_is_missing_is_not_made_up():
    untold = [fields | {"first_wrong_unit": None} for fields in ROWS]
    assert by_metric(untold) == {}
    for rows in (ROWS[:4], [{**fields, "threshold": None} for fields in ROWS]):
        assert list(by_metric(rows)) == ["first_error"]


def test_the_table_has_a_row_of_every_benchmark_with_a_threshold(tmp_path):
    runs.write_rows(tmp_path / "external/mine.jsonl.xz", ROWS)
    runs.write_rows(tmp_path / "external/untold.jsonl.xz", [f | {"first_wrong_unit": None} for f in ROWS])
    scored = external.recorded_checks(tmp_path)
    checked = external.table(scored, 20)
    table = first_errors.table(scored, checked)
    assert list(table.columns) == first_errors.COLUMNS
    (found,) = table.to_dict("records")
    assert (found["benchmark"], found["detector"], found["threshold"], found["n"]) == (
        "mine",
        "reward",
        1.0,
        6,
    )
    assert (found["accuracy_erroneous"], found["accuracy_correct"], found["f1"]) == (0.5, 0.5, 0.5)
    said = list(external.sentences(checked))
    assert any(
        "names the first wrong step of 0.50 of 4 wrong solutions, and none in 0.50 of 2 right ones: F1 0.50 ["
        in sentence
        for sentence in said
    )


def test_alarms_are_of_wrong_and_right_traces_of_the_base_policy(tmp_path):
    """Counted trace by trace: a wrong one needs its first wrong unit flagged, a right one nothing."""
    synthetic.write(tmp_path, seeds=2, problems=10)
    study = records.load(tmp_path)
    table = first_errors.false_alarms(study, 50)
    assert list(table.columns) == first_errors.FALSE_ALARMS
    assert set(table["threshold"]) == {"perturbed", "oracle"} and (table["n_seeds"] == 2).all()

    def flagged(falls, level):
        return next((unit for unit, fall in enumerate(falls) if fall > level), -1)

    for row in table.query("backbone == 'qwen2' and variant == 'airl'").itertuples():
        wrong = study.localisation.query(
            "backbone == 'qwen2' and variant == 'airl' and policy == 'base' and source == 'policy'"
        )
        named, passed = [], []
        for seed in (0, 1):
            of_seed = wrong[wrong["seed"] == seed]
            level = of_seed["thresholds"].iloc[0][row.threshold]
            named.append(
                np.mean([
                    flagged(falls, level) == unit
                    for falls, unit in zip(of_seed["unit_scores"], of_seed["first_wrong_unit"], strict=True)
                ])
            )  # fmt: skip
            right = study.scores.query(
                "backbone == 'qwen2' and variant == 'airl' and policy == 'base' and seed == @seed "
                "and correct and first_wrong_unit.isna()"
            )
            passed.append(np.mean([flagged(-np.diff(units), level) == -1 for units in right["unit_reward"]]))
        assert (row.n_wrong, row.n_right) == (len(of_seed), len(right))
        assert row.accuracy_erroneous == pytest.approx(np.mean(named), abs=1e-3)
        assert row.accuracy_correct == pytest.approx(np.mean(passed), abs=1e-3)
        harmonic = [2 * n * p / (n + p) for n, p in zip(named, passed, strict=True)]
        assert row.f1 == pytest.approx(np.mean(harmonic), abs=1e-3)
    never = first_errors.false_alarms(study._replace(scores=study.scores.assign(correct=False)), 50)
    assert never.empty and list(never.columns) == first_errors.FALSE_ALARMS


def test_processbench_is_judged_by_a_threshold_of_elsewhere(reward_model, tokenizer, settings, experts):
    if "STUDY_PROCESSBENCH" not in os.environ:
        pytest.skip("STUDY_PROCESSBENCH names no directory with ProcessBench's gsm8k.json")
    labelled = external.solutions(Path(os.environ["STUDY_PROCESSBENCH"]) / "gsm8k.json")
    labelled = sorted(labelled[::25], key=lambda row: row["first_wrong_unit"] == -1)
    airl = settings.airl
    detect = functools.partial(
        localisation.detect_by_reward, reward_model, tokenizer, airl=airl, settings=settings
    )
    threshold = localisation.thresholds_on_experts(detect, experts[:6], 0)["reward"]
    scored = external.score(reward_model, tokenizer, labelled, airl, settings)
    found = by_metric([RUN | fields | {"threshold": threshold} for fields in scored])
    flags = []
    for fields in scored:
        falls = -np.diff(fields["unit_reward"])
        flags.append(next((i for i, fall in enumerate(falls) if fall > threshold), -1))
    truths = [fields["first_wrong_unit"] for fields in labelled]
    hits = [flag == truth for flag, truth in zip(flags, truths, strict=True)]
    n_wrong = 16 - truths.count(-1)
    assert 0 < n_wrong < 16 and truths.index(-1) == n_wrong
    assert found["accuracy_erroneous"][0][0] == pytest.approx(np.mean(hits[:n_wrong]))
    assert found["accuracy_correct"][0][0] == pytest.approx(np.mean(hits[n_wrong:]))
