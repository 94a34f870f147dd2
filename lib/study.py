"""What the notebooks share: where things are, reading a split, sampling a policy, recording a run."""

import random
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import set_seed

from lib import backbones, corpora, demonstrations, metrics, runs, sampling, traces, world
from lib.demonstrations import Demonstration
from lib.schema import Params

RESULTS = Path("results")
DATA = RESULTS / "data"
SCRATCH = Path(".scratch")  # where trainers may write; nothing reads it
LOGGED = (
    "step loss grad_norm learning_rate pass_rate completion_length entropy kl_to_start "
    "reward_auroc disc_loss disc_accuracy_expert disc_accuracy_policy disc_accuracy_perturbed "
    "reward_expert reward_policy reward_perturbed step_time"
).split()


def make_splits(settings: Params) -> dict[str, list[Demonstration]]:
    """The splits that `data` asks for; raises ValueError if the dataset cannot give them."""
    data = settings.data
    sizes = data.model_dump(exclude={"dataset", "path"})
    if data.dataset == "world":
        return demonstrations.make_world_splits(**sizes)
    return corpora.make_splits(data.dataset, data.path, **sizes)


def split(name: str) -> list[Demonstration]:
    """One split of the data, as notebook 01 wrote it."""
    return demonstrations.read_jsonl(DATA / f"{name}.jsonl")


def backbone_dir(name: str) -> Path:
    """Where a backbone is saved."""
    return RESULTS / "backbones" / name


def run_dir(backbone: str, method: str, seed: int) -> Path:
    """Where the record of a run is."""
    return RESULTS / "runs" / backbone / method / f"seed{seed}"


def texts(settings: Params, rng: random.Random) -> Iterator[tuple[str, str]]:
    """What backbones are trained on, endless: the world's unreliable solutions, or a dataset's experts.

    Validation and test questions never occur.
    """
    if settings.data.dataset != "world":
        return backbones.expert_texts(rng, split("demonstrations"))
    held_out = frozenset(row.question for name in ("validation", "test") for row in split(name))
    return backbones.world_texts(rng, settings.data.steps, settings.pretraining.malformed, held_out)


def tokenizer(settings: Params):
    """The tokenizer of every backbone that is trained from scratch, itself trained on the same texts."""
    if settings.data.dataset != "world":
        seen = [text for row in split("demonstrations") for text in (row.question, row.trace)]
        return backbones.train_tokenizer(seen, whole_numbers=0)
    drawn = backbones.world_texts(
        random.Random(settings.data.seed), settings.data.steps, settings.pretraining.malformed
    )
    seen = [text for pair in islice(drawn, 2000) for text in pair]
    return backbones.train_tokenizer(seen, whole_numbers=world.LARGEST)


def sample(model, tokenizer, problems: list[Demonstration], settings: Params) -> list[dict]:
    """Rows of `samples.jsonl.gz` for a policy on some problems.

    Only the world can say where a trace goes wrong; of other data `first_wrong_unit` is always None.
    """
    of_world = settings.data.dataset == "world"
    return sampling.sample_rows(
        model,
        tokenizer,
        problems,
        n=settings.sampling.n,
        temperature=settings.sampling.temperature,
        max_new_tokens=settings.sampling.max_new_tokens,
        batch_size=settings.sampling.batch_size,
        token_records=settings.evaluation.token_records,
        first_wrong_unit=world.first_wrong_unit if of_world else lambda text, expert: None,
        system_prompt=settings.sampling.system_prompt,
    )


def summary(rows: list[dict], settings: Params) -> dict[str, float]:
    """pass@1, majority@n, pass@n and the fraction of well-formed traces, of n samples a problem."""
    n = settings.sampling.n
    codes_PN, correct_PN = codes_and_correct(rows, n)
    flat_PN = np.zeros(correct_PN.shape)
    majority_P = metrics.rerank_accuracy(
        "majority", n, codes_PN, correct_PN, flat_PN, flat_PN, n_subsets=1, seed=0
    )
    return {
        "pass_at_1": round(float(correct_PN.mean()), 4),
        "majority": round(float(majority_P.mean()), 4),
        "pass_at_n": round(float(correct_PN.any(axis=1).mean()), 4),
        "well_formed": round(sum(row["well_formed"] for row in rows) / len(rows), 4),
    }


def codes_and_correct(rows: list[dict], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Answer codes and correctness of sample rows, both of shape (problems, n)."""
    answers = [traces.normal(traces.parse(row["text"]).answer) for row in rows]
    codes_PN = metrics.answer_codes([answers[i : i + n] for i in range(0, len(answers), n)])
    return codes_PN, np.array([row["correct"] for row in rows]).reshape(-1, n)


def validate(trained, seed: int, settings: Params) -> dict[str, float]:
    """The `summary` of a trained policy on the validation split."""
    set_seed(seed)
    return summary(sample(trained.model, trained.tokenizer, split("validation"), settings), settings)


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
        rows = sample(model, tokenizer, split("test"), settings)
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

    The record holds the adapter (or the full weights) and, for AIRL, the discriminator and what `lib.watch`
    saw.
    """
    set_seed(seed)
    rows = sample(trained.model, trained.tokenizer, split("test"), settings)

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
        data_sha256=runs.sha256(sorted(DATA.glob("*.jsonl"))),
        status=status,
        **runs.provenance(),
    )
    with runs.record(run_dir(backbone, method, seed)) as directory:
        save(directory)
        runs.write(directory, run, log=log, samples=rows)


def samples(backbone: str, method: str, seed: int) -> list[dict]:
    """The recorded test samples of a run."""
    return runs.read_rows(run_dir(backbone, method, seed) / "samples.jsonl.gz")
