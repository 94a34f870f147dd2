"""The trainer's log-probabilities, entropies and gradients against those of TRL's own trainer."""

import random

import pytest
import torch
from trl import GRPOTrainer

from lib.models import grpo, pretrained
from lib.study.training import policies
from lib.text import alignment


@pytest.fixture(params=[1.0, 0.7])
def trainer(backbone, experts, settings, tmp_path, request):
    """At a temperature."""
    model, tokenizer = pretrained.load_backbone(backbone)
    settings = settings.model_copy(
        update={"sampling": settings.sampling.model_copy(update={"temperature": request.param})}
    )
    trainer = grpo.Trainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=policies.question_dataset(experts),
        reward_funcs=policies.correct,
        peft_config=pretrained.lora(settings.lora),
        args=policies.grpo_config(settings.grpo, model=model, settings=settings, seed=0, output_dir=tmp_path),
    )
    torch.manual_seed(0)
    for name, p in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)
    return trainer


def test_a_batch_of_groups_has_the_values_and_gradients_of_trl(trainer, tokenizer):
    """Ten groups of eight; the longer the question the longer its completions, so that buckets differ."""
    rng = random.Random(0)
    prompts, completions = [], []
    for n in range(5, 45, 4):
        prompt = [rng.randrange(3, 500) for _ in range(n)]
        prompts += [prompt] * 8
        completions += [[rng.randrange(3, 500) for _ in range(n - rng.randrange(4))] for _ in range(8)]
    rows = alignment.pad_completions(tokenizer, prompts, completions)
    order = torch.tensor(rng.sample(range(len(prompts)), len(prompts)))  # TRL shuffles a step's completions
    ids_BL, attention_BL, width_t = rows[0][order], rows[1][order], rows[2]
    mask_BT = attention_BL[:, -width_t:]
    weights_BT = torch.randn(mask_BT.shape, generator=torch.Generator().manual_seed(0)) * mask_BT
    found = []
    for owner in (grpo.Trainer, GRPOTrainer):
        trainer.model.zero_grad()
        logprobs, entropies, _ = owner._get_per_token_logps_and_entropies(
            trainer, trainer.model, ids_BL, attention_BL, width_t, compute_entropy=True
        )
        (logprobs * weights_BT).sum().backward()
        gradients = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
        found.append((logprobs.detach() * mask_BT, entropies.detach() * mask_BT, gradients))
    ours, theirs = found
    assert torch.allclose(ours[0], theirs[0], atol=1e-4) and torch.allclose(ours[1], theirs[1], atol=1e-4)
    for name, expected in theirs[2].items():
        assert expected.norm() > 0 and (ours[2][name] - expected).norm() <= 1e-3 * expected.norm(), name
