"""Rows in buckets, each prompt read once, against all of them at once, padded to the longest."""

import random

import pytest
import torch
from peft import get_peft_model

from lib.airl.discriminator import HeadDiscriminator, LogRatioDiscriminator
from lib.models import buckets, likelihood, pretrained
from lib.text import alignment


def drawn(rng: random.Random, n: int) -> list[int]:
    return [rng.randrange(3, 500) for _ in range(n)]


@pytest.fixture(params=["shared", "own"])
def batch(tokenizer, request):
    """Three buckets of rows; a longer prompt has a longer completion, more or less. Prompts are ten rows' or
    one's, so that there are buckets without the longest."""
    rng = random.Random(0)
    if request.param == "shared":
        lengths = [4, 7, 11, 15, 20, 25, 30]
        sizes = [length for length in lengths for _ in range(10)]
        of_length = {length: drawn(rng, length) for length in lengths}
        prompts = [of_length[length] for length in sizes]
    else:
        sizes = [rng.randint(4, 30) for _ in range(70)]
        prompts = [drawn(rng, n + rng.randint(-3, 3)) for n in sizes]
    return alignment.pad_completions(tokenizer, prompts, [drawn(rng, n + rng.randint(-3, 3)) for n in sizes])


@pytest.fixture
def adapted(backbone_dirs, request):
    """A policy with an adapter that has learned something."""
    torch.manual_seed(0)
    policy = get_peft_model(
        pretrained.load_backbone(backbone_dirs[request.param])[0], LogRatioDiscriminator.config(2, 4)
    )
    for name, p in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)
    return policy.eval()


def plain(model, ids, attention, width):
    logprobs = model(ids, attention_mask=attention).logits[:, -width - 1 : -1].log_softmax(-1)
    return logprobs.gather(-1, ids[:, -width:, None])[..., 0] * attention[:, -width:]


@pytest.mark.parametrize("adapted", ["qwen2", "llama"], indirect=True)
@torch.no_grad()
def test_values_alone_are_the_same_with_the_adapter_and_without_which_stays_as_it_was(adapted, batch):
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    found, expected = likelihood.of_tokens(adapted, *batch).log_probs_BT, plain(adapted, *batch)
    with adapted.disable_adapter():
        found_without, without = likelihood.of_tokens(adapted, *batch).log_probs_BT, plain(adapted, *batch)
    assert torch.allclose(found, expected, atol=1e-4) and torch.allclose(found_without, without, atol=1e-4)
    assert not torch.allclose(expected, without, atol=0.1)
    assert all(torch.equal(weight, before[name]) for name, weight in adapted.state_dict().items())


@pytest.mark.parametrize("adapted", ["qwen2", "llama"], indirect=True)
def test_values_and_gradients_are_those_of_the_whole_batch(adapted, batch):
    ids_BL, attention_BL, width_t = batch
    weights_BT = torch.randn(len(ids_BL), width_t, generator=torch.Generator().manual_seed(0))
    results, gradients = [], []
    for found in (likelihood.of_tokens(adapted, *batch).log_probs_BT, plain(adapted, *batch)):
        adapted.zero_grad()
        (found * weights_BT).sum().backward()
        results.append(found.detach())
        gradients.append({name: p.grad.clone() for name, p in adapted.named_parameters() if p.requires_grad})
    assert results[0].shape == results[1].shape == (len(ids_BL), width_t)
    assert torch.allclose(*results, atol=1e-5)
    for name, expected in gradients[1].items():
        assert expected.norm() > 0 and (gradients[0][name] - expected).norm() <= 1e-4 * expected.norm(), name


def test_a_prompt_is_read_once_and_little_padding_is(backbone, batch):
    """Counted by the tokens that reach the embeddings."""
    model, _ = pretrained.load_backbone(backbone)
    ids_BL, attention_BL, width_t = batch
    read = []
    model.get_input_embeddings().register_forward_hook(lambda _module, args, _out: read.append(args[0].shape))
    with torch.no_grad():
        likelihood.of_tokens(model, *batch)
    before_BP = ids_BL[:, : -width_t - 1]
    distinct = before_BP.unique(dim=0)
    tokens = int(attention_BL[:, -width_t:].sum())
    if len(distinct) < len(ids_BL):
        assert read[0] == distinct.shape and sum(rows for rows, _ in read[1:]) == len(ids_BL)
        assert sum(rows * length for rows, length in read[1:]) < 1.5 * (tokens + len(ids_BL))
    else:
        assert [rows for rows, _ in read] == [32, 32, 6]
        assert sum(rows * length for rows, length in read) < 0.8 * attention_BL.numel()


@pytest.mark.parametrize("adapted", ["qwen2"], indirect=True)
def test_values_stand_where_activations_are_not_kept(adapted, batch):
    """A layer that is run again for its gradients drops the keys of what came before."""
    with torch.no_grad():
        expected = plain(adapted, *batch)
    adapted.train().enable_input_require_grads()
    adapted.get_base_model().gradient_checkpointing_enable()
    found = likelihood.of_tokens(adapted, *batch).log_probs_BT
    assert torch.allclose(found, expected, atol=1e-5)
    found.sum().backward()


def test_what_is_said_of_tokens_stays_at_its_token(backbone):
    """A row that is full, one with padding on both sides, one of one token, one empty at the left."""
    model, _ = pretrained.load_backbone(backbone)
    ids = torch.tensor([[1, 2, 3, 4, 5], [0, 6, 7, 0, 0], [0, 8, 9, 8, 0], [1, 1, 2, 2, 0]])
    attention = (ids > 0).long()

    def read(i, a, width, cache):
        return ((10.0 * i * a[:, -i.shape[1] :])[:, -width:],)

    (found,) = buckets.in_buckets(read, model, ids, attention, 3)
    assert found.tolist() == [[30, 40, 50], [70, 0, 0], [90, 80, 0], [20, 20, 0]]


@pytest.mark.parametrize("kind", [LogRatioDiscriminator, HeadDiscriminator])
def test_a_discriminator_says_of_a_row_in_a_batch_what_it_says_of_it_alone(backbone, batch, kind):
    """A log-ratio's density is a sum over the completion so far, in which nothing of the prompt counts."""
    torch.manual_seed(0)
    model = kind.new(backbone, r=2, alpha=4).eval()
    for p in model.trained().values():
        torch.nn.init.normal_(p, std=0.3)
    ids_BL, attention_BL, width_t = batch
    with torch.no_grad():
        found = model.logits_BT(*batch)
        for ids, mask, ours in zip(ids_BL, attention_BL.bool(), found, strict=True):
            n = int(mask[-width_t:].sum())
            own = model.logits_BT(ids[mask][None], torch.ones_like(ids[mask][None]), n)[0]
            assert torch.allclose(ours[:n], own, atol=1e-3)


def test_equal_prompts_stand_together():
    prompts = [[5, 6], [4], [5, 7], [5, 6], [4]]
    completions = [[1, 1], [1], [1], [1], [1, 1]]
    assert buckets.order(prompts, completions) == [1, 4, 3, 0, 2]


def test_equal_ones_are_read_once_and_each_gets_its_own_answer():
    asked_for = []

    def read(rows: list[str]) -> list[int]:
        asked_for.append(rows)
        return [len(row) for row in rows]

    assert buckets.once(read, ["aa", "b", "aa", "ccc", "b"]) == [2, 1, 2, 3, 1]
    assert asked_for == [["aa", "b", "ccc"]]  # each once, in the order in which they first come
    assert buckets.once(read, []) == []
