"""How well the rewards tell right samples of a policy from wrong ones, and what they follow."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.data import reading
from lib.data.wording import EXPERT_STYLES
from lib.evaluation import baselines, intervals, metrics
from lib.evaluation.records import Records, grid
from lib.evaluation.tables import SEED, UNDEFINED, estimate, groups, n_seeds, of_defined, of_traces
from lib.reward.falls import reward_drops

STYLE = "style"  # what follows an expert's style and nothing else


def table(records: Records, experts: Sequence[str], n_resamples: int, policy: str = "base") -> pd.DataFrame:
    """The rewards on the samples of `base` or `sft`: backbone, variant, auroc, auroc_within,
    auroc_within_style, auroc_across_style, ece, corr_correct, corr_format, corr_style, corr_style_right,
    reranked, lowest_last, problems_across_style, random, ..

    AUROC and correlations (Pearson) are of the trace's reward, against a right answer and against a
    well-formed trace; the calibration error is of sigmoid(logit) at the trace's end as the probability of a
    right answer, on the few samples that keep it. Each is computed per seed, then averaged. `auroc_within`
    compares the samples of one problem alone (`metrics.auroc_within`), the mean over the problems of each
    seed that have right and wrong ones: it knows nothing of which problem is hard. `reranked` is the accuracy
    of the sample with the highest reward, `random` that of any. `lowest_last`: see the function. Beside the
    trained rewards stand those of `baselines.scores` that were read of the policy, and, as `STYLE`, the
    reward of 1 for an expert's style and 0 for another.

    Of style (`experts` are the experts' traces by problem; of other data than the world's there are none,
    since their styles are not told apart): `auroc_within_style` compares samples of one problem with the
    same wording of operators; `auroc_across_style` right ones in a style that no expert uses with wrong
    ones in an expert's, of one problem, of which a reward of style has less than half, of as many problems
    of a seed, at most, as `problems_across_style` says; `corr_style` is the correlation with an expert's
    style, `corr_style_right` that among right samples.
    Undefined where no sample is in an expert's style.
    """
    judged = _with_style(records.scores[records.scores["policy"] == policy], experts)
    rules = baselines.scores(judged)
    if judged["expert_style"].any():
        styled = rules[rules["variant"] == "length"].assign(variant=STYLE)
        rules = pd.concat([rules, styled.assign(reward=styled["expert_style"].astype(float))])
    judged = pd.concat([judged, rules]).sort_values("backbone", kind="stable")
    return pd.DataFrame(
        [key | _row(rows, n_resamples) for key, rows in groups(judged, "backbone", "variant")]
    ).round(4)


def _row(rows: pd.DataFrame, n_resamples: int) -> dict:
    reward, correct, told = grid(rows, "reward"), grid(rows, "correct"), rows[rows["logit"].notna()]
    ece = UNDEFINED
    if len(told):
        gaps = _by_seed(metrics.calibration_sums, expit(grid(told, "logit")), grid(told, "correct"))
        ece = intervals.sums_ci(metrics.calibration_error, gaps, n_resamples, SEED, intervals.FRACTION)

    def correlated(ours_SPN: np.ndarray, theirs_SPN: np.ndarray) -> tuple[float, float, float]:
        sums = _by_seed(metrics.correlation_sums, ours_SPN, theirs_SPN)
        return intervals.sums_ci(metrics.correlation_of, sums, n_resamples, SEED, intervals.CORRELATION)

    def paired(pairs_SPNN: np.ndarray) -> tuple[float, float, float]:
        return of_defined(metrics.auroc_of_pairs(reward, pairs_SPNN), n_resamples)

    wording, experts = grid(rows, "wording"), grid(rows, "expert_style")
    here, there = correct[..., :, None], ~correct[..., None, :]
    same = wording[..., :, None] == wording[..., None, :]
    across = ~experts[..., :, None] & experts[..., None, :]
    right = [np.where(correct, values, np.nan) for values in (reward, experts)]
    return (
        estimate("auroc", intervals.auroc_ci(reward, correct, n_resamples, SEED), first=True)
        | estimate("auroc_within", paired(here & there))
        | estimate("auroc_within_style", paired(here & there & same))
        | estimate("auroc_across_style", paired(here & there & across))
        | estimate("ece", ece)
        | estimate("corr_correct", correlated(reward, correct))
        | estimate("corr_format", correlated(reward, grid(rows, "well_formed")))
        | estimate("corr_style", correlated(reward, experts))
        | estimate("corr_style_right", correlated(*right))
        | estimate("reranked", intervals.mean_ci(metrics.best_of_all(correct, reward), n_resamples, SEED))
        | estimate("lowest_last", lowest_last(rows, n_resamples))
        | {"problems_across_style": (here & there & across).any((2, 3)).sum(1).max()}
        | {"random": correct.mean()}
        | n_seeds(rows)
    )


def _by_seed(sums: Callable, ours_SPN: np.ndarray, theirs_SPN: np.ndarray) -> np.ndarray:
    """The sums by problem, of each seed, shape (S, P, K)."""
    return np.stack([sums(*of_seed) for of_seed in zip(ours_SPN, theirs_SPN, strict=True)])


def _with_style(rows: pd.DataFrame, experts: Sequence[str]) -> pd.DataFrame:
    """The rows with the `wording` of their text, and whether it is in an `expert_style`."""
    texts = rows.drop_duplicates(["problem", "text"])
    styles = [
        reading.style_of(text, experts[problem]) if experts else None
        for problem, text in zip(texts["problem"], texts["text"], strict=True)
    ]
    found = texts[["problem", "text"]].assign(
        wording=[style.wording if style else "" for style in styles],
        expert_style=[style in EXPERT_STYLES for style in styles],
    )
    return rows.merge(found, on=["problem", "text"], how="left")


def lowest_last(rows: pd.DataFrame, n_resamples: int) -> tuple[float, float, float]:
    """How often the reward of a wrong trace falls most at its end, with the interval of it.

    A trace's units are its steps and, last, its answer. Of the traces with a wrong answer and two steps or
    more (in a shorter one every unit is at the end), the share whose largest drop of `unit_reward`
    (`reward_drops`) is over the last step or the answer; m drops that tie for the largest count 1/m each.
    Undefined for a reward of whole traces alone.
    """
    rows = rows[rows["unit_reward"].notna()]  # kept of some samples
    wrong = rows[~rows["correct"] & (rows["unit_reward"].map(len) > 3)]  # the first is before any unit
    if wrong.empty:
        return UNDEFINED
    return of_traces(wrong, wrong["unit_reward"].map(_falls_last), n_resamples)


def _falls_last(unit_reward: list[float]) -> float:
    drops = reward_drops(unit_reward)
    largest = drops == drops.max()
    return largest[-2:].sum() / largest.sum()
