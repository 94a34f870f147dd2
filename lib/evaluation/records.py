"""All run records of a study as frames, read once; the tables and figures are computed from them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib import runs
from lib.grading import answers
from lib.text import traces

METHOD_ORDER = (
    "base sft likelihood spin ttrl grpo_demonstrations airl airl_practice airl_dense airl_dense_300 "
    "airl_no_perturbation airl_step airl_interval grpo outcome_labels step_labels"
).split()
SAMPLE_COLUMNS = "problem sample text correct well_formed first_wrong_unit n_tokens logprob ends".split()
TEMPERED_COLUMNS = ["temperature", "problem", "sample", "correct"]
TOKEN_COLUMNS = [*SAMPLE_COLUMNS, "logprobs", "unit_logprob", "unit_entropy"]
WATCHED_COLUMNS = [*TOKEN_COLUMNS, "step", "reward", "unit_reward", "rewards"]
KEY = ["backbone", "method", "seed"]


class Records(NamedTuple):
    """All run records, as frames that share the columns backbone and seed.

    `runs`: one run.json a row. `logs`: method, step and the logged metrics. `samples`: method and
    `SAMPLE_COLUMNS`, sampled at `sampling.temperature`. `tempered`: at the one that validation prefers,
    and greedily (`temperature`). `tokens`: of the samples that keep values token by token, `TOKEN_COLUMNS`.
    `scores`: variant, policy, the rewards, and the columns of the scored sample, with its `answer_code`
    (`answers.classes` of a problem's samples); `logit` is the discriminator's at the trace's end.
    `localisation`: one verdict of a detector a row. `transfer`: rewards of samples that the reward did not
    practise on, with `tested_on`. `long`: samples on longer problems, by temperature. `watched`: samples on
    validation problems by policies in training, `WATCHED_COLUMNS`.
    """

    runs: pd.DataFrame
    logs: pd.DataFrame
    samples: pd.DataFrame
    tempered: pd.DataFrame
    tokens: pd.DataFrame
    scores: pd.DataFrame
    localisation: pd.DataFrame
    transfer: pd.DataFrame
    long: pd.DataFrame
    watched: pd.DataFrame


def load(results: str | Path) -> Records:
    """Read every record under `results`; methods come in `METHOD_ORDER`, then by name.

    Raises ValueError if there are no runs, or if a score has no sample.
    """
    results = Path(results)
    records, logs, samples, tempered, tokens, long, watched = [], [], [], [], [], [], []
    for path in sorted(results.glob("runs/*/*/seed*[0-9]/run.json")):
        run = runs.read(path.parent).model_dump()
        key = {name: run[name] for name in KEY}
        records.append(run)
        if path.with_name("log.csv").exists():
            logs.append(pd.read_csv(path.with_name("log.csv")).assign(**key))
        if run["method"] in runs.LABELLED:
            continue
        rows = runs.read_rows(path.with_name(runs.SAMPLES))
        samples.append(pd.DataFrame(rows, columns=SAMPLE_COLUMNS).assign(**key))
        of_tokens = [row for row in rows if "ends" in row and run["method"] in runs.JUDGED]
        tokens.append(pd.DataFrame(of_tokens, columns=TOKEN_COLUMNS).assign(**key))
        for file, frames in ((runs.TEMPERED, tempered), (runs.LONG, long)):
            rows = runs.read_rows(path.with_name(file))
            frames.append(pd.DataFrame(rows, columns=TEMPERED_COLUMNS).assign(**key))
        if path.with_name(runs.WATCHED).exists():
            rows = runs.read_rows(path.with_name(runs.WATCHED))
            watched.append(pd.DataFrame(rows, columns=WATCHED_COLUMNS).assign(**key))
    if not records:
        raise ValueError(f"{results}/runs: no run records; make them with `dvc repro`")
    all_samples = _ordered(pd.concat(samples), "method").astype({"first_wrong_unit": float})  # NaN: none
    scores = _ordered(_read_all(results, runs.SCORES), "variant")
    nothing = pd.DataFrame(columns=[*WATCHED_COLUMNS, *KEY])
    return Records(
        runs=_ordered(pd.DataFrame(records), "method"),
        logs=_ordered(pd.concat(logs), "method"),
        samples=all_samples,
        tempered=_ordered(pd.concat(tempered), "method"),
        tokens=_ordered(pd.concat(tokens), "method").astype({"first_wrong_unit": float}),
        scores=_with_samples(scores, all_samples),
        localisation=_ordered(_read_all(results, runs.LOCALISATION), "variant"),
        transfer=_ordered(_read_all(results, runs.TRANSFER), "variant"),
        long=_ordered(pd.concat(long), "method"),
        watched=_ordered(pd.concat(watched or [nothing]), "method").astype({"first_wrong_unit": float}),
    )


def _read_all(results: Path, file: str) -> pd.DataFrame:
    """The rows of a file of every run that has it, and of `results/localisation/<backbone>.jsonl.xz`."""
    paths = {path: path.parts[-4] for path in sorted(results.glob(f"runs/*/*/seed*[0-9]/{file}"))}
    if not paths:
        raise ValueError(f"{results}/runs: no {file}; make them with `dvc repro`")
    if file == runs.LOCALISATION:
        shared = sorted((results / "localisation").glob("*.jsonl.xz"))
        paths |= {path: path.name.split(".")[0] for path in shared}
    return pd.concat([pd.DataFrame(runs.read_rows(p)).assign(backbone=name) for p, name in paths.items()])


def _ordered(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Sorted by backbone, then by the method or variant in the study's order, then by seed."""
    places = {name: f"{i:02d}" for i, name in enumerate(METHOD_ORDER)}
    order = frame[column].map(lambda name: places.get(name, f"99{name}"))
    return (
        frame.assign(_order=order)
        .sort_values(["backbone", "_order", "seed"], kind="stable", ignore_index=True)
        .drop(columns="_order")
    )


def _with_samples(scores: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Each score beside its sample; a policy that ran once (the base) is shared by all seeds' rewards."""
    seeds = samples.groupby(["backbone", "method"])["seed"].agg(["nunique", "first"])
    policies = pd.MultiIndex.from_frame(scores[["backbone", "policy"]])
    only = seeds.reindex(policies)
    samples = _with_codes(samples[samples["method"].isin(scores["policy"].unique())])
    sample_seed = np.where(only["nunique"] == 1, only["first"], scores["seed"])
    joined = scores.assign(sample_seed=sample_seed).merge(
        samples.rename(columns={"method": "policy", "seed": "sample_seed"}),
        how="left", on=["backbone", "policy", "sample_seed", "problem", "sample"],
    )  # fmt: skip
    lost = joined[joined["correct"].isna()]
    if len(lost):
        row = lost.iloc[0]
        raise ValueError(
            f"scores of {row.variant} on {row.backbone}: {row.policy}, seed {row.seed}, has no sample "
            f"{row['sample']} of problem {row.problem}; score again"
        )
    return joined.astype({"correct": bool, "well_formed": bool})


def _with_codes(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples with a number for each answer that counts as one among those of a problem."""
    given = samples.assign(answer=[traces.parse(text).answer for text in samples["text"]])
    codes = pd.Series(-1, given.index)
    for _, rows in given.groupby(["backbone", "method", "seed", "problem"]):
        # as objects: NaN would stand for None
        codes[rows.index] = answers.classes(rows["answer"].astype(object).where(rows["answer"].notna(), None))
    return samples.assign(answer_code=codes)


def grid(rows: pd.DataFrame, column: str) -> np.ndarray:
    """A column as an array (S, P, N) of seeds, problems and samples. Raises ValueError if any is missing."""
    axes = ["seed", "problem", "sample"]
    shape = tuple(rows[axis].nunique() for axis in axes)
    if len(rows) != np.prod(shape) or rows.duplicated(axes).any():
        raise ValueError(
            f"{len(rows)} records for {shape} seeds, problems and samples; sample and score again"
        )
    return rows.sort_values(axes)[column].to_numpy().reshape(shape)
