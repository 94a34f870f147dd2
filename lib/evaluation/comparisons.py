"""Tables that compare runs: gains over SFT, ablations, and rewards tried where they were not trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.data import world
from lib.evaluation import baselines, intervals, metrics
from lib.evaluation.records import Records, grid
from lib.evaluation.tables import (
    MAIN_VARIANT,
    PRACTICE,
    SEED,
    UNDEFINED,
    at_temperatures,
    by_problem,
    estimate,
    groups,
    hits,
    matching,
    n_seeds,
    of_defined,
    on_base,
)
from lib.schema import Params

RIVALS = ("sft", "likelihood", "ttrl", MAIN_VARIANT, PRACTICE)  # what a method is compared with
ABLATION_COLUMNS = (
    "ablation value backbone method reference pass_at_1 ci_low ci_high auroc auroc_ci_low auroc_ci_high "
    "hit_at_1 hit_at_1_ci_low hit_at_1_ci_high n_seeds"
).split()
AMOUNTS = ("demonstrations", "unlabelled_questions", "wrong_experts")  # of what there is to learn from
MOST = 3  # settings in which an ablation differs from what it is compared with


class Change(NamedTuple):
    """A run's settings against those of the run it is compared with."""

    method: str
    reference: str
    before: Mapping[str, object]  # the settings that differ, as the reference has them
    after: Mapping[str, object]


def changes(settings: Params) -> list[Change]:
    """Each ablation against the run that differs from it in the fewest settings.

    What it may be compared with: the method that it says it is `of`; for another one of AIRL a variant, the
    ablation that changes nothing, or one that changes the start alone. A pair that differs in more than
    `MOST` settings is no ablation.
    """
    of = {name: overlay["of"] for name, overlay in settings.ablations.items() if "of" in overlay}
    found = [
        _change(name, other, settings.section(name), settings.section(other)) for name, other in of.items()
    ]
    references = [name for name, overlay in settings.ablations.items() if not overlay]
    starts = [name for name, overlay in settings.ablations.items() if list(overlay) == ["start"]]
    for i, name in enumerate(name for name in settings.with_reward if name not in of):
        if name in references:
            continue
        candidates = list(settings.variants)[:i]
        if name in settings.ablations:
            candidates += references if name in starts else [*references, *starts]
        pairs = [
            _change(name, other, settings.airl_variant(name), settings.airl_variant(other))
            for other in candidates
        ]
        found += sorted(pairs, key=lambda change: len(change.after))[:1]
    return [change for change in found if 0 < len(change.after) <= MOST]


def _change(method: str, reference: str, after, before) -> Change:
    after, before = after.model_dump(), before.model_dump()
    keys = [key for key in after if after[key] != before[key]]
    return Change(method, reference, {key: before[key] for key in keys}, {key: after[key] for key in keys})


def gains(records: Records, methods: Iterable[str], n_resamples: int) -> pd.DataFrame:
    """What a method adds at pass@1: backbone, method, temperature, above_sft, .., above_likelihood, ..,
    above_ttrl, .., above_airl, .., above_airl_practice, .., share_of_grpo, .., n_seeds.

    All are paired, of the same problems and seeds, those of the method, at the same kind of temperature.
    `share_of_grpo` is the gain over the base policy, which ran once, as a part of GRPO's. What is above
    itself, or compared with what did not run on these seeds, is left empty.
    """
    table = []
    for key, rows in groups(at_temperatures(records), "temperature", "backbone"):
        for method in methods:
            seeds = rows.loc[rows["method"] == method, "seed"].unique()
            of_seeds = rows[rows["seed"].isin(seeds) | (rows["method"] == "base")]
            of_seeds = of_seeds[of_seeds["method"].isin([method, "base", "grpo", *RIVALS])]
            correct = {
                of["method"]: grid(of_method, "correct").mean(2)
                for of, of_method in groups(of_seeds, "method")
                if of["method"] == "base" or of_method["seed"].nunique() == len(seeds)
            }
            if not {method, "sft", "base"} <= correct.keys():
                continue
            ours, share = correct[method], (np.nan,) * 3
            if "grpo" in correct:
                base, grpo = (np.broadcast_to(correct[name], ours.shape) for name in ("base", "grpo"))
                share = intervals.statistic_ci(
                    _share,
                    ours[:, :, None],
                    base[:, :, None],
                    grpo[:, :, None],
                    n_resamples=n_resamples,
                    seed=SEED,
                )
            row = {"backbone": key["backbone"], "method": method, "temperature": key["temperature"]}
            for i, rival in enumerate(RIVALS):
                above = (np.nan,) * 3
                if rival in correct and rival != method:
                    above = intervals.difference_ci(ours, correct[rival], n_resamples, SEED)
                row |= estimate(f"above_{rival}", above, first=i == 0)
            table.append(row | estimate("share_of_grpo", share) | {"n_seeds": len(ours)})
    return pd.DataFrame(table).round(4)


