"""Records runs: samples a policy on the test splits and writes what it was, did and wrote."""

import shutil
from pathlib import Path

from transformers import set_seed

from lib import files, runs
from lib.data import splits
from lib.schema import Params
from lib.study.training import sampling

LONG_COLUMNS = ("problem", "sample", "text", "correct")


def record_base(
    backbone: str, model, tokenizer, settings: Params, section, start: dict, losses, seconds: float
) -> None:
    """Record a backbone as the policy that was never trained further: test samples for every seed.

    `section` is what it came of, `start` its summary on validation, `losses` those of its training.
    """
    log = [{"step": i + 1, "loss": round(loss, 5)} for i, loss in enumerate(losses) if i % 10 == 0]
    for seed in settings.seeds:
        run = _run(backbone, "base", seed, settings, section, start, seconds, "completed")
        with files.new_directory(runs.run_dir(backbone, "base", seed)) as directory:
            _write(directory, run, log, model, tokenizer, settings)


def record_run(backbone, method, seed, *, settings, section, trained, validation, seconds) -> None:
    """Record a trained policy: its samples, its log, its weights, for AIRL its reward and what was watched.

    Weights that a later stage reads are the policy's of SFT, from which others start, and the rewards of the
    variants, which judge samples. The others are kept in `runs.UNREAD`, which neither git nor DVC looks at.
    """
    run = _run(backbone, method, seed, settings, section, validation, seconds, trained.status)
    read = {"adapter": method == "sft", "discriminator": method in settings.variants}
    with files.new_directory(runs.run_dir(backbone, method, seed)) as directory:
        for part, is_read in read.items():
            if (trained.directory / part).exists():
                target = directory if is_read else directory / runs.UNREAD
                shutil.copytree(trained.directory / part, target / part)
        if (trained.directory / runs.WATCHED).exists():
            shutil.copy(trained.directory / runs.WATCHED, directory)
        _write(directory, run, trained.log, trained.model, trained.tokenizer, settings)


def _run(backbone, method, seed, settings, section, validation, seconds, status) -> runs.Run:
    return runs.Run(
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


def _write(directory: Path, run: runs.Run, log: list[dict], model, tokenizer, settings: Params) -> None:
    """Write the record with samples of the test split; for the main methods, of longer problems too."""
    set_seed(run.seed)
    rows = sampling.sample(model, tokenizer, splits.split("test"), settings)
    runs.write(directory, run, log=log, samples=rows)
    main = run.method in ("base", "sft", "grpo", *settings.variants)
    if main and run.backbone in settings.policies:  # others are for discriminators alone
        set_seed(run.seed)
        rows = sampling.sample(model, tokenizer, splits.split("test_long"), settings)
        runs.write_rows(directory / runs.LONG, [{key: row[key] for key in LONG_COLUMNS} for row in rows])
