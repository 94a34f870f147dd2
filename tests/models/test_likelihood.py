"""The fused head against the plain one: a model's own logits and their log-softmax."""

import pytest
import torch
from peft import get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from lib.airl.discriminator import LogRatioDiscriminator
from lib.models import likelihood, pretrained
from lib.text import alignment, chat


@pytest.fixture(params=["qwen2", "llama"])
def policy(backbone_dirs, request):
    """Tied weights, and two adapters that have learned something; `default` is active."""
    torch.manual_seed(0)
    config = LogRatioDiscriminator.config(2, 4)
    model = get_peft_model(pretrained.load_backbone(backbone_dirs[request.param])[0], config)
    model.add_adapter("reward", config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)
    return model.eval()


@pytest.fixture
def rows(tokenizer, experts):
    """Completions of different lengths, two of each prompt."""
    prompts = chat.questions_ids(tokenizer, [e.question for e in experts[:3]])
    completions = [chat.completion_ids(tokenizer, e.trace) for e in experts[:6]]
    return prompts * 2, completions


def plain(model, ids, attention, width):
    """The log-probabilities and entropies of the last `width` tokens, from all logits; 0 on padding."""
    logprobs = model(ids, attention_mask=attention).logits[:, -width - 1 : -1].log_softmax(-1)
    chosen, mask = logprobs.gather(-1, ids[:, -width:, None])[..., 0], attention[:, -width:]
    return chosen * mask, -(logprobs.exp() * logprobs).sum(-1) * mask


def assert_as_plain(model, batch):
    found = likelihood.of_tokens(model, *batch, entropies=True)
    for ours, expected in zip(found, plain(model, *batch), strict=True):
        assert ours.shape == expected.shape
        assert torch.allclose(ours, expected, atol=1e-5)
    return found.log_probs_BT


@torch.no_grad()
def test_values_are_those_of_the_plain_head_under_each_adapter_and_none(policy, tokenizer, rows):
    batch = alignment.pad_completions(tokenizer, *rows)
    ours = assert_as_plain(policy, batch)
    policy.set_adapter("reward")
    other = assert_as_plain(policy, batch)
    with policy.disable_adapter():
        neither = assert_as_plain(policy, batch)
    assert min((a - b).abs().max() for a, b in ((ours, other), (ours, neither), (other, neither))) > 0.01


def test_gradients_are_those_of_the_plain_head_on_adapters_and_tied_weights(policy, tokenizer, rows):
    policy.requires_grad_(True)
    batch = alignment.pad_completions(tokenizer, *rows)
    torch.manual_seed(0)
    weights, gradients = torch.randn(len(rows[0]), batch[2]), []
    for logprobs in (likelihood.of_tokens(policy, *batch).log_probs_BT, plain(policy, *batch)[0]):
        policy.zero_grad()
        (logprobs * weights).sum().backward()
        gradients.append({name: p.grad for name, p in policy.named_parameters() if p.grad is not None})
    fused, expected = gradients
    assert fused.keys() == expected.keys()
    assert any("embed_tokens" in name for name in fused) and any(".default." in name for name in fused)
    for name, gradient in expected.items():
        assert (fused[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


@torch.no_grad()
def test_another_head_on_the_same_model_stays_and_does_not_count(policy, tokenizer, rows):
    """As of a trainer that shares the model, with a temperature of its own."""
    batch = alignment.pad_completions(tokenizer, *rows)
    add_fused_lm_head(pretrained.without_adapter(policy), temperature=2.0)
    theirs = policy(batch[0], attention_mask=batch[1], labels=batch[0], fused_lm_head=True).log_probs
    assert_as_plain(policy, batch)
    again = policy(batch[0], attention_mask=batch[1], labels=batch[0], fused_lm_head=True).log_probs
    assert again.shape[1] == batch[0].shape[1] - 1 and torch.equal(again, theirs)


def test_what_is_kept_for_the_gradients_does_not_grow_with_the_vocabulary():
    """Of a plain head it does, by one number a token of each word."""
    ids, width = torch.arange(1, 161).reshape(4, 40), 30
    attention, kept = torch.ones_like(ids), {}
    for vocabulary in (1_000, 50_000):
        shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
        heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
        model = Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, **shape, **heads))
        for head in (
            lambda *batch: likelihood.of_tokens(*batch).log_probs_BT,
            lambda *batch: plain(*batch)[0],
        ):
            own, numbers = {p.data_ptr() for p in model.parameters()}, []

            def count(tensor, own=own, numbers=numbers):
                numbers.append(0 if tensor.data_ptr() in own else tensor.numel())
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                head(model, ids, attention, width)
            kept.setdefault(vocabulary, []).append(sum(numbers))
    (narrow, narrow_plain), (wide, wide_plain) = kept.values()
    assert wide == narrow > 0
    assert wide_plain - narrow_plain >= 4 * width * 49_000


def test_completions_have_their_values_in_their_order_and_length(policy, tokenizer, rows):
    found = likelihood.logprobs_and_entropies(policy, tokenizer, *rows)
    for (logprobs, entropies), prompt, completion in zip(found, *rows, strict=True):
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            expected = plain(policy, ids, torch.ones_like(ids), len(completion))
        assert logprobs == pytest.approx(expected[0][0].tolist(), abs=1e-4)
        assert entropies == pytest.approx(expected[1][0].tolist(), abs=1e-4)
    totals = likelihood.log_densities(policy, tokenizer, *rows)
    assert totals == pytest.approx([sum(logprobs) for logprobs, _ in found], abs=1e-4)
