"""Choosing among samples by a reward, by what stands in its place, or by the samples alone."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lib.evaluation import baselines, intervals, metrics
from lib.evaluation.records import Records, grid
from lib.evaluation.tables import MAIN_VARIANT, SEED, estimate, groups, within

RANKED = ("backbone", "policy", "variant")  # what samples are ranked, and by which reward
SUBSETS = 32  # random subsets of a problem's samples over which the majorities are averaged


def rerank(records: Records, n_resamples: int) -> pd.DataFrame:
    """Best of n by selector: backbone, policy, variant, selector, n, accuracy, ci_low, ci_high, n_seeds.

    `variant` names the reward: every selector stands beside `MAIN_VARIANT`'s, and selector `reward` alone
    beside the others', the `baselines` among them. n is 1, 2, 4, .. up to the samples of a problem. Where no
    reward is read, seeds that share their samples are one.
    """
    scores = records.scores
    main = scores["variant"] == MAIN_VARIANT
    others = pd.concat([baselines.scores(scores), scores[~main]])
    table = _chosen(scores[main], metrics.SELECTORS, n_resamples) + _chosen(others, ["reward"], n_resamples)
    return pd.DataFrame(table).sort_values(["backbone", "policy"], kind="stable", ignore_index=True).round(4)


def _chosen(scores: pd.DataFrame, selectors: Sequence[str], n_resamples: int) -> list[dict]:
    """The rows of `rerank` of some scores."""
    table = []
    for key, rows in groups(scores, *RANKED):
        arrays, drawn = rerankable(rows), rows["sample_seed"].nunique()
        n_samples = arrays["correct"].shape[2]
        for selector in selectors:
            of = arrays if "reward" in selector else {name: a_SPN[:drawn] for name, a_SPN in arrays.items()}
            for n in [2**i for i in range(n_samples.bit_length()) if 2**i <= n_samples]:
                values_SP = accuracies(of, selector, n)
                interval = intervals.mean_ci(values_SP, n_resamples, SEED)
                row = {"selector": selector, "n": n} | estimate("accuracy", interval, first=True)
                table.append(key | row | {"n_seeds": len(values_SP)})
    return table


def accuracies(arrays: dict[str, np.ndarray], selector: str, n: int) -> np.ndarray:
    """The accuracy of a selector's choice among n samples, shape (S, P), from arrays of `rerankable`."""
    names = ("answer_code", "correct", "logprob", "reward")
    return np.array(
        [
            metrics.rerank_accuracy(selector, n, *of_seed, n_subsets=SUBSETS, seed=SEED)
            for of_seed in zip(*(arrays[name] for name in names), strict=True)
        ]
    )


def reranked_pass_at_k(records: Records, ks: Iterable[int], n_resamples: int) -> pd.DataFrame:
    """A right answer among the k ranked first: as `rerank`, but k and pass_at_k for n and accuracy."""
    table = []
    for key, rows in groups(records.scores[records.scores["variant"] == MAIN_VARIANT], *RANKED):
        arrays = rerankable(rows)
        correct_SPN = arrays["correct"]
        kept = within(ks, correct_SPN)
        by_selector = {"random": [metrics.pass_at_k_table(correct, kept) for correct in correct_SPN]}
        for selector in ("logprob", "reward"):
            by_selector[selector] = [
                metrics.reranked_pass_at_k(correct, scores, kept)
                for correct, scores in zip(correct_SPN, arrays[selector], strict=True)
            ]
        for selector, values_SPK in by_selector.items():
            for i, k in enumerate(kept):
                interval = intervals.mean_ci(np.array(values_SPK)[:, :, i], n_resamples, SEED)
                row = {"selector": selector, "k": k} | estimate("pass_at_k", interval, first=True)
                table.append(key | row | {"n_seeds": len(values_SPK)})
    return pd.DataFrame(table).round(4)


def rerankable(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """The samples of a policy and what a reward says of them, as arrays (S, P, N)."""
    return {column: grid(rows, column) for column in ("answer_code", "correct", "logprob", "reward")}