def gains_unlike(
    records: Records, questions: Sequence[str], known: Iterable[str], methods: Iterable[str], n_resamples: int
) -> pd.DataFrame:
    """`gains` on the test `questions` whose outline (`world.outline`) no known one has; n_problems."""
    seen = {world.outline(question) for question in known}
    kept = [i for i, question in enumerate(questions) if world.outline(question) not in seen]
    samples, tempered = (of[of["problem"].isin(kept)] for of in (records.samples, records.tempered))
    if samples.empty:
        return pd.DataFrame(columns=["backbone", "method", "temperature", "n_problems"])
    found = gains(records._replace(samples=samples, tempered=tempered), methods, n_resamples)
    return found.assign(n_problems=len(kept))


def by_seed(records: Records, methods: Iterable[str]) -> pd.DataFrame:
    """Each training by itself: backbone, method, seed, the temperature that validation prefers, pass_at_1 at
    it, above_sft of the same seed (undefined where that did not run)."""
    chosen = records.runs.set_index(["backbone", "method", "seed"])["metrics"]
    rows = records.tempered[records.tempered["temperature"] == "validation"]
    means = rows.groupby(["backbone", "method", "seed"], sort=False)["correct"].mean()
    table = [
        {"backbone": backbone, "method": method, "seed": seed}
        | {"temperature": chosen[backbone, method, seed]["validation_temperature"], "pass_at_1": value}
        | {"above_sft": value - means.get((backbone, "sft", seed), np.nan)}
        for (backbone, method, seed), value in means.items()
        if method in set(methods)
    ]
    return pd.DataFrame(table).round(4)


def _share(ours: np.ndarray, base: np.ndarray, grpo: np.ndarray) -> float:
    most = grpo.mean() - base.mean()
    return float((ours.mean() - base.mean()) / most) if most else float("nan")


def ablations(records: Records, changed: Iterable[Change], n_resamples: int) -> pd.DataFrame:
    """What a setting does: ablation, value, backbone, method, pass_at_1, .., auroc, .., hit_at_1, ..

    The reference's row stands first for each ablation, and all are of the seeds that every one has. pass@1 is
    at the temperature that validation prefers, AUROC within problems on the base policy's samples, hit_at_1
    on rule-perturbed experts; where a reward was not scored on them it is left empty.
    """
    settings: dict[tuple, list[Change]] = {}
    for change in changed:
        settings.setdefault((change.reference, *change.after), []).append(change)
    samples = records.tempered[records.tempered["temperature"] == "validation"]
    table = []
    for (reference, *keys), members in settings.items():
        values = {reference: members[0].before} | {change.method: change.after for change in members}
        tested = samples[samples["method"].isin([c.method for c in members])]["backbone"]
        compared = samples[samples["method"].isin(values) & samples["backbone"].isin(tested)]
        for place, of_backbone in groups(compared, "backbone"):
            seeds = set.intersection(*(set(rows["seed"]) for _, rows in groups(of_backbone, "method")))
            for method, rows in groups(of_backbone[of_backbone["seed"].isin(seeds)], "method"):
                key = place | method
                written = " + ".join(_written(values[key["method"]][name]) for name in keys)
                row = {"ablation": " + ".join(keys), "value": written} | key | {"reference": reference}
                table.append(row | _outcome(records, key, rows, n_resamples))
                table[-1]["first"] = key["method"] != reference
    if not table:
        return pd.DataFrame(columns=ABLATION_COLUMNS)
    frame = pd.DataFrame(table).sort_values(["reference", "ablation", "backbone", "first"], kind="stable")
    return frame.drop(columns="first").reset_index(drop=True).round(4)


