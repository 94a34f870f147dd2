"""Rows in buckets against all of them at once, padded to the longest."""

import random

import pytest
import torch

from lib.airl.discriminator import LogRatioDiscriminator
from lib.models import buckets, likelihood, pretrained
from lib.text import alignment


@pytest.fixture
def batch(tokenizer):
    """Three buckets of rows; a longer prompt has a longer completion, more or less."""
    rng = random.Random(0)
    sizes = [rng.randint(4, 30) for _ in range(70)]
    prompts, completions = (
        [[rng.randrange(3, 500) for _ in range(n + rng.randint(-3, 3))] for n in sizes] for _ in range(2)
    )
    return alignment.pad_completions(tokenizer, prompts, completions)


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_values_and_gradients_are_those_of_the_whole_batch(backbone_dirs, architecture, batch):
    model, _ = pretrained.load_backbone(backbone_dirs[architecture])
    ids_BL, attention_BL, width_t = batch
    weights_BT = torch.randn(len(ids_BL), width_t, generator=torch.Generator().manual_seed(0))
    asked = []

    def values(ids, attention, width):
        asked.append((*ids.shape, int(attention.sum())))
        found = likelihood.of_tokens(model, ids, attention, width, entropies=True)
        return found.log_probs, found.entropy

    def whole(*given):
        found = likelihood.of_tokens(model, *given, entropies=True)
        return found.log_probs, found.entropy

    results, gradients = [], []
    for found in (buckets.in_buckets(values, *batch), whole(*batch)):
        model.zero_grad()
        (found[0] * weights_BT).sum().backward()
        results.append([value.detach() for value in found])
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape == (len(ids_BL), width_t)
        assert torch.allclose(ours, expected, atol=1e-5)
        assert not ours[attention_BL[:, -width_t:] == 0].any()
    for name, expected in gradients[1].items():
        assert (gradients[0][name] - expected).norm() <= 1e-4 * expected.norm(), name
    assert [rows for rows, *_ in asked] == [32, 32, 6]
    assert sum(tokens for *_, tokens in asked) == int(attention_BL.sum())
    assert sum(rows * length for rows, length, _ in asked) < 0.8 * attention_BL.numel()


def test_what_is_said_of_tokens_stays_at_its_token():
    """A row that is full, one with padding on both sides, one of one token, one empty at the left."""
    ids = torch.tensor([[1, 2, 3, 4, 5], [0, 6, 7, 0, 0], [0, 8, 9, 8, 0], [1, 1, 2, 2, 0]])
    attention = (ids > 0).long()
    (found,) = buckets.in_buckets(lambda i, a, width: ((10.0 * i * a)[:, -width:],), ids, attention, 3)
    assert found.tolist() == [[30, 40, 50], [70, 0, 0], [90, 80, 0], [20, 20, 0]]


def test_a_sum_over_the_completion_so_far_counts_nothing_of_the_prompt(backbone, batch):
    """As a log-ratio's density does, which is asked of the last tokens and adds them up."""
    torch.manual_seed(0)
    model = LogRatioDiscriminator.new(backbone, r=2, alpha=4)
    for p in model.trained().values():
        torch.nn.init.normal_(p, std=0.3)
    ids_BL, attention_BL, width_t = batch
    with torch.no_grad():
        (found,) = buckets.in_buckets(lambda *rows: (model.log_density_BT(*rows),), *batch)
        for ids, mask, ours in zip(ids_BL, attention_BL.bool(), found, strict=True):
            n = int(mask[-width_t:].sum())
            logprobs = model.model(ids[mask][None]).logits[0, :-1].log_softmax(-1)
            own = logprobs.gather(1, ids[mask][1:, None])[-n:, 0].cumsum(0)
            assert torch.allclose(ours[:n], own, atol=1e-3) and not ours[n:].any()
