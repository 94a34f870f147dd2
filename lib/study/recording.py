"""What the notebooks share: where things are, reading a split, sampling a policy, recording a run."""

import shutil
from pathlib import Path

from transformers import set_seed

from lib import files, runs
from lib.data import splits
from lib.schema import Params
from lib.study.training import sampling

LOGGED = (
    "step loss grad_norm learning_rate pass_rate completion_length entropy kl_to_start "
    "reward_auroc disc_loss disc_accuracy_expert disc_accuracy_policy disc_accuracy_perturbed "
    "reward_expert reward_policy reward_perturbed step_time"
).split()


def training_log(trainer) -> list[dict]:
    """The logged steps of a trainer, under the names of the study."""
    names = {"rewards/correct/mean": "pass_rate", "completions/mean_length": "completion_length"}
    rows = []
    for entry in trainer.state.log_history:
        if "train_runtime" not in entry:
            own = {names.get(key, key): value for key, value in entry.items()} | entry
            rows.append({key: round(own[key], 5) for key in LOGGED if key in own})
    return rows


def record_base(
    backbone: str, model, tokenizer, settings: Params, section, start: dict, losses, seconds: float
) -> None:
    """Record a backbone as the policy that was never trained further: test samples for every seed.

    `section` is what it came of.
    """
    for seed in settings.seeds:
        set_seed(seed)
        rows = sampling.sample(model, tokenizer, splits.split("test"), settings)
        log = [{"step": i + 1, "loss": round(loss, 5)} for i, loss in enumerate(losses) if i % 10 == 0]
        _write(
            backbone,
            "base",
            seed,
            settings,
            section,
            start,
            seconds,
            rows,
            log,
            lambda path: None,
        )


def record_run(backbone, method, seed, *, settings, section, trained, validation, seconds) -> None:
    """Sample a trained policy on the test split and write the record of its run.

    The record holds the adapter (or the full weights) and, for AIRL, the discriminator and what was
    watched on the way.
    """
    set_seed(seed)
    rows = sampling.sample(trained.model, trained.tokenizer, splits.split("test"), settings)

    def save(directory: Path) -> None:
        for part in ("adapter", "discriminator"):
            if (trained.directory / part).exists():
                shutil.copytree(trained.directory / part, directory / part)
        if (trained.directory / runs.WATCHED).exists():
            shutil.copy(trained.directory / runs.WATCHED, directory)

    _write(
        backbone,
        method,
        seed,
        settings,
        section,
        validation,
        seconds,
        rows,
        trained.log,
        save,
        trained.status,
    )


def _write(
    backbone, method, seed, settings, section, validation, seconds, rows, log, save, status="completed"
) -> None:
    run = runs.Run(
        backbone=backbone,
        method=method,
        seed=seed,
        profile=settings.profile,
        parameters=section.model_dump(mode="json") | {"lora": settings.lora.model_dump(mode="json")},
        metrics={f"validation_{name}": value for name, value in validation.items()},
        seconds=seconds,
        data_sha256=files.sha256(sorted(runs.DATA.glob("*.jsonl"))),
        status=status,
        **runs.provenance(),
    )
    with files.new_directory(runs.run_dir(backbone, method, seed)) as directory:
        save(directory)
        runs.write(directory, run, log=log, samples=rows)