def amounts(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ablations` that change one of `AMOUNTS` alone, its value a number, in their order."""
    rows = table[table["ablation"].isin(AMOUNTS)]
    return rows.assign(value=rows["value"].astype(float)).sort_values("value", kind="stable")


def single_changes(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ablations` that `amounts` has not."""
    return table[~table["ablation"].isin(AMOUNTS)]


def _written(value: object) -> str:
    """A setting as readers see it; of a tuple that lists none, all are meant."""
    return "/".join(map(str, value)) or "all" if isinstance(value, tuple) else str(value)


def _outcome(records: Records, key: dict, samples: pd.DataFrame, n_resamples: int) -> dict:
    """A variant's policy, and its reward as far as it was scored."""
    scores, located = (
        of[
            (of["backbone"] == key["backbone"])
            & (of["variant"] == key["method"])
            & of["seed"].isin(samples["seed"])
        ]
        for of in (on_base(records), records.localisation)
    )
    located = located[(located["detector"] == "reward") & (located["source"] == "perturbed")]
    pass_at_1 = intervals.mean_ci(grid(samples, "correct").mean(2), n_resamples, SEED)
    auroc = hit_at_1 = UNDEFINED
    if len(scores):
        auroc = of_defined(metrics.auroc_within(grid(scores, "reward"), grid(scores, "correct")), n_resamples)
    if len(located):
        hit_at_1 = by_problem(located, hits(located, "perturbed"), n_resamples)
    return (
        estimate("pass_at_1", pass_at_1, first=True)
        | estimate("auroc", auroc)
        | estimate("hit_at_1", hit_at_1)
        | n_seeds(samples)
    )


def transfer(records: Records, families: list[str], settings: Params, n_resamples: int) -> pd.DataFrame:
    """Rewards where they were not trained: backbone, variant, trained_on, tested_on, accuracy_gain, ..,
    auroc, .., auroc_within, ..

    Of the study's own and of the SFT likelihood; between families, of each that learned on some. `families`
    has the family of each test problem. The gain is the accuracy of each problem's sample of the highest
    reward over that of any sample; all are samples of base policies, at home as many a problem as away.
    `backbone` is the policy's. A reward that is a stranger to it learned on samples of its own backbone, so
    that the policy's are away, and what is called another's may be home.
    """
    base = on_base(records).assign(family=[families[p] for p in on_base(records)["problem"]])
    steps = f"{min(settings.data.steps)}-{max(settings.data.steps)} steps"
    table = []
    tried = base[base["variant"].isin([MAIN_VARIANT, baselines.LIKELIHOOD])]
    for key, rows in groups(tried, "backbone", "variant"):
        away = matching(records.transfer, key)
        at_home = _gain(rows[rows["sample"].isin(away["sample"])], n_resamples)
        home = settings.discriminator_backbone(settings.airl_variant(key["variant"]), key["backbone"])
        of_others = away["tested_on"].str.startswith("samples of ")
        for trained_on, here, elsewhere in (
            (steps, steps, away[~of_others]),
            (f"samples of {home}", f"samples of {key['backbone']}", away[of_others]),
        ):
            if len(elsewhere):
                table.append(key | {"trained_on": trained_on, "tested_on": here} | at_home)
            for tested, there in groups(elsewhere, "tested_on"):
                table.append(key | {"trained_on": trained_on} | tested | _gain(there, n_resamples))
    trained = {name: settings.airl_variant(name).families for name in settings.with_reward}
    for key, rows in groups(base, "backbone", "variant", "family"):
        variant, family = key["variant"], key.pop("family")
        if trained.get(variant) or settings.ablations.get(variant) == {}:
            trained_on = ", ".join(trained[variant]) or "all families"
            table.append(key | {"trained_on": trained_on, "tested_on": family} | _gain(rows, n_resamples))
    return pd.DataFrame(table).round(4)


def _gain(rows: pd.DataFrame, n_resamples: int) -> dict:
    reward_SPN, correct_SPN = grid(rows, "reward"), grid(rows, "correct")
    chosen_SP = metrics.best_of_all(correct_SPN, reward_SPN)
    gain = intervals.difference_ci(chosen_SP, correct_SPN.mean(2), n_resamples, SEED)
    return (
        estimate("accuracy_gain", gain, first=True)
        | estimate("auroc", intervals.auroc_ci(reward_SPN, correct_SPN, n_resamples, SEED))
        | estimate("auroc_within", of_defined(metrics.auroc_within(reward_SPN, correct_SPN), n_resamples))
        | n_seeds(rows)
    )


def long(records: Records, n_resamples: int) -> pd.DataFrame:
    """pass@1 on problems longer than any that was trained on, greedily.

    Columns: backbone, method, pass_at_1, .., n_seeds.
    """
    table = []
    for key, rows in groups(records.long[records.long["temperature"] == "greedy"], "backbone", "method"):
        interval = intervals.mean_ci(grid(rows, "correct").mean(2), n_resamples, SEED)
        table.append(key | estimate("pass_at_1", interval, first=True) | n_seeds(rows))
    return pd.DataFrame(table).round(4)
