"""Attention by grouped queries against transformers' own, where heads share keys."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from lib.models import attention, generation, pretrained
from tests import stand_ins


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def models(experts, tmp_path_factory, request):
    """The stand-in as the study loads it on a CPU, and with the attention that transformers would take."""
    root = tmp_path_factory.mktemp(request.param)
    stand_ins.build(root / "hub", request.param, [text for e in experts for text in (e.question, e.trace)])
    pretrained.write_pretrained(root / "backbone", stand_ins.source(root / "hub"))
    ours, tokenizer = pretrained.load_backbone(root / "backbone")
    theirs = AutoModelForCausalLM.from_pretrained(root / "hub", attn_implementation="sdpa")
    assert ours.config.num_key_value_heads < ours.config.num_attention_heads
    assert ours.config._attn_implementation == attention.GROUPED
    return ours.eval(), theirs.eval(), tokenizer


@torch.no_grad()
def test_a_token_after_padded_prompts_is_as_theirs(models, monkeypatch):
    ours, theirs, tokenizer = models
    asked = ["How many beads?", "How many beads are there now, after all?"]
    read = tokenizer(asked, return_tensors="pt", padding=True, padding_side="left")
    positions = (read.attention_mask.cumsum(1) - 1).clamp(min=0)
    calls, found = [], []
    plain = attention.sdpa_attention_forward
    monkeypatch.setattr(
        attention, "sdpa_attention_forward", lambda *a, **k: calls.append(1) or plain(*a, **k)
    )
    for model in (ours, theirs):
        cache = DynamicCache()
        model(**read, position_ids=positions, past_key_values=cache, use_cache=True)
        calls.clear()
        mask = torch.nn.functional.pad(read.attention_mask, (0, 1), value=1)
        token = torch.tensor([[7], [9]])
        after = positions[:, -1:] + 1
        found.append(model(token, attention_mask=mask, position_ids=after, past_key_values=cache).logits)
        assert not calls  # ours takes its own way; theirs never comes here
    assert read.attention_mask.min() == 0  # there is padding
    assert torch.allclose(*found, atol=1e-5) and found[0].isfinite().all()


@torch.no_grad()
def test_a_prompt_is_read_as_theirs(models):
    ours, theirs, tokenizer = models
    read = tokenizer(["How many beads?", "How many?"], return_tensors="pt", padding=True)
    mask = read.attention_mask.bool()
    assert torch.allclose(ours(**read).logits[mask], theirs(**read).logits[mask], atol=1e-5)


def test_gradients_after_padding_are_as_theirs(models, monkeypatch):
    """Of the weights, where a batch is padded on either side."""
    ours, theirs, tokenizer = models
    asked = ["How many beads?", "How many beads are there now, after all?"]
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *a, **k: pytest.fail("not its own way"))
    for side in ("left", "right"):
        read = tokenizer(asked, return_tensors="pt", padding=True, padding_side=side)
        after_padding = (
            torch.nn.functional.pad(read.attention_mask, (1, 0))[:, :-1] == 0
        )  # or first of its row
        labels = read.input_ids.masked_fill((read.attention_mask == 0) | after_padding, -100)
        for model in (ours, theirs):
            model.zero_grad()
            model(**read, labels=labels).loss.backward()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(one.grad, other.grad, atol=1e-5), side
        assert max(weight.grad.abs().max() for weight in ours.parameters()) > 1e-3


@pytest.mark.parametrize("length", [generation.ROOM - 20, 2 * generation.ROOM + 9])
def test_what_is_written_greedily_is_as_theirs_however_long(models, length):
    """Of prompts of different lengths, some of them twice; keys and values get further room on the way."""
    ours, theirs, tokenizer = models
    asked = ["How many beads?", "How many beads are there now, after all?", "How many beads?", "And now?"]
    prompts = [tokenizer(text).input_ids for text in asked]
    found = generation.generate(
        ours, tokenizer, prompts, temperature=0, max_new_tokens=length, batch_size=len(prompts)
    )
    ends = generation.end_ids(ours, tokenizer)
    for prompt, written in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        alone = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=length,
            eos_token_id=ends,
        )
        assert written == alone[0, len(prompt) :].tolist()
    assert max(map(len, found)) == length
