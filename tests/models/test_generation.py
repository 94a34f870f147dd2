"""The sampler against the model's own probabilities of unpadded prompts, and against transformers."""

import math

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from lib.airl.discriminator import LogRatioDiscriminator
from lib.models import generation, scratch
from lib.text import chat

GREEDY = {"temperature": 0.0, "max_new_tokens": 12}


@pytest.fixture(params=list(scratch.CONFIGS))
def model(backbone_dirs, request):
    """A model whose distributions are far from even, and to which places matter."""
    model = AutoModelForCausalLM.from_pretrained(backbone_dirs[request.param]).eval()
    torch.manual_seed(3)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.5 if "embed" in name else 0.25)
    model.generation_config.eos_token_id = None
    return model


@pytest.fixture
def adapted(model):
    """The model with an adapter that has learned something."""
    adapted = get_peft_model(model, LogRatioDiscriminator.config(2, 4))
    for name, p in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)
    return adapted.eval()


@pytest.fixture(scope="module")
def prompts(tokenizer, experts):
    return chat.questions_ids(tokenizer, [e.question for e in experts])


@torch.no_grad()
def logits_after(model, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids])).logits[0, -1]


def greedily(model, prompt: list[int], ends: list[int], n: int) -> list[int]:
    """The likeliest continuation, each token after a whole forward of what is before it, unpadded."""
    written = []
    while len(written) < n and (not written or written[-1] not in ends):
        written.append(logits_after(model, prompt + written).argmax().item())
    return written


def some_ends(model, prompts) -> list[int]:
    """Tokens at which some greedy completions would end early and others late or not at all."""
    whole = [greedily(model, prompt, [], 12) for prompt in prompts]
    return [whole[0][1], whole[2][5], whole[4][8]]


def test_each_row_of_a_large_batch_draws_by_its_own_logits_and_its_own_number():
    rows = 2 * generation.AT_ONCE + 3
    logits = torch.full((rows, rows), -100.0).fill_diagonal_(0.0)
    assert generation.choose(logits, 1.0).tolist() == list(range(rows))
    torch.manual_seed(5)
    drawn = generation.choose(torch.tensor([[0.0, math.log(3)]] * rows), 1.0)
    torch.manual_seed(5)
    assert drawn.tolist() == (torch.rand(rows) >= 0.25).long().tolist()


def test_each_token_is_drawn_from_the_models_own_distribution(model, tokenizer, prompts, monkeypatch):
    """Prompts of different lengths in one batch: what it is drawn by is what is there without padding."""
    assert len({len(prompt) for prompt in prompts}) > 3
    drawn_by, choose = [], generation.choose
    monkeypatch.setattr(generation, "choose", lambda logits, t: drawn_by.append(logits) or choose(logits, t))
    torch.manual_seed(0)
    found = generation.generate(
        model, tokenizer, prompts, temperature=1.0, max_new_tokens=5, batch_size=len(prompts)
    )
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
    for t, logits in enumerate(drawn_by):
        if len(logits) == len(prompts):  # none has been dropped
            for row, i in zip(logits, order, strict=True):
                if len(found[i]) > t:
                    expected = logits_after(model, prompts[i] + found[i][:t])
                    assert torch.allclose(row, expected, atol=1e-3), (t, i)
    assert len(drawn_by[3]) == len(prompts)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_completions_are_as_frequent_as_they_are_likely(model, tokenizer, prompts, temperature):
    """Of two tokens, by unpadded prompts; the batch holds prompts of three lengths."""
    n, asked = 1500, sorted(prompts, key=len)[::5]
    assert len({len(prompt) for prompt in asked}) == len(asked) == 3
    torch.manual_seed(0)
    found = generation.generate(
        model, tokenizer, asked * n, temperature=temperature, max_new_tokens=2, batch_size=len(asked) * n
    )
    compared = 0
    for i, prompt in enumerate(asked):
        drawn = [tuple(ids) for ids in found[i :: len(asked)]]
        first = (logits_after(model, prompt) / temperature).softmax(-1)
        for a in first.topk(4).indices.tolist():
            if a == tokenizer.eos_token_id:
                continue
            second = (logits_after(model, [*prompt, a]) / temperature).softmax(-1)
            for b in second.topk(4).indices.tolist():
                p = (first[a] * second[b]).item()
                error = math.sqrt(n * p * (1 - p))
                assert abs(drawn.count((a, b)) - n * p) < 5 * error + 1, (i, a, b)
                compared += n * p > 20
    assert compared >= 6


