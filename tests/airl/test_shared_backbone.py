import pytest
import torch
from peft import get_peft_model

from lib.airl import discriminator
from lib.airl.shared_backbone import SHARED
from lib.models import pretrained
from lib.study.adversarial.training import train_airl
from lib.text import alignment, chat


@pytest.fixture
def policy(backbone):
    """A policy whose adapter has learned something."""
    torch.manual_seed(0)
    model = get_peft_model(
        pretrained.load_backbone(backbone)[0], discriminator.LogRatioDiscriminator.config(2, 4)
    )
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    return model


@pytest.fixture
def batch(tokenizer, experts):
    prompts = [tokenizer(chat.prompt_text(tokenizer, e.question)).input_ids for e in experts[:4]]
    completions = [tokenizer(e.trace).input_ids for e in experts[:4]]
    return alignment.pad_completions(tokenizer, prompts, completions)


def learned(shared):
    """The discriminator after its own parameters have moved."""
    for i, p in enumerate(shared.trained().values()):
        torch.manual_seed(i)
        p.data += 0.1 * torch.randn_like(p)
    return shared


def logits(model, batch):
    with torch.no_grad(), model.in_use():
        return model.logits_BT(*batch)


@pytest.mark.parametrize("kind", SHARED)
def test_what_is_saved_loads_as_a_discriminator_of_its_own(policy, backbone, batch, tmp_path, kind):
    shared = learned(SHARED[kind](policy, r=2, alpha=4))
    shared.save(tmp_path)
    alone = discriminator.PARAMETERISATIONS[kind].load(backbone, tmp_path).eval()
    ours = logits(shared, batch)
    mask = batch[1][:, -batch[2] :].bool()
    assert ours[mask].std() > 0.01
    assert torch.allclose(ours[mask], logits(alone, batch)[mask], atol=1e-5)


@pytest.mark.parametrize("kind", SHARED)
def test_each_adapter_learns_alone_and_there_is_one_copy_of_the_weights(policy, batch, kind):
    before = {name for name, p in policy.named_parameters() if p.requires_grad}
    weights = sum(p.numel() for p in policy.parameters())
    shared = SHARED[kind](policy, r=2, alpha=4)
    own = sum(p.numel() for p in shared.trained().values())
    assert sum(p.numel() for p in shared.parameters()) == weights + own and own < weights / 5
    assert {name for name, p in policy.named_parameters() if p.requires_grad} == before
    with shared.in_use():
        shared.logits_BT(*batch).mean().backward()
    names = {name for name, p in shared.named_parameters() if p.grad is not None}
    assert names and names <= set(shared.trained())
    assert {name for name, p in policy.named_parameters() if p.requires_grad} == before


@pytest.mark.parametrize("kind", SHARED)
def test_the_policy_writes_as_if_there_were_no_discriminator(policy, batch, kind):
    with torch.no_grad():
        alone = policy(batch[0], attention_mask=batch[1]).logits
        shared = learned(SHARED[kind](policy, r=2, alpha=4))
        assert not shared.train().training or policy.training
        logits(shared, batch)
        assert torch.equal(policy(batch[0], attention_mask=batch[1]).logits, alone)


def test_training_on_one_copy_is_training_on_two(backbone, experts, settings, tmp_path):
    """From the same fitted adapter: the same losses, the same policy and the same reward."""
    ends = {}
    for shared in (False, True):
        tree = settings.model_copy(
            update={
                "training": settings.training.model_copy(update={"shared_backbone": shared}),
                "sampling": settings.sampling.model_copy(update={"max_new_tokens": 6}),
                "sft": settings.sft.model_copy(update={"batch_size": 4, "lr": 0.01}),
            }
        )
        section = settings.airl.model_copy(
            update={
                "demonstrations": 8, "start": "base", "parameterisation": "log_ratio", "lr": 0.01,
                "boundaries": "step", "credit": "stepwise", "reward": "log_density", "likelihood_epochs": 2,
                "expert_in_group": False, "discriminator_r": settings.lora.r, "steps": 4,
                "warmup_steps": 2, "discriminator_steps": 3,
            }
        )  # fmt: skip
        ends[shared] = train_airl(
            backbone, backbone, experts, experts[8:], section, settings=tree, sft_adapter=None, seed=0,
            output_dir=tmp_path / str(shared),
        )  # fmt: skip
    two, one = ends[False], ends[True]
    for ours, theirs in zip(one.state.log_history, two.state.log_history, strict=True):
        for name in ("loss", "disc_loss", "reward_expert", "completion_length", "grad_norm"):
            assert ours.get(name) == pytest.approx(theirs.get(name), abs=1e-5), name
    assert any(row.get("loss") for row in two.state.log_history)
    by_name = {name.replace(".reward.", ".default."): p for name, p in one.reward_model.trained().items()}
    assert all(torch.allclose(by_name[n], p, atol=1e-5) for n, p in two.reward_model.trained().items())
