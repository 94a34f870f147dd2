"""DPO (Rafailov et al. 2023, arXiv 2305.18290) of a policy on pairs of traces, given as tokens."""

from pathlib import Path

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from lib.schema import Params
from lib.study.training import policies


def train_dpo(
    policy,
    tokenizer,
    pairs: Dataset,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    beta: float,
    settings: Params,
    seed: int,
    output_dir: str | Path,
) -> DPOTrainer:
    """Of -log sigma(beta [d(chosen) - d(rejected)]), d = log p - log p_start, p_start the policy given.

    `pairs` have prompt_ids, chosen_ids and rejected_ids. Returns the trainer; its policy is the one given,
    with the one adapter it had.
    """
    trainer = _OfTokens(
        model=policy,
        processing_class=tokenizer,
        train_dataset=pairs,
        args=DPOConfig(
            **policies.common(policy, settings, seed, output_dir, batch_size, "pairs")
            | {"save_strategy": "no", "max_length": None},
            num_train_epochs=epochs,
            learning_rate=lr,
            beta=beta,
        ),
    )
    trainer = policies.train(trainer)
    trainer.model = trainer.accelerator.unwrap_model(trainer.model)
    trainer.model.delete_adapter("ref")  # a copy of what it began with; the next makes its own
    return trainer


class _OfTokens(DPOTrainer):
    """DPO on tokens: TRL renders whole conversations, whose templates may write on after the end."""

    def _prepare_dataset(self, dataset, *_):
        return dataset
