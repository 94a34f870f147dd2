"""SPIN (Chen et al. 2024, arXiv 2401.01335): rounds of DPO, the expert against the policy's own samples."""

from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer, set_seed
from trl import DPOTrainer

from lib.data.demonstrations import Demonstration
from lib.models import generation, pretrained
from lib.schema import Params, Spin
from lib.study.training import preferences
from lib.text import chat


def train_spin(
    backbone,
    sft_adapter: str | Path,
    demonstrations: list[Demonstration],
    section: Spin,
    *,
    settings: Params,
    seed: int,
    output_dir: str | Path,
) -> DPOTrainer:
    """From the SFT policy, `rounds` of -log sigma(beta [d(expert) - d(sample)]), d = log p - log p_old.

    p_old is the policy that the round began with, which wrote `samples` traces a demonstration. Returns the
    last round's trainer; its log is that of all rounds. Raises ValueError if the policy writes nothing else
    than the experts.
    """
    set_seed(seed)
    policy, _ = pretrained.load_to_train(backbone, settings.lora, sft_adapter)
    tokenizer, log = AutoTokenizer.from_pretrained(backbone), []
    for round_ in range(section.rounds):
        trainer = preferences.train_dpo(
            policy,
            tokenizer,
            _pairs(policy, tokenizer, demonstrations, section.samples, settings),
            **section.model_dump(include={"epochs", "batch_size", "lr", "beta"}),
            settings=settings,
            seed=seed,
            output_dir=Path(output_dir) / f"round{round_}",
        )
        policy = trainer.model
        log += [{**row, "step": len(log) + row["step"]} for row in trainer.state.log_history if "loss" in row]
    trainer.state.log_history = log
    return trainer


def _pairs(policy, tokenizer, demonstrations, samples: int, settings: Params) -> Dataset:
    """Tokens of an expert beside another trace, the policy's own; `samples` a question at most."""
    asked = [d for d in demonstrations for _ in range(samples)]
    prompts = chat.questions_ids(tokenizer, [d.question for d in asked], settings.sampling.system_prompt)
    written = generation.generate(
        policy,
        tokenizer,
        prompts,
        temperature=settings.sampling.temperature,
        max_new_tokens=settings.sampling.max_new_tokens,
        batch_size=settings.sampling.batch_size,
    )
    experts, _ = chat.completions(tokenizer, [d.trace for d in asked])
    rows = [
        {"prompt_ids": prompt, "chosen_ids": expert, "rejected_ids": sample}
        for prompt, expert, sample, d in zip(prompts, experts, written, asked, strict=True)
        if tokenizer.decode(sample, skip_special_tokens=True) != d.trace
    ]
    if not rows:
        raise ValueError("spin: each sample is its expert, word for word, and there is nothing to learn from")
    return Dataset.from_list(rows)
