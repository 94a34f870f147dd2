"""Records runs: samples a policy on the test splits and writes what it was, did and wrote."""

import shutil
from pathlib import Path

from transformers import set_seed

from lib import files, runs
from lib.data import splits
from lib.schema import Params
from lib.study.training import sampling

OF_TOKENS = ("unit_logprob", "unit_entropy")  # kept where values are kept token by token


def record_base(
    backbone: str, model, tokenizer, settings: Params, section, validation: dict, losses, seconds: float
) -> None:
    """Record a backbone as the policy that was never trained further; there is one, whatever the seed.

    `section` is what it came of, `validation` its summary there, `losses` those of its training.
    """
    log = [{"step": i + 1, "loss": round(loss, 5)} for i, loss in enumerate(losses) if i % 10 == 0]
    run = _run(backbone, "base", 0, settings, section, validation, seconds, "completed")
    with files.new_directory(runs.run_dir(backbone, "base", 0)) as directory:
        _write(directory, run, log, model, tokenizer, settings)


def record_run(backbone, method, seed, *, settings, section, trained, validation, seconds) -> None:
    """Record a trained policy: its samples, its log, its weights, for AIRL its reward and what was watched.

    Weights that are not to be kept (`runs.is_kept`) lie in `runs.UNREAD`, which neither git nor DVC sees.
    """
    run = _run(backbone, method, seed, settings, section, validation, seconds, trained.status)
    with files.new_directory(runs.run_dir(backbone, method, seed)) as directory:
        for part in ("adapter", "discriminator"):
            if (trained.directory / part).exists():
                kept = runs.is_kept(part, method, seed)
                target = directory if kept else directory / runs.UNREAD
                shutil.copytree(trained.directory / part, target / part)
        if (trained.directory / runs.WATCHED).exists():
            shutil.copy(trained.directory / runs.WATCHED, directory)
        _write(directory, run, trained.log, trained.model, trained.tokenizer, settings)


def record_reward(backbone, method, seed, *, settings, section, model, log, validation, seconds) -> None:
    """Record a reward that has no policy: its log and, in `runs.UNREAD`, its weights."""
    run = _run(backbone, method, seed, settings, section, validation, seconds, "completed")
    with files.new_directory(runs.run_dir(backbone, method, seed)) as directory:
        model.save(directory / runs.UNREAD / "discriminator")
        runs.write(directory, run, log=log)


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
    """Write the record with samples of the test splits; of the policies that rewards judge, more of them, and
    how likely each is.

    Token by token only of the seeds that are watched.
    """
    set_seed(run.seed)
    judged, policy = run.method in runs.JUDGED, (model, tokenizer)
    tokens = settings.evaluation.token_records if judged and run.seed in settings.watching.seeds else 0
    n, test, long = settings.sampling.n, splits.split("test"), splits.split("test_long")
    fewer = n if judged else max(settings.evaluation.ks)
    rows = sampling.sample(*policy, test, settings, n=fewer, token_records=tokens, with_likelihoods=judged)
    runs.write(directory, run, log=log, samples=[_read(row, judged) for row in rows])
    best, fewer = run.metrics["validation_temperature"], max(settings.evaluation.ks)
    tempered = (("validation", fewer, best), ("greedy", 1, 0.0))
    runs.write_rows(directory / runs.TEMPERED, _answered(policy, test, tempered, settings, texts=False))
    is_base = run.method == "base"  # whose samples of longer problems rewards judge
    tempered = (("1.0", n, settings.sampling.temperature),) * is_base + (("greedy", 1, 0.0),)
    runs.write_rows(directory / runs.LONG, _answered(policy, long, tempered, settings, texts=is_base))
    if judged:
        known = splits.split("validation")[: settings.evaluation.threshold_problems]
        rows = sampling.sample(*policy, known, settings, n=n, token_records=0, with_likelihoods=True)
        runs.write_rows(directory / runs.KNOWN, [_read(row, judged) for row in rows])


def _read(row: dict, judged: bool) -> dict:
    """What later stages read of a sampled row."""
    unread = () if "ends" in row else OF_TOKENS if judged else ("text",)
    return {key: value for key, value in row.items() if key not in unread}


def _answered(policy, problems, asked, settings: Params, *, texts: bool) -> list[dict]:
    """Rows of `sampling.answered`, the texts if asked for, by temperature: its name, how many samples a
    problem, and what it is."""
    return [
        {"temperature": name, **{key: value for key, value in row.items() if texts or key != "text"}}
        for name, n, temperature in asked
        for row in sampling.answered(*policy, problems, n, temperature, settings)
    ]
