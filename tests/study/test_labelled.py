"""Rewards from true labels: what is labelled, by hand, and that they learn it."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from lib.reward import recorded
from lib.study.adversarial import labelled
from lib.study.training import sampling

LABELS = ("outcome_labels", "step_labels")
UNITS_BT = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, -1, -1], [0, 0, 0, 1, 1]])
ROWS = [
    {"correct": True, "first_wrong_unit": None},
    {"correct": False, "first_wrong_unit": 1},
    {"correct": True, "first_wrong_unit": 0},  # a right answer after a wrong step
]


def test_labels_by_hand():
    outcome, step = (labelled.labels_BT(name, ROWS, UNITS_BT) for name in LABELS)
    assert outcome.tolist() == [[1.0] * 5, [0.0] * 5, [1.0] * 5]
    assert step[0].tolist() == [1.0] * 5 and step[2].tolist() == [0.0] * 5
    assert step[1, :3].tolist() == [1.0, 0.0, 0.0]  # what follows is padding
    with pytest.raises(ValueError, match="^process: no labels of that name; there are outcome_labels and"):
        labelled.labels_BT("process", ROWS, UNITS_BT)


@pytest.fixture
def written(experts, monkeypatch):
    """The expert's trace and one that goes wrong at its end, of each question by each policy."""
    asked = []

    def answered(policy, tokenizer, problems, n, temperature, settings):
        rows = []
        for i, problem in enumerate(problems):
            wrong = problem.trace.replace(f">{problem.answer}<", ">7777<")
            for s, text in enumerate([problem.trace, wrong][:n]):
                rows.append({"problem": i, "sample": s, "text": text, "correct": text == problem.trace})
        asked.append((policy, n))
        return rows

    monkeypatch.setattr(sampling, "answered", answered)
    return asked


@pytest.fixture
def train(backbone, tokenizer, experts, settings, written):
    section = settings.labels.model_copy(update={"epochs": 30, "lr": 0.02, "samples": 2, "r": 4})
    assert math.ceil(len(experts[:6]) / section.questions_per_batch) == 2

    def run(reward, policies=("base", "sft")):
        return labelled.train_labelled(
            reward, backbone, policies, experts[:6], section, tokenizer=tokenizer, settings=settings, seed=0
        )

    return run


def scored(model, tokenizer, rows, experts, settings):
    airl = labelled.judged_as(settings)
    return recorded.score_samples(model, tokenizer, experts, rows, airl, settings)


@pytest.mark.parametrize("reward", LABELS)
def test_a_reward_learns_its_labels_of_every_policys_samples(
    reward, train, written, tokenizer, experts, settings
):
    model, log = train(reward)
    assert written == [("base", 2), ("sft", 2)]
    assert [row["step"] for row in log] == list(range(1, 61))  # two batches, thirty times
    assert (
        log[-1]["loss"] < 0.75 * log[0]["loss"]
    )  # an answer is not told by the steps that both traces share
    rows = sampling.answered("base", tokenizer, experts[:6], 2, 1.0, settings)
    found = scored(model, tokenizer, rows, experts, settings)
    right, wrong = found[::2], found[1::2]
    assert all(a["reward"] > b["reward"] for a, b in zip(right, wrong, strict=True))
    # the wrong trace's steps are the right one's: as often right as wrong by the answer, always by the step
    before_answer = [row["unit_reward"][-2] for row in wrong]
    assert (min(before_answer) > 1.5) == (reward == "step_labels")


def test_a_seed_gives_the_same_reward_again(train):
    weights = [
        {name: p.detach().clone() for name, p in train("step_labels", ["base"])[0].trained().items()}
        for _ in range(2)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_it_reads_what_a_policy_really_writes(backbone, tokenizer, experts, settings):
    policy = AutoModelForCausalLM.from_pretrained(backbone)
    few = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"max_new_tokens": 5})})
    _, log = labelled.train_labelled(
        "outcome_labels", backbone, [policy], experts[:4], settings.labels,
        tokenizer=tokenizer, settings=few, seed=0,
    )  # fmt: skip
    assert [row["step"] for row in log] == [1] and math.isfinite(log[0]["loss"])
