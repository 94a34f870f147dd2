"""The numbers behind the figures that show no table of estimates, so that they can be had as CSV too."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import runs
from lib.evaluation.records import Records
from lib.schema import Params

TOKEN_COLUMNS = ["trace", "position", "token", "reward", "discounted_return", "in_wrong_unit"]
BINS = 40  # of a histogram
MEASURES = ("pass_rate", "reward_auroc", "disc_loss")  # of learning curves


def reward_histogram(scores: pd.DataFrame) -> pd.DataFrame:
    """Rewards of right and wrong traces: backbone, answer ("correct" or "wrong"), low, high, share.

    `scores` has backbone, correct and reward. The shares of an answer's traces sum to 1: the outermost 1%
    of a backbone's rewards are counted in its first and last bin. No rows of an answer that no trace has.
    """
    tables = []
    for backbone, rows in scores.groupby("backbone", sort=False):
        edges = np.linspace(*np.percentile(rows["reward"], [0.5, 99.5]) + [0.0, 1e-6], BINS + 1)
        for answer, chosen in (("correct", rows["correct"]), ("wrong", ~rows["correct"])):
            values = rows.loc[chosen, "reward"].clip(edges[0], edges[-1])
            if len(values):
                shares = np.histogram(values, edges)[0] / len(values)
                columns = {"low": edges[:-1], "high": edges[1:], "share": shares}
                tables.append(pd.DataFrame({"backbone": backbone, "answer": answer, **columns}))
    return pd.concat(tables, ignore_index=True)


def learning_curves(logs: pd.DataFrame) -> pd.DataFrame:
    """Logged measures over the seeds: backbone, method, measure, step, mean, low, high (their range).

    A log need not have every measure: a short run may never have met right and wrong samples together.
    """
    keys = ["backbone", "method", "step"]
    long = logs.reindex(columns=[*keys, *MEASURES]).melt(keys, var_name="measure").dropna(subset=["value"])
    grouped = long.groupby(["backbone", "method", "measure", "step"], sort=False)["value"]
    return grouped.agg(mean="mean", low="min", high="max").reset_index()


def correlations(matrices: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Correlation matrices under each other: backbone, of, and a column for each of what it is with."""
    return pd.concat(matrices, names=["backbone", "of"]).reset_index()


def token_examples(examples: Sequence[dict]) -> pd.DataFrame:
    """The tokens of examples (see `lib.report.viewer`), with reward and discounted return, and
    whether in the first wrong unit.

    A token is written as JSON, in quotes, so that a spreadsheet does not take it for a formula.
    """
    rows = []
    for example in examples:
        position = 0
        for i, (piece, value, later) in enumerate(
            zip(example["tokens"], example["values"], example["returns"], strict=True)
        ):
            start, end = example["wrong"] or (0, 0)
            row = {"trace": example["title"], "position": i + 1, "token": json.dumps(piece), "reward": value}
            inside = position < end and position + len(piece) > start
            rows.append({**row, "discounted_return": later, "in_wrong_unit": inside})
            position += len(piece)
    return pd.DataFrame(rows, columns=TOKEN_COLUMNS)


def stages(records: Records, settings: Params) -> pd.DataFrame:
    """What the stages that train took: stage, runs, hours (in all), mean_seconds (a run).

    The records of a base policy are samples of one backbone, which was trained once.
    """
    of_method = runs.METHOD_STAGES | dict.fromkeys(settings.variants, "irl")
    of_method |= dict.fromkeys(settings.grpo_variants, "grpo")
    of_method |= dict.fromkeys(settings.ablations, "ablation")
    trained = records.runs[
        (records.runs["method"] != "base") | ~records.runs.duplicated(["backbone", "method"])
    ]
    grouped = trained.groupby(trained["method"].map(of_method).rename("stage"), sort=False)["seconds"]
    table = grouped.agg(runs="size", hours=lambda s: s.sum() / 3600, mean_seconds="mean")
    return table.reset_index().round(2)
