"""Trains a policy and its reward by AIRL: what both start from, and the questions they are trained on."""

from pathlib import Path

from peft import PeftModel
from transformers import set_seed

from lib import discriminator, rows, training
from lib.airl import AIRLTrainer
from lib.demonstrations import Demonstration
from lib.schema import Airl, Lora, Params


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
) -> AIRLTrainer:
    """AIRL on demonstrations, practising on their questions and on unlabelled ones of `train`.

    `section` says how many of both (`rows.choose`), and whether the policy starts from the directory
    `sft_adapter`. Returns the trained trainer, its discriminator in `reward_model`.
    """
    set_seed(seed)
    model, tokenizer = training.load_backbone(backbone)
    new_adapter = training.lora(settings.lora)
    if section.start == "sft":
        model = PeftModel.from_pretrained(model, sft_adapter, is_trainable=True)
        new_adapter = None
    experts, unlabelled = rows.choose(demonstrations, train, section, seed)
    reward_model = _new_discriminator(
        discriminator_backbone, experts, section, settings, seed, Path(output_dir) / "likelihood"
    )
    questions = training.question_dataset([*experts, *unlabelled], settings.sampling.system_prompt)
    trainer = AIRLTrainer(
        reward_model=reward_model,
        settings=section,
        model=model,
        processing_class=tokenizer,
        train_dataset=questions.add_column("trace", [d.trace for d in experts] + [""] * len(unlabelled)),
        reward_funcs=training.correct,
        peft_config=new_adapter,
        args=training.grpo_config(
            section,
            settings=settings,
            seed=seed,
            output_dir=output_dir,
            reward_weights=[0.0],  # the answer is logged and has no influence
        ),
    )
    return training.train(trainer)


def _new_discriminator(
    backbone, experts: list[Demonstration], section: Airl, settings: Params, seed, output_dir
):
    """A fresh discriminator; a log-ratio first fitted to the experts by `likelihood_epochs` of SFT."""
    r, alpha = section.discriminator_r, 2 * section.discriminator_r
    if not section.likelihood_epochs:
        return discriminator.PARAMETERISATIONS[section.parameterisation].new(backbone, r=r, alpha=alpha)
    adapter = Lora(r=r, alpha=alpha, full_weights=False)
    fitted = training.train_sft(
        backbone,
        experts,
        settings.sft.model_copy(update={"epochs": section.likelihood_epochs}),
        settings=settings.model_copy(update={"lora": adapter}),
        seed=seed,
        output_dir=output_dir,
    )
    return discriminator.LogRatioDiscriminator.of_policy(fitted.model)
