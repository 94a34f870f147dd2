"""What a reward says when it is trained, on records as `recording` writes them."""

import pytest

from lib import runs
from lib.airl import discriminator
from lib.data import demonstrations, reading
from lib.study.adversarial import judging
from lib.text import traces

WRONG = traces.render(["1+1=3 beads"], "3")
PROBLEMS, SAMPLES, LONG = 4, 6, 2


def sampled(problems, n: int, **more) -> list[dict]:
    """n rows a problem, by turns the expert's own trace and a wrong one."""
    rows = []
    for i, problem in enumerate(problems):
        for sample in range(n):
            text = WRONG if sample % 2 else problem.trace
            wrong = reading.first_wrong_unit(text, problem.trace)
            found = {"problem": i, "sample": sample, "text": text, "correct": wrong is None}
            rows.append({**found, "first_wrong_unit": wrong, **more})
    return rows


@pytest.fixture
def judged(backbone, tokenizer, experts, settings, tmp_path, monkeypatch):
    """The record of a reward that has judged the samples of both policies, of seed 1."""
    monkeypatch.chdir(tmp_path)
    sizes = {"test": PROBLEMS, "validation": PROBLEMS, "test_long": LONG}
    for name, n in sizes.items():
        demonstrations.write_jsonl(runs.DATA / f"{name}.jsonl", experts[:n])
    for of, policy, seed in (("qwen2", "base", 0), ("qwen2", "sft", 1), ("llama", "base", 0)):
        record = runs.run_dir(of, policy, seed)
        runs.write_rows(record / runs.SAMPLES, sampled(experts[:PROBLEMS], SAMPLES))
        runs.write_rows(record / runs.KNOWN, sampled(experts[:PROBLEMS], 2))
        long = sampled(experts[:LONG], SAMPLES, temperature="1.0")
        greedy = sampled(experts[:LONG], 1, temperature="greedy")
        runs.write_rows(record / runs.LONG, [*long, *greedy])
    airl = settings.airl
    model = discriminator.PARAMETERISATIONS[airl.parameterisation].new(backbone, r=2, alpha=4)
    judging.judge("qwen2", "airl_dense", 1, model, tokenizer, airl, settings)
    assert not (runs.run_dir("qwen2", "airl_dense", 1) / runs.TRANSFER).exists()  # which nothing reads
    judging.judge("qwen2", "airl", 1, model, tokenizer, airl, settings)
    return runs.run_dir("qwen2", "airl", 1)


def places(rows: list[dict], **where) -> list[tuple]:
    """Problem and sample of the rows that have these values."""
    found = [row for row in rows if all(row[key] == value for key, value in where.items())]
    return sorted((row["problem"], row["sample"]) for row in found)


def test_every_sample_of_a_judged_policy_has_its_reward(judged, settings):
    rows = runs.read_rows(judged / runs.SCORES)
    assert {(row["variant"], row["seed"]) for row in rows} == {("airl", 1)}
    for policy in runs.JUDGED:
        assert places(rows, policy=policy) == [(p, s) for p in range(PROBLEMS) for s in range(SAMPLES)]
    assert len(rows) == len(runs.JUDGED) * PROBLEMS * SAMPLES


def test_errors_are_the_experts_near_misses_and_the_first_wrong_samples(judged, experts):
    rows = runs.read_rows(judged / runs.LOCALISATION)
    first = range(judging.FEW)
    for policy in runs.JUDGED:
        wrong = [(p, s) for p in range(PROBLEMS) for s in first if s % 2]
        assert places(rows, policy=policy, source="policy") == wrong
    assert len(places(rows, policy="base", source="perturbed")) == 2 * PROBLEMS  # once, whoever is judged
    assert not places(rows, policy="sft", source="perturbed")
    for row in rows:
        expected = {"perturbed"} if row["source"] == "perturbed" else {"perturbed", "oracle"}
        assert row["thresholds"].keys() == expected and "text" not in row
        assert row["detector"] == "reward" and len(row["unit_scores"]) > row["first_wrong_unit"]
    assert len({row["thresholds"]["perturbed"] for row in rows}) == 1


def test_thresholds_are_of_validation_alone(judged, settings):
    """Twice as many known samples as are judged, none of them of the test split."""
    (test, test_wrong), (validation, known) = judging.errors("qwen2", "sft", 1, settings)
    assert len(test) == len(validation) == PROBLEMS
    assert len(test_wrong) == PROBLEMS * judging.FEW / 2
    assert len([row for row in known if row["source"] == "policy"]) == PROBLEMS
    assert len([row for row in known if row["source"] == "perturbed"]) == 2 * PROBLEMS


def test_transfer_is_to_longer_problems_and_to_another_backbone(judged, settings):
    rows = runs.read_rows(judged / runs.TRANSFER)
    steps = "-".join(map(str, settings.data.long_steps))
    few = range(judging.FEW)
    assert places(rows, tested_on=f"{steps} steps") == [(p, s) for p in range(LONG) for s in few]
    assert places(rows, tested_on="samples of llama") == [(p, s) for p in range(PROBLEMS) for s in few]
    assert len({row["tested_on"] for row in rows}) == 2
    assert all(row["correct"] == (row["sample"] % 2 == 0) and row["seed"] == 1 for row in rows)
    assert len({row["reward"] for row in rows}) > 2
