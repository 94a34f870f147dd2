"""Rewards where they were not trained, and policies on problems longer than any that was trained on."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.evaluation import baselines, intervals, metrics
from lib.evaluation.records import Records, grid
from lib.evaluation.tables import (
    MAIN_VARIANT,
    SEED,
    UNDEFINED,
    estimate,
    groups,
    matching,
    n_seeds,
    of_defined,
    on_base,
)
from lib.schema import Params


def of_rewards(records: Records, families: list[str], settings: Params, n_resamples: int) -> pd.DataFrame:
    """Backbone, variant, trained_on, tested_on, accuracy_gain, .., auroc, .., auroc_within, ..,
    above_likelihood, .., n_seeds.

    Of the study's own and of the SFT likelihood; between families, of each that learned on some. `families`
    has the family of each test problem. The gain is the accuracy of each problem's sample of the highest
    reward over that of any sample; all are samples of base policies, at home as many a problem as away.
    `above_likelihood` is the study's own AUROC within problems above the likelihood's, paired by problem and
    seed. `backbone` is the policy's. A reward that is a stranger to it learned on samples of its own
    backbone, so that the policy's are away, and what is called another's may be home.
    """
    judged = on_base(records)
    base = judged.assign(family=[families[p] for p in judged["problem"]])
    table, of_likelihood = [], {}
    for variant in (baselines.LIKELIHOOD, MAIN_VARIANT):
        for key, rows in groups(base[base["variant"] == variant], "backbone", "variant"):
            for trained_on, tested_on, judged in _places(key, rows, records, settings):
                place = key["backbone"], tested_on
                if variant == baselines.LIKELIHOOD:
                    of_likelihood[place] = judged
                where = {"trained_on": trained_on, "tested_on": tested_on}
                rival = of_likelihood.get(place) if variant == MAIN_VARIANT else None
                table.append(key | where | _gain(judged, rival, n_resamples))
    table.sort(key=lambda row: row["backbone"])
    trained = {name: settings.airl_variant(name).families for name in settings.with_reward}
    for key, rows in groups(base, "backbone", "variant", "family"):
        variant, family = key["variant"], key.pop("family")
        if trained.get(variant) or settings.ablations.get(variant) == {}:
            trained_on = ", ".join(trained[variant]) or "all families"
            table.append(
                key | {"trained_on": trained_on, "tested_on": family} | _gain(rows, None, n_resamples)
            )
    return pd.DataFrame(table).round(4)


def _places(
    key: dict, at_home: pd.DataFrame, records: Records, settings: Params
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """What a reward was trained on, what it is tested on, and its scores there: at home, then away."""
    away = matching(records.transfer, key)
    at_home = at_home[at_home["sample"].isin(away["sample"])]
    steps = f"{min(settings.data.steps)}-{max(settings.data.steps)} steps"
    home = settings.discriminator_backbone(settings.airl_variant(key["variant"]), key["backbone"])
    of_others = away["tested_on"].str.startswith("samples of ")
    for trained_on, here, elsewhere in (
        (steps, steps, away[~of_others]),
        (f"samples of {home}", f"samples of {key['backbone']}", away[of_others]),
    ):
        if len(elsewhere):
            yield trained_on, here, at_home
        for tested, there in groups(elsewhere, "tested_on"):
            yield trained_on, tested["tested_on"], there


def _gain(rows: pd.DataFrame, rival: pd.DataFrame | None, n_resamples: int) -> dict:
    reward_SPN, correct_SPN = grid(rows, "reward"), grid(rows, "correct")
    chosen_SP = metrics.best_of_all(correct_SPN, reward_SPN)
    gain = intervals.difference_ci(chosen_SP, correct_SPN.mean(2), n_resamples, SEED)
    return (
        estimate("accuracy_gain", gain, first=True)
        | estimate("auroc", intervals.auroc_ci(reward_SPN, correct_SPN, n_resamples, SEED))
        | estimate("auroc_within", of_defined(_within(rows), n_resamples))
        | estimate("above_likelihood", _above(rows, rival, n_resamples))
        | n_seeds(rows)
    )


def _within(rows: pd.DataFrame) -> np.ndarray:
    return metrics.auroc_within(grid(rows, "reward"), grid(rows, "correct"))


def _above(rows: pd.DataFrame, rival: pd.DataFrame | None, n_resamples: int) -> tuple[float, float, float]:
    """How much higher AUROC within problems is than the rival's, where both have the same seeds."""
    if rival is None or set(rows["seed"]) != set(rival["seed"]):
        return UNDEFINED
    ours_SP, theirs_SP = _within(rows), _within(rival)
    if np.isnan(ours_SP - theirs_SP).all():
        return UNDEFINED
    return intervals.difference_ci(ours_SP, theirs_SP, n_resamples, SEED)


def of_policies(records: Records, n_resamples: int) -> pd.DataFrame:
    """pass@1 on problems longer than any that was trained on, greedily.

    Columns: backbone, method, pass_at_1, .., above_sft, .., n_seeds; the difference is of the same seeds.
    """
    table, greedy = [], records.long[records.long["temperature"] == "greedy"]
    for key, rows in groups(greedy, "backbone", "method"):
        correct_SP, above = grid(rows, "correct").mean(2), UNDEFINED
        sft = greedy[(greedy["backbone"] == key["backbone"]) & (greedy["method"] == "sft")]
        sft = sft[sft["seed"].isin(rows["seed"])]
        if key["method"] not in ("base", "sft") and sft["seed"].nunique() == len(correct_SP):
            above = intervals.difference_ci(correct_SP, grid(sft, "correct").mean(2), n_resamples, SEED)
        of_method = estimate("pass_at_1", intervals.mean_ci(correct_SP, n_resamples, SEED), first=True)
        table.append(key | of_method | estimate("above_sft", above) | n_seeds(rows))
    return pd.DataFrame(table).round(4)
