"""The study's own reward against what stands in its place, use by use, paired by problem and seed.

Where two rewards judge the same samples, what is hard is hard for both, and cancels.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.evaluation import baselines, intervals, metrics, pointing
from lib.evaluation.records import Records
from lib.evaluation.reranking import accuracies, rerankable
from lib.evaluation.tables import MAIN_VARIANT, SEED, estimate, groups, hits

CHOOSING, RANKING, POINTING = "choosing", "ranking", "pointing"
SELECTORS = ("random", "majority", "logprob", "oracle")  # which read no reward
COLUMNS = ["use", "backbone", "policy", "error_source", "rival", "above", "ci_low", "ci_high", "n_seeds"]

Values = dict[str, pd.DataFrame]  # of each rival: a row a seed, a column a problem
Counts = pd.DataFrame | None  # of how many traces a value is the mean; None: all of as many


def table(records: Records, n_resamples: int) -> pd.DataFrame:
    """What the main variant's reward is above each rival: `COLUMNS`.

    `use` is `choosing` (the accuracy of the choice among all samples of `policy`), `ranking` (AUROC within
    problems, of the same samples) or `pointing` (first wrong step found with the threshold `perturbed`, by
    `error_source`, of all wrong traces of a seed). A rival is another variant, a rule of `baselines`, a
    selector or a detector. One with fewer seeds is compared on these alone; one that is not trained stands
    beside every seed. No row where nothing is defined, such as a ranking of samples that are all wrong.
    """
    rows = []
    for key, values, counts in [*_of_samples(records), *_of_errors(records)]:
        if MAIN_VARIANT not in values:
            continue
        ours = values.pop(MAIN_VARIANT)
        for rival, theirs in values.items():
            shared = ours.index.intersection(theirs.index)
            pair = [of.loc[shared].to_numpy(dtype=float) for of in (ours, theirs)]
            if np.isnan(pair[0] - pair[1]).all():
                continue
            if counts is None:
                above = intervals.difference_ci(*pair, n_resamples, SEED)
            else:
                weights_SP = counts.loc[shared].to_numpy(dtype=float)
                above = intervals.weighted_mean_ci(
                    pair[0] - pair[1], weights_SP, n_resamples, SEED, intervals.CORRELATION
                )
            row = key | {"rival": rival} | estimate("above", above, first=True)
            rows.append(row | {"n_seeds": len(shared)})
    rows = pd.DataFrame(rows, columns=COLUMNS).sort_values("use", kind="stable", ignore_index=True)
    return rows.fillna({"error_source": ""}).round(4)


def _of_samples(records: Records) -> Iterator[tuple[dict, Values, Counts]]:
    """Of each policy's samples the values of `choosing`, then those of `ranking`."""
    scores = pd.concat([records.scores, baselines.scores(records.scores)])
    for key, judged in groups(scores, "backbone", "policy"):
        chosen, ranked = {}, {}
        seeds = sorted(judged.loc[judged["variant"] == MAIN_VARIANT, "seed"].unique())
        for of, rows in groups(judged, "variant"):
            of_seeds = sorted(rows["seed"].unique())
            if of["variant"] in baselines.RULES and len(of_seeds) == 1:  # of a policy that ran once
                of_seeds = seeds
            arrays = rerankable(rows)
            n = 2 ** (arrays["correct"].shape[2].bit_length() - 1)  # as many as `reranking.rerank` has
            selectors = SELECTORS if of["variant"] == MAIN_VARIANT else ()
            for selector in ("reward", *selectors):
                name = of["variant"] if selector == "reward" else selector
                chosen[name] = _by_seed(accuracies(arrays, selector, n), of_seeds)
            within_SP = metrics.auroc_within(arrays["reward"], arrays["correct"])
            ranked[of["variant"]] = _by_seed(within_SP, of_seeds)
        yield {"use": CHOOSING} | key, chosen, None
        yield {"use": RANKING} | key, ranked, None


def _by_seed(values_SP: np.ndarray, seeds: list[int]) -> pd.DataFrame:
    """Rows for the seeds; what is the same for all of them is given once."""
    return pd.DataFrame(np.broadcast_to(values_SP, (len(seeds), values_SP.shape[1])), seeds)


def _of_errors(records: Records) -> Iterator[tuple[dict, Values, Counts]]:
    """Of each policy's wrong traces, and of those that a rule made, the values of `pointing`."""
    located = records.localisation.rename(columns={"source": "error_source"})
    for key, wrong in groups(located, "backbone", "error_source", "policy"):
        ours = wrong[wrong["variant"] == MAIN_VARIANT]
        if ours.empty:
            continue
        every = _cells(ours, hits(ours, "perturbed"))
        found = {
            "chance": _cells(ours, pointing.chance(ours["unit_scores"])),
            "first_unit": _cells(ours, pointing.first_unit(ours["first_wrong_unit"])),
        }
        for of, rows in groups(wrong, "detector", "variant"):
            cells = _cells(rows, hits(rows, "perturbed"))
            if not of["variant"] and len(cells) == 1:  # said by the policy itself, which ran once
                cells = cells.loc[cells.index.repeat(len(every))].set_index(every.index)
            found[of["variant"] or of["detector"]] = cells
        counts = _cells(ours, np.ones(len(ours)), "sum").fillna(0.0)
        found = {name: of.reindex(columns=every.columns) for name, of in found.items()}
        yield {"use": POINTING} | key, found, counts


def _cells(rows: pd.DataFrame, values: np.ndarray, how: str = "mean") -> pd.DataFrame:
    """The mean value of each seed's and problem's wrong traces, or the sum; NaN where there is none."""
    keys = [rows["seed"].to_numpy(), rows["problem"].to_numpy()]
    return pd.Series(values).groupby(keys).agg(how).unstack()
