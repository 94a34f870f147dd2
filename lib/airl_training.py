"""Trains a policy and its reward by AIRL: what both start from, and the questions they are trained on."""

from peft import PeftModel
from transformers import set_seed

from lib import discriminator, rows, training
from lib.airl import AIRLTrainer
from lib.demonstrations import Demonstration
from lib.schema import Lora


def train_airl(
    backbone,
    discriminator_backbone,
    demonstrations: list[Demonstration],
    train: list[Demonstration],
    *,
    settings,
    sft,
    adapter,
    sft_adapter,
    seed,
    output_dir,
    max_new_tokens,
    temperature,
) -> AIRLTrainer:
    """AIRL on demonstrations, practising on their questions and on unlabelled ones of `train`.

    `settings` says how many of both (`rows.choose`), and whether the policy starts from the directory
    `sft_adapter`. Returns the trained trainer, its discriminator in `reward_model`.
    """
    set_seed(seed)
    model, tokenizer = training.load_backbone(backbone)
    new_adapter = training.lora(adapter)
    if settings.start == "sft":
        model = PeftModel.from_pretrained(model, sft_adapter, is_trainable=True)
        new_adapter = None
    experts, unlabelled = rows.choose(demonstrations, train, settings, seed)
    reward_model = _new_discriminator(
        discriminator_backbone, experts, settings=settings, sft=sft, seed=seed, output_dir=output_dir
    )
    questions = training.question_dataset([*experts, *unlabelled])
    trainer = AIRLTrainer(
        reward_model=reward_model,
        settings=settings,
        model=model,
        processing_class=tokenizer,
        train_dataset=questions.add_column("trace", [d.trace for d in experts] + [""] * len(unlabelled)),
        reward_funcs=training.correct,
        peft_config=new_adapter,
        args=training.grpo_config(
            settings,
            seed=seed,
            output_dir=output_dir,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            reward_weights=[0.0],  # the answer is logged and has no influence
        ),
    )
    return training.train(trainer)


def _new_discriminator(backbone, experts: list[Demonstration], *, settings, sft, seed, output_dir):
    """A fresh discriminator; a log-ratio first fitted to the experts by `likelihood_epochs` of `sft`."""
    r, alpha = settings.discriminator_r, 2 * settings.discriminator_r
    if not settings.likelihood_epochs:
        return discriminator.PARAMETERISATIONS[settings.parameterisation].new(backbone, r=r, alpha=alpha)
    fitted = training.train_sft(
        backbone,
        experts,
        settings=sft.model_copy(update={"epochs": settings.likelihood_epochs}),
        adapter=Lora(r=r, alpha=alpha, full_weights=False),
        seed=seed,
        output_dir=output_dir,
    )
    return discriminator.LogRatioDiscriminator.of_policy(fitted.model)
