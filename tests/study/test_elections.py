"""Elections by hand and against brute force; policy and reward imitate what was elected."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model

from lib.grading import answers
from lib.models import generation, pretrained
from lib.study.adversarial import elections
from lib.study.adversarial.elections import Learner, elect, log_densities, train_elections
from lib.text import chat, traces


def trace(answer, step="1+1=2 beads"):
    return traces.render([step], answer)


def test_the_likeliest_distinct_traces_of_the_elected_answer_by_hand():
    long_way, short_way = trace("2", "1+1=2 big beads"), trace("2")
    texts = [trace("3"), long_way, short_way, long_way, "no answer", "none", "of", "these"]
    scores = [-1.0, -2.0, -1.5, -2.0, -0.1, -0.1, -0.1, -0.1]
    # exp(-1) < exp(-2) + exp(-1.5) + exp(-2), and the second group elects nothing
    first, second = elect(texts, scores, 4)
    assert first == [2, 1] and second == []
    alone = [-0.1, *scores[1:]]  # exp(-0.1) is more than all others together
    assert next(elect(texts, alone, 4)) == [0]


@given(
    st.lists(
        st.tuples(st.sampled_from("123"), st.sampled_from("ab"), st.floats(-5, 0)), min_size=4, max_size=4
    )
)
def test_what_is_elected_is_of_the_answer_with_the_most_weight(drawn):
    score = {}  # a text has one score, as a judge gives it
    texts = [trace(answer, step) for answer, step, _ in drawn]
    for text, (_, _, value) in zip(texts, drawn, strict=True):
        score.setdefault(text, value)
    (won,) = elect(texts, [score[text] for text in texts], 4)
    given = [traces.parse(text).answer for text in texts]
    weights = {
        a: sum(math.exp(score[t]) for t, of in zip(texts, given, strict=True) if of == a) for a in given
    }
    (elected,) = {given[i] for i in won}
    assert weights[elected] == pytest.approx(max(weights.values()))
    assert {texts[i] for i in won} == {t for t, of in zip(texts, given, strict=True) if of == elected}
    assert len({texts[i] for i in won}) == len(won)
    found = [score[texts[i]] for i in won]
    assert found == sorted(found, reverse=True)


def test_a_log_density_is_the_sum_of_the_models_own_log_probabilities(backbone, tokenizer, experts, settings):
    model, _ = pretrained.load_backbone(backbone)
    rows = [experts[0], experts[1], experts[0]]
    found = log_densities(
        Learner(backbone, tokenizer, model, settings.lora),
        [e.question for e in rows],
        [e.trace for e in rows],
        settings,
    )
    for expert, value in zip(rows, found, strict=True):
        prompt = chat.prompt_ids(tokenizer, chat.messages(expert.question))
        ids = torch.tensor([prompt + chat.completion_ids(tokenizer, expert.trace)])
        with torch.no_grad():
            logprobs_LV = model.eval()(ids).logits[0, :-1].log_softmax(-1)
        expected = logprobs_LV.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum().item()
        assert value == pytest.approx(expected, abs=1e-3)


@pytest.fixture
def section(settings):
    changes = {"steps": 2, "prompts_per_step": 6, "group_size": 3, "imitation_epochs": 12, "lr": 0.01}
    changes |= {"demonstrations": 4, "unlabelled_questions": 8}
    return settings.airl_variant("airl").model_copy(update=changes)


@pytest.fixture
def written(monkeypatch):
    """Policies write, in place of samples, the expert's trace twice of three times; the calls are kept."""
    calls = []

    def answered(model, tokenizer, problems, n, temperature, settings):
        calls.append([p.id for p in problems])
        rows = []
        for i, problem in enumerate(problems):
            for sample in range(n):
                text = problem.trace if sample else trace("77")
                right = answers.is_correct(traces.parse(text).answer, problem.answer)
                rows.append({"problem": i, "sample": sample, "text": text, "correct": right})
        return rows

    monkeypatch.setattr(elections.sampling, "answered", answered)
    return calls


@pytest.fixture
def train(backbone_dirs, experts, settings, section, tmp_path):
    model, _ = pretrained.load_backbone(backbone_dirs["qwen2"])
    get_peft_model(model, pretrained.lora(settings.lora)).save_pretrained(tmp_path / "sft")

    def train(section=section, name="training"):
        return train_elections(
            backbone_dirs["qwen2"], backbone_dirs["llama"], experts[:4], experts[4:], section,
            settings=settings, sft_adapter=tmp_path / "sft", seed=0, output_dir=tmp_path / name,
        )  # fmt: skip

    return train


def weights(trainer):
    return {
        **trainer.model.state_dict(),
        **{f"reward.{k}": v for k, v in trainer.reward_model.state_dict().items()},
    }


def test_policy_and_reward_come_to_find_likely_what_is_elected(
    train, written, backbone_dirs, tokenizer, experts, settings
):
    trainer = train()
    asked = [expert for expert in experts if expert.id in written[-1]]
    questions, texts = [e.question for e in asked], [e.trace for e in asked]
    for family, model in (("qwen2", trainer.model), ("llama", trainer.reward_model.model)):
        before, _ = pretrained.load_backbone(backbone_dirs[family])
        then, now = (
            log_densities(
                Learner(backbone_dirs[family], tokenizer, m, settings.lora), questions, texts, settings
            )
            for m in (before, model)
        )
        assert (now > then).all() and (now - then).mean() > 1.5


