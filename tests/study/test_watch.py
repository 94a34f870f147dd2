"""A watched training is the same training, and what was seen of it is what policy and reward were."""

import pytest
import torch

from lib import runs
from lib.grading import answers
from lib.reward import scoring
from lib.study.adversarial import watch
from lib.study.adversarial.training import train_airl
from lib.text import traces


@pytest.mark.parametrize(
    ("last", "times", "expected"),
    [(300, 4, [0, 33, 133, 300]), (9, 3, [0, 2, 9]), (2, 5, [0, 1, 2]), (1, 2, [0, 1])],
)
def test_steps_by_hand(last, times, expected):
    assert watch.steps(last, times) == expected


@pytest.fixture(params=[False, True], ids=["two models", "shared"])
def trained(backbone, experts, settings, tmp_path, request):
    """An AIRL training of four steps with a reward that ends at rest, watched and unwatched."""
    overlay = {
        "training": settings.training.model_copy(update={"shared_backbone": request.param}),
        "sampling": settings.sampling.model_copy(update={"max_new_tokens": 8}),
    }
    section = settings.airl_variant("airl").model_copy(
        update={
            "start": "base",
            "discriminator": "same",
            "discriminator_steps": 3,
            "credit": "stepwise",
            "demonstrations": 12,
            "unlabelled_questions": 0,
            "steps": 4,
            "lr": 0.01,
            "likelihood_epochs": 0,
        }
    )

    def train(name, watched):
        return train_airl(
            backbone, backbone, experts, [], section, settings=settings.model_copy(update=overlay), seed=0,
            sft_adapter=None, output_dir=tmp_path / name, watched=watched,
        )  # fmt: skip

    return train("watched", experts[:2]), train("unwatched", []), section, tmp_path


def test_watching_changes_nothing_and_tells_what_there_was(trained, tokenizer, experts, settings):
    ours, theirs, section, directory = trained
    for one, other in ((ours.model, theirs.model), (ours.reward_model, theirs.reward_model)):
        others = dict(other.named_parameters())
        assert all(torch.equal(p, others[name]) for name, p in one.named_parameters())
    assert not (directory / "unwatched" / runs.WATCHED).exists()

    rows = runs.read_rows(directory / "watched" / runs.WATCHED)
    assert [row["step"] for row in rows] == [step for step in (0, 1, 4) for _ in range(2 * 4)]
    assert all(len(row["ends"]) == len(row["logprobs"]) == row["n_tokens"] for row in rows)
    last = [row for row in rows if row["step"] == 4]
    questions, texts = [experts[row["problem"]].question for row in last], [row["text"] for row in last]
    reading = scoring.Reading(section.reward, section.boundaries, section.interval, section.score_gamma)
    with ours.reward_model.in_use():
        scored = scoring.score_texts(ours.reward_model, tokenizer, questions, texts, reading)
    for row, found in zip(last, scored, strict=True):
        assert row["correct"] == answers.is_correct(
            traces.parse(row["text"]).answer, experts[row["problem"]].answer
        )
        assert row["reward"] == pytest.approx(found["reward"], abs=2e-3)
    first = [row["reward"] for row in rows if row["step"] == 0]
    assert first != [row["reward"] for row in last]
