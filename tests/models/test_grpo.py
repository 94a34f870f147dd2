"""The trainer's log-probabilities, entropies, gradients and steps against those of TRL's own trainer."""

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
    settings = settings.model_copy(
        update={"grpo": settings.grpo.model_copy(update={"temperature": request.param})}
    )
    trainer = made(grpo.Trainer, backbone, experts, settings, tmp_path)
    assert trainer.temperature == request.param
    return trainer


def made(owner, backbone, experts, settings, output_dir) -> GRPOTrainer:
    """A trainer of a fresh adapter that has learnt something."""
    model, tokenizer = pretrained.load_backbone(backbone)
    how = {"model": model, "settings": settings, "seed": 0, "output_dir": output_dir}
    trainer = owner(
        model=model,
        processing_class=tokenizer,
        train_dataset=policies.question_dataset(experts),
        reward_funcs=policies.correct,
        peft_config=pretrained.lora(settings.lora),
        args=policies.grpo_config(settings.grpo, **how),
    )
    learnt(trainer.model)
    return trainer


def learnt(model) -> None:
    """Give an adapter something to say: fresh, it says nothing, and half of it has no gradient."""
    torch.manual_seed(0)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)


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


class Shuffled(grpo.Trainer):
    """Whose micro-batches, and what it reads of them, are TRL's."""

    _prepare_inputs, _compute_loss = GRPOTrainer._prepare_inputs, GRPOTrainer._compute_loss


@pytest.mark.parametrize("advantages", [1, 2], ids=["of completions", "of tokens"])
def test_a_step_in_micro_batches_is_trls_and_reads_no_more_than_it_learns_from(
    backbone, experts, settings, tmp_path, advantages
):
    """Of four groups of four two have an advantage: two at a time, four of eight micro-batches are read.

    Of two steps, since the first has a learning rate of 0.
    """
    settings = settings.model_copy(
        update={
            "training": settings.training.model_copy(update={"micro_batch": 2}),
            "grpo": settings.grpo.model_copy(update={"prompts_per_step": 4, "group_size": 4, "steps": 2}),
        }
    )
    found = []
    for owner in (grpo.Trainer, Shuffled):

        class Watched(owner):
            read = []

            def _generate_and_score_completions(self, inputs):
                output = super()._generate_and_score_completions(inputs)
                of_group_G4 = torch.tensor([[1.0, -1, 2, -2], [0, 0, 0, 0], [3, -2, -3, 1], [0, 0, 0, 0]])
                output["advantages"] = of_group_G4.flatten()
                if advantages == 2:
                    output["advantages"] = output["advantages"][:, None] * output["completion_mask"]
                return output

            def _get_per_token_logps_and_entropies(self, model, ids, attention, width, **kwargs):
                self.read.append([tuple(row) for row in ids[:, :-width].tolist()])
                return super()._get_per_token_logps_and_entropies(model, ids, attention, width, **kwargs)

        torch.manual_seed(0)
        trainer = made(Watched, backbone, experts, settings, tmp_path)
        before = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
        trainer.train()
        after = {n: p.detach() - before[n] for n, p in trainer.model.named_parameters() if p.requires_grad}
        found.append((after, Watched.read, trainer.state.log_history[1]["loss"]))
    (ours, read, loss), (theirs, read_by_trl, loss_of_trl) = found
    assert len(read_by_trl) == 2 * 8 and len(read) == 2 * 4
    assert all(len(set(prompts)) == 1 for prompts in read)
    assert loss == pytest.approx(loss_of_trl, abs=1e-4)
    for name, expected in theirs.items():
        assert expected.norm() > 0 and (ours[name] - expected).norm() <= 0.02 * expected.norm(), name