def test_learners_on_one_backbone_do_not_share_its_weights(
    written, section, backbone_dirs, experts, settings, tmp_path
):
    """`training.shared_backbone` is for a discriminator that learns beside its policy."""
    model, _ = pretrained.load_backbone(backbone_dirs["qwen2"])
    get_peft_model(model, pretrained.lora(settings.lora)).save_pretrained(tmp_path / "sft")
    shared = settings.training.model_copy(update={"shared_backbone": True})
    trainer = train_elections(
        backbone_dirs["qwen2"], backbone_dirs["qwen2"], experts[:4], experts[4:],
        section.model_copy(update={"discriminator": "same", "steps": 1, "imitation_epochs": 1}),
        settings=settings.model_copy(update={"training": shared}),
        sft_adapter=tmp_path / "sft", seed=0, output_dir=tmp_path / "training",
    )  # fmt: skip
    ours, theirs = (
        {p.data_ptr() for p in model.parameters()} for model in (trainer.model, trainer.reward_model.model)
    )
    assert not ours & theirs


@pytest.mark.parametrize("start", ["backbone", "itself"])
def test_imitation_starts_from_the_backbone_or_from_what_each_is(
    start, written, section, backbone_dirs, tokenizer, experts, settings, tmp_path
):
    """Steps too small to matter leave what it started from, and still reach every trained weight."""
    texts = [e.trace for e in experts[:4]], [e.question for e in experts[:4]]
    model, _ = pretrained.load_backbone(backbone_dirs["qwen2"])
    sft = get_peft_model(model, pretrained.lora(settings.lora))
    torch.manual_seed(0)
    for name, p in sft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    sft.save_pretrained(tmp_path / "sft")
    before = {name: p.detach().clone() for name, p in sft.state_dict().items() if "lora" in name}
    trainer = train_elections(
        backbone_dirs["qwen2"], backbone_dirs["llama"], experts[:4], experts[4:],
        section.model_copy(update={"imitation_start": start, "lr": 1e-7}),
        settings=settings, sft_adapter=tmp_path / "sft", seed=0, output_dir=tmp_path / "training",
    )  # fmt: skip
    backbone, _ = pretrained.load_backbone(backbone_dirs["qwen2"])
    expected = (
        backbone if start == "backbone" else pretrained.load_policy(backbone_dirs["qwen2"], tmp_path / "sft")
    )
    now, then = (
        log_densities(
            Learner(backbone_dirs["qwen2"], tokenizer, m, settings.lora), *reversed(texts), settings
        )
        for m in (trainer.model, expected)
    )
    assert now == pytest.approx(then, abs=0.05)
    if start == "itself":
        after = {name: p for name, p in trainer.model.state_dict().items() if "lora" in name}
        assert all((after[name] != weight).any() for name, weight in before.items())


def test_rounds_ask_further_questions_and_their_logs_follow_each_other(train, written, section, monkeypatch):
    monkeypatch.setattr(elections, "LOGGED_EVERY", 4)
    log = train().state.log_history
    first, of_stranger, second, _ = written
    assert len(first) == 6 and not set(first) & set(second) and of_stranger == first
    rounds = [row for row in log if "pass_rate" in row]
    assert [row["pass_rate"] for row in rounds] == [pytest.approx(2 / 3)] * 2
    assert [row["step"] for row in rounds] == [1, section.imitation_epochs + 1]
    every_fourth = set(range(1, 2 * section.imitation_epochs + 1, 4))
    assert [row["step"] for row in log] == sorted(every_fourth | {section.imitation_epochs + 1})


def test_a_training_that_is_taken_up_again_samples_nothing_twice(train, written, monkeypatch):
    whole = weights(train())
    monkeypatch.setattr(generation, "generate", None)
    again = weights(train())
    assert len(written) == 4
    assert whole.keys() == again.keys() and all(torch.equal(whole[k], again[k]) for k in whole)


@pytest.mark.parametrize(("election", "expected"), [("both", "2"), ("vote", "3")])
def test_likelihoods_weigh_the_votes_or_nothing_does(
    election, expected, backbone, experts, settings, section, monkeypatch
):
    """One trace that both find likely against two that they do not."""
    texts = [trace("2"), trace("3"), trace("3")]
    rows = [{"problem": 0, "sample": i, "text": t, "correct": False} for i, t in enumerate(texts)]
    monkeypatch.setattr(elections.sampling, "answered", lambda *_: rows)
    monkeypatch.setattr(elections, "log_densities", lambda *_: torch.tensor([-1.0, -3.0, -3.0]).numpy())
    learner = Learner(backbone, None, None, settings.lora)
    changed = section.model_copy(update={"election": election})
    found = elections._election(learner, (learner, learner), experts[:1], changed, settings)
    assert [traces.parse(text).answer for _, text in found["elected"]] == [expected]
    assert found["monitors"] == {"pass_rate": 0.0}


def test_an_election_without_an_answer_says_so(train, monkeypatch):
    silent = [{"problem": i, "sample": s, "text": "hm", "correct": False} for i in range(6) for s in range(3)]
    monkeypatch.setattr(elections.sampling, "answered", lambda *_: silent)
    with pytest.raises(ValueError, match="^airl.learner: no trace of 18 gives an answer, so that none is"):
        train()


def test_several_processes_are_refused(train, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="^airl.learner: imitation takes one process"):
        train()
