import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer
from trl import DPOConfig

from lib.models import generation, likelihood, pretrained
from lib.study.training import launch, policies, preferences, spin
from lib.text import chat
from tests import stand_ins

SECTION = {"rounds": 2, "samples": 3, "epochs": 4, "batch_size": 4, "lr": 0.01}


@pytest.fixture(scope="module")
def short(settings):
    sampled = settings.sampling.model_copy(update={"max_new_tokens": 24})
    return settings.model_copy(update={"sampling": sampled})


@pytest.fixture(scope="module")
def sft(backbone, experts, short, tmp_path_factory):
    """The adapter of a policy that has seen the experts."""
    directory = tmp_path_factory.mktemp("sft")
    section = short.sft.model_copy(update={"batch_size": 4, "epochs": 6, "lr": 0.01})
    trainer = policies.train_sft(
        backbone, experts, section, settings=short, seed=0, output_dir=directory / "scratch"
    )
    trainer.model.save_pretrained(directory / "adapter")
    return directory / "adapter"


@pytest.fixture(scope="module")
def pairs():
    """The rows of each round of `trained`, as they come to the trainer."""
    return []


@pytest.fixture(scope="module")
def trained(backbone, sft, experts, short, pairs, tmp_path_factory):
    inner = spin._pairs

    def remembered(*args):
        pairs.append(inner(*args))
        return pairs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spin, "_pairs", remembered)
        return spin.train_spin(
            backbone, sft, experts[:4], short.spin.model_copy(update=SECTION), settings=short, seed=0,
            output_dir=tmp_path_factory.mktemp("spin"),
        )  # fmt: skip


def logprobs(model, tokenizer, prompts, completions) -> torch.Tensor:
    found = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
    return torch.tensor([sum(values) for values, _ in found])


def test_the_margin_of_the_experts_over_the_samples_rises(trained, pairs, backbone, sft, tokenizer):
    start = pretrained.load_policy(backbone, sft)
    sides = [[row["prompt_ids"] for row in pairs[0]]] * 2, [pairs[0]["chosen_ids"], pairs[0]["rejected_ids"]]
    margins = []
    for model in (start, trained.model):
        expert, own = (logprobs(model, tokenizer, *side) for side in zip(*sides, strict=True))
        margins.append((expert - own).mean().item())
    assert margins[1] > margins[0] + 1


def test_each_round_prefers_the_expert_to_other_traces_of_the_policy_it_began_with(
    trained, pairs, backbone, sft, experts, tokenizer, short
):
    assert len(pairs) == SECTION["rounds"]
    for rows in pairs:
        assert 0 < len(rows) <= 4 * SECTION["samples"]
        questions = chat.questions_ids(tokenizer, [e.question for e in experts[:4]])
        for row in rows:
            expert = experts[questions.index(row["prompt_ids"])]
            assert row["chosen_ids"] == chat.completion_ids(tokenizer, expert.trace) != row["rejected_ids"]
            assert len(row["rejected_ids"]) <= 24
    # the samples of the second round are the first round's policy's, not SFT's
    assert pairs[0]["rejected_ids"] != pairs[1]["rejected_ids"]


def test_the_reference_is_the_policy_that_the_round_began_with(trained, pairs):
    """At each round's first step policy and reference are one, and the loss is that of a coin."""
    log = trained.state.log_history
    steps = [row["step"] for row in log]
    assert steps == list(range(1, len(log) + 1))
    per_round = [SECTION["epochs"] * -(-len(rows) // SECTION["batch_size"]) for rows in pairs]
    assert len(log) == sum(per_round)
    for first in (0, per_round[0]):
        assert log[first]["loss"] == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-4)
    assert log[per_round[0] - 1]["loss"] < 0.67


def test_no_reference_is_left_and_the_policy_is_saved_alone(trained, backbone, tokenizer, tmp_path):
    assert list(trained.model.peft_config) == ["default"]
    assert not any(".ref." in name for name, _ in trained.model.named_parameters())
    launch._save(trained, tmp_path / "trained")
    loaded = pretrained.load_policy(backbone, tmp_path / "trained/adapter")
    assert isinstance(loaded, PeftModel)
    kept = {name: p for name, p in loaded.named_parameters() if ".lora_" in name}
    ours = {name: p for name, p in trained.model.named_parameters() if ".lora_" in name}
    assert kept.keys() == ours.keys()
    assert all(torch.equal(p, ours[name].bfloat16().float()) for name, p in kept.items())


def test_a_sample_that_is_the_experts_is_no_pair(backbone, experts, tokenizer, short, monkeypatch):
    same, other = (chat.completion_ids(tokenizer, e.trace) for e in experts[:2])
    monkeypatch.setattr(generation, "generate", lambda *_, **__: [same, other, other[:-1], same])
    rows = spin._pairs(None, tokenizer, experts[:1], 4, short)
    assert rows["rejected_ids"] == [other, other[:-1]] and rows["chosen_ids"] == [same] * 2
    monkeypatch.setattr(generation, "generate", lambda *_, **__: [same])
    with pytest.raises(ValueError, match="^spin: each sample is its expert, word for word"):
        spin._pairs(None, tokenizer, experts[:1], 1, short)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_tokens_are_those_of_sampling_whatever_the_template_writes_after_the_end(
    family, experts, short, tmp_path
):
    """Prompt, trace and end token; the stand-ins' templates go on with a line break, or trim."""
    stand_ins.build(tmp_path / "hub", family, [text for e in experts for text in (e.question, e.trace)])
    pretrained.write_pretrained(tmp_path / "backbone", stand_ins.source(tmp_path / "hub"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "backbone")
    model, _ = pretrained.load_backbone(tmp_path / "backbone")
    typed = experts[0].model_copy(update={"question": f"What does {tokenizer.eos_token} mean?"})
    rows = spin._pairs(model, tokenizer, [typed, experts[1]], 1, short)
    arguments = DPOConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, max_length=None)
    trainer = preferences._OfTokens(
        model=model, processing_class=tokenizer, train_dataset=rows, args=arguments
    )
    (batch,) = trainer.get_train_dataloader()
    left = {
        tuple(chat.prompt_ids(tokenizer, chat.messages(e.question)) + chat.completion_ids(tokenizer, e.trace))
        for e in (typed, experts[1])
    }
    for ids, mask in list(zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True))[:2]:
        left.remove(tuple(ids[mask].tolist()))
    assert not left
