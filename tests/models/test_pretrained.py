"""Backbones of the hub: small stand-ins with the settings that their authors ship."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lib.models import generation, grpo, pretrained
from lib.study.training import policies
from lib.text import chat
from tests import stand_ins

# the penalty so strong that it shows in the nearly even distribution of random weights
THEIRS = {
    "do_sample": True,
    "repetition_penalty": 1000.0,
    "top_p": 0.8,
    "top_k": 20,
    "temperature": 0.7,
    "min_p": 0.1,
}


@pytest.fixture(scope="module")
def published(experts, tmp_path_factory):
    """A model as its authors publish it, with two end tokens and their way to sample."""
    directory = tmp_path_factory.mktemp("hub")
    stand_ins.build(directory, "qwen2", [text for e in experts for text in (e.question, e.trace)])
    ends = AutoTokenizer.from_pretrained(directory).convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    GenerationConfig(**THEIRS, eos_token_id=ends, pad_token_id=ends[1]).save_pretrained(directory)
    return directory


@pytest.fixture
def directory(published, tmp_path):
    pretrained.write_pretrained(tmp_path / "backbone", stand_ins.source(published))
    return tmp_path / "backbone"


def test_a_model_that_cannot_be_trained_on_traces_is_refused_by_name(published, tmp_path):
    copy = tmp_path / "copy"
    AutoModelForCausalLM.from_pretrained(published).save_pretrained(copy)
    tokenizer = AutoTokenizer.from_pretrained(published)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(ValueError, match=f"^pretrained: {copy}: it has no chat template; name an instruct"):
        pretrained.write_pretrained(tmp_path / "backbone", stand_ins.source(copy))
    with pytest.raises(ValueError, match="nowhere cannot be loaded; name a directory of weights"):
        pretrained.write_pretrained(tmp_path / "backbone", stand_ins.source(tmp_path / "nowhere"))
    assert not (tmp_path / "backbone").exists()


def test_sampling_is_neutral_whatever_the_authors_ship(directory, published, monkeypatch):
    """At temperature 1 a token is drawn by the model's own logits, its penalties and cuts gone."""
    drawn_by, choose = [], generation.choose
    monkeypatch.setattr(
        generation, "choose", lambda logits, t: drawn_by.append((logits, t)) or choose(logits, t)
    )
    model, tokenizer = pretrained.load_backbone(directory)
    prompt = chat.prompt_ids(tokenizer, chat.messages("How many beads?"))
    for policy in (model, pretrained.load_policy(directory)):
        generation.generate(policy, tokenizer, [prompt], temperature=1.0, max_new_tokens=1, batch_size=1)
        with torch.no_grad():
            own = policy(torch.tensor([prompt])).logits[:, -1]
        logits, temperature = drawn_by.pop()
        assert torch.allclose(logits, own, atol=1e-6) and temperature == 1.0
    assert not drawn_by


def test_training_samples_as_neutrally_and_ends_where_sampling_does(directory, experts, settings, tmp_path):
    model, tokenizer = pretrained.load_backbone(directory)
    typed = experts[0].model_copy(update={"question": "What does <|im_end|> mean?"})
    section = settings.grpo.model_copy(update={"temperature": 0.6})
    trainer = grpo.Trainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=policies.question_dataset([typed, *experts], "Think."),
        reward_funcs=policies.correct,
        args=policies.grpo_config(section, model=model, settings=settings, seed=0, output_dir=tmp_path),
    )
    how = (trainer.temperature, trainer.top_p, trainer.repetition_penalty)  # vLLM's, where it samples
    assert how == (0.6, 1.0, 1.0) and not trainer.top_k and not trainer.min_p
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert trainer.eos_token_ids == generation.end_ids(model, tokenizer) == ends
    sft = policies.sft_dataset(tokenizer, [typed, *experts], "Think.")
    prompts, *_ = trainer._tokenize_prompts(list(trainer.train_dataset["prompt"]))
    for row, prompt, expert in zip(sft, prompts, [typed, *experts], strict=True):
        assert prompt == chat.prompt_ids(tokenizer, chat.messages(expert.question, "Think."))
        completion = chat.completion_ids(tokenizer, expert.trace)
        assert row["input_ids"] == prompt + completion and completion[-1] == ends[0]
        assert row["labels"] == [-100] * len(prompt) + completion
    assert prompts[0].count(ends[0]) == 2  # the template's own: of the system prompt and of the question


def test_the_heads_product_is_one_whatever_part_of_the_rows_it_is_asked_for(directory):
    """What is projected lies in one piece, and is what it would have been."""
    model, tokenizer = pretrained.load_backbone(directory)
    seen = []
    model.lm_head.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
    ids = tokenizer(["How many beads are there?"] * 3, return_tensors="pt").input_ids
    with torch.no_grad():
        whole, last = model(ids).logits, model(ids, logits_to_keep=2).logits
    assert seen == [True, True] and torch.allclose(whole[:, -2:], last, atol=1e-6)
    plain = AutoModelForCausalLM.from_pretrained(**pretrained.weights(directory))
    plain.lm_head.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
    with torch.no_grad():
        assert torch.equal(plain(ids, logits_to_keep=2).logits, last)
    assert seen[-1] is False  # as it would be without: this test tells
