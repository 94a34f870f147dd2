"""Tables that compare runs: gains over SFT, ablations, and rewards tried where they were not trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.data import world
from lib.evaluation import intervals, metrics
from lib.evaluation.records import Records, grid
from lib.evaluation.tables import (
    MAIN_VARIANT,
    PRACTICE,
    SEED,
    UNDEFINED,
    at_temperatures,
    estimate,
    groups,
    hits,
    n_seeds,
    of_defined,
    of_traces,
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


def sft_of_as_many(settings: Params) -> dict[str, str]:
    """Of each ablation with other demonstrations than SFT's, the SFT on as many, where there is one."""
    learned_from = {
        name: getattr(settings.section(name), "demonstrations", None) for name in settings.ablations
    }
    of_sft = {learned_from[name]: name for name in learned_from if settings.ablated(name) == "sft"}
    return {
        name: of_sft[amount]
        for name, amount in learned_from.items()
        if amount in of_sft and of_sft[amount] != name
    }


def gains(
    records: Records, methods: Iterable[str], n_resamples: int, sft_of: Mapping[str, str]
) -> pd.DataFrame:
    """What a method adds at pass@1: backbone, method, temperature, above_sft, .., above_likelihood, ..,
    above_ttrl, .., above_airl, .., above_airl_practice, .., share_of_grpo, .., n_seeds.

    `sft_of` names the SFT of a method that `sft` is not to be compared with. All are paired, of the same
    problems and seeds, those of the method, at the same kind of temperature. `share_of_grpo` is the gain over
    the base policy, which ran once, as a part of GRPO's. What is above itself, or compared with what did not
    run on these seeds, is left empty.
    """
    table = []
    for key, rows in groups(at_temperatures(records), "temperature", "backbone"):
        for method in methods:
            seeds = rows.loc[rows["method"] == method, "seed"].unique()
            against = {rival: rival for rival in RIVALS} | {"sft": sft_of.get(method, "sft")}
            of_seeds = rows[rows["seed"].isin(seeds) | (rows["method"] == "base")]
            of_seeds = of_seeds[of_seeds["method"].isin([method, "base", "grpo", *against.values()])]
            correct = {
                of["method"]: grid(of_method, "correct").mean(2)
                for of, of_method in groups(of_seeds, "method")
                if of["method"] == "base" or of_method["seed"].nunique() == len(seeds)
            }
            if not {method, against["sft"], "base"} <= correct.keys():
                continue
            ours, share = correct[method], (np.nan,) * 3
            if "grpo" in correct:
                base, grpo = (np.broadcast_to(correct[name], ours.shape) for name in ("base", "grpo"))
                parts_SP2 = np.stack([ours - base, grpo - base], axis=-1)
                share = intervals.sums_ci(metrics.ratio, parts_SP2, n_resamples, SEED)
            row = {"backbone": key["backbone"], "method": method, "temperature": key["temperature"]}
            for i, (rival, other) in enumerate(against.items()):
                above = (np.nan,) * 3
                if other in correct and other != method:
                    above = intervals.difference_ci(ours, correct[other], n_resamples, SEED)
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
    found = gains(records._replace(samples=samples, tempered=tempered), methods, n_resamples, {})
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
        hit_at_1 = of_traces(located, hits(located, "perturbed"), n_resamples)
    return (
        estimate("pass_at_1", pass_at_1, first=True)
        | estimate("auroc", auroc)
        | estimate("hit_at_1", hit_at_1)
        | n_seeds(samples)
    )