def test_a_seed_gives_its_samples_again(model, tokenizer, prompts):
    def samples(seed):
        torch.manual_seed(seed)
        return generation.generate(model, tokenizer, prompts, temperature=1.0, max_new_tokens=6, batch_size=5)

    assert samples(0) == samples(0) != samples(1)


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_greedy_completions_are_transformers_own_whoever_else_ends(model, tokenizer, prompts, batch_size):
    ends = some_ends(model, prompts)
    model.generation_config.eos_token_id = ends
    found = generation.generate(model, tokenizer, prompts, **GREEDY, batch_size=batch_size)
    assert len({len(ids) for ids in found}) > 2 and any(ids[-1] not in ends for ids in found)
    for prompt, ids in zip(prompts, found, strict=True):
        with torch.no_grad():
            whole = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
                max_new_tokens=12, pad_token_id=tokenizer.pad_token_id,
                eos_token_id=[tokenizer.eos_token_id, *ends],
            )  # fmt: skip
        assert ids == whole[0, len(prompt) :].tolist()


def test_completions_come_in_the_order_of_the_prompts_from_batches_of_similar_length(
    model, tokenizer, prompts, monkeypatch
):
    batches, inner = [], generation._sample
    monkeypatch.setattr(
        generation, "_sample", lambda m, t, asked, *rest: batches.append(asked) or inner(m, t, asked, *rest)
    )
    model.train()
    found = generation.generate(model, tokenizer, prompts, **GREEDY, batch_size=5)
    assert model.training
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert [len(ids) for batch in batches for ids in batch] == sorted(map(len, prompts))
    model.eval()
    ends = [tokenizer.eos_token_id]
    assert found == [greedily(model, prompt, ends, 12) for prompt in prompts]


@pytest.mark.parametrize("own, length", [(None, 4), (1, 4), (7, 3), ([1, 8], 2), ([9, 7, 8], 1)])
def test_a_completion_ends_at_any_of_the_end_tokens(model, tokenizer, monkeypatch, own, length):
    written = iter([9, 8, 7, 1, 5, 5])
    monkeypatch.setattr(generation, "choose", lambda logits_BV, _: torch.tensor([next(written)]))
    model.generation_config.eos_token_id = own
    assert tokenizer.eos_token_id == 1
    found = generation.generate(
        model, tokenizer, [[7, 8, 9]], temperature=1.0, max_new_tokens=6, batch_size=1
    )
    assert found == [[9, 8, 7, 1][:length]]


def test_an_adapter_samples_as_itself_and_is_left_as_it_was(adapted, tokenizer, prompts):
    ends = some_ends(adapted, prompts)
    adapted.generation_config.eos_token_id = ends
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    expected = [greedily(adapted, prompt, [*ends, tokenizer.eos_token_id], 12) for prompt in prompts]
    with adapted.disable_adapter():
        plain = [greedily(adapted, prompt, [*ends, tokenizer.eos_token_id], 12) for prompt in prompts]
    assert plain != expected
    assert generation.generate(adapted, tokenizer, prompts, **GREEDY, batch_size=5) == expected
    now = dict(adapted.named_parameters())
    assert now.keys() == before.keys() and all(torch.equal(now[name], p) for name, p in before.items())
    assert not any(getattr(module, "merged", False) for module in adapted.modules())


def test_an_adapter_is_left_as_it_was_by_sampling_that_fails(adapted, tokenizer, prompts, monkeypatch):
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    monkeypatch.setattr(generation, "choose", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generation.generate(adapted, tokenizer, prompts, **GREEDY, batch_size=5)
    assert all(torch.equal(p, before[name]) for name, p in adapted.named_parameters())
    assert not any(getattr(module, "merged", False) for module in adapted.modules())
