"""Trains a policy and its reward by AIRL: what both start from, and the questions they are trained on."""

from collections.abc import Sequence
from pathlib import Path

from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoTokenizer, set_seed

from lib.airl import discriminator
from lib.airl.shared_backbone import SHARED
from lib.airl.trainer import AIRLTrainer
from lib.data.demonstrations import Demonstration
from lib.models import pretrained
from lib.schema import Airl, Lora, Params
from lib.study.adversarial import choice, watch
from lib.study.training import policies


def train_airl(
    backbone,
    discriminator_backbone,
    demonstrations: list[Demonstration],
    train: list[Demonstration],
    section: Airl,
    *,
    settings: Params,
    sft_adapter,
    seed,
    output_dir,
    watched: Sequence[Demonstration] = (),
) -> AIRLTrainer:
    """AIRL on demonstrations, practising on their questions and on unlabelled ones of `train`.

    `section` says how many of both (`choice.choose`). The policy goes on from the directory `sft_adapter`,
    with None from the backbone. On the problems `watched` it is asked to write on the way. Returns the
    trained trainer, its discriminator in `reward_model`.
    """
    set_seed(seed)
    experts, unlabelled = choice.choose(demonstrations, train, section, seed)
    model, new_adapter = pretrained.load_to_train(backbone, settings.lora, sft_adapter)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    if new_adapter and _shared(section, settings):
        model, new_adapter = get_peft_model(model, new_adapter), None
    reward_model = new_discriminator(
        discriminator_backbone,
        model,
        experts,
        section,
        settings=settings,
        sft_adapter=sft_adapter,
        seed=seed,
        output_dir=Path(output_dir) / "likelihood",
    )
    if AutoTokenizer.from_pretrained(discriminator_backbone).get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            "airl.discriminator: its backbone reads other tokens than the policy; name one of its family, "
            "or take airl.learner: imitation"
        )
    questions = policies.question_dataset([*experts, *unlabelled], settings.sampling.system_prompt)
    trainer = AIRLTrainer(
        reward_model=reward_model,
        settings=section,
        model=model,
        processing_class=tokenizer,
        train_dataset=questions.add_column("trace", [d.trace for d in experts] + [""] * len(unlabelled)),
        reward_funcs=policies.correct,
        peft_config=new_adapter,
        args=policies.grpo_config(
            section,
            model=model,
            settings=settings,
            seed=seed,
            output_dir=output_dir,
            reward_weights=[0.0],  # the answer is logged and has no influence
        ),
    )
    if watched and policies.processes() == 1:
        trainer.add_callback(watch.Watch(reward_model, tokenizer, watched, section, settings))
    return policies.train(trainer)


def _shared(section: Airl, settings: Params) -> bool:
    """Whether the discriminator is an adapter on the policy's own weights; one that imitates has its own."""
    on_one = section.discriminator == "same" and section.learner == "practice"
    return settings.training.shared_backbone and on_one


def discriminator_lora(section: Airl) -> Lora:
    """The adapter of a discriminator, and of an election's stranger."""
    return Lora(r=section.discriminator_r, alpha=2 * section.discriminator_r)


def _is_sft(section: Airl, adapter: Lora, settings: Params) -> bool:
    """Whether a fit to the experts would be the SFT over again that the policy goes on from."""
    fit = section.demonstrations, section.likelihood_epochs, adapter
    on_same = section.discriminator == "same" and not section.wrong_experts and not section.families
    return on_same and fit == (settings.sft.demonstrations, settings.sft.epochs, settings.lora)


def new_discriminator(
    backbone,
    policy,
    experts: list[Demonstration],
    section: Airl,
    *,
    settings: Params,
    sft_adapter,
    seed,
    output_dir,
):
    """A fresh discriminator, on the policy's weights if these are shared; a log-ratio first fitted to the
    experts by `likelihood_epochs` of SFT, or as the directory `sft_adapter` has it where that is the same."""
    fitted, adapter = None, discriminator_lora(section)
    if sft_adapter is not None and _is_sft(section, adapter, settings):
        fitted = pretrained.placed(pretrained.load_to_train(backbone, adapter, sft_adapter)[0])
    elif section.likelihood_epochs:
        fitted = policies.train_sft(
            backbone,
            experts,
            settings.sft.model_copy(update={"epochs": section.likelihood_epochs}),
            settings=settings.model_copy(update={"lora": adapter}),
            seed=seed,
            output_dir=output_dir,
        ).model
    if _shared(section, settings):
        reward_model = SHARED[section.parameterisation](policy, **adapter.model_dump())
        if fitted is not None:
            weights = get_peft_model_state_dict(fitted)
            set_peft_model_state_dict(policy, weights, adapter_name=reward_model.adapter)
        return reward_model
    if fitted is not None:
        return discriminator.LogRatioDiscriminator.of_policy(fitted)
    return discriminator.PARAMETERISATIONS[section.parameterisation].new(backbone, **adapter.model_dump())
