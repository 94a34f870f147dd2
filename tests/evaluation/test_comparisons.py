"""Comparisons against values counted by hand from the records and from params.yaml."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lib.evaluation import comparisons, records, tables
from lib.evaluation.comparisons import Change
from lib.study import params
from tests import synthetic

ROOT = Path(__file__).parents[2]
RESAMPLES = 50
CHANGES = [
    Change("airl_no_perturbation", "airl_dense", {"perturbations": 2}, {"perturbations": 0}),
    Change("sft_16", "sft", {"demonstrations": 64}, {"demonstrations": 16}),
    Change("sparse", "reference", {"boundaries": "step"}, {"boundaries": "sparse"}),
    Change("two", "reference", {"families": (), "lr": 0.1}, {"families": ("shop", "trip"), "lr": 0.2}),
]


@pytest.fixture(scope="module")
def results(results_with_ablations):
    return results_with_ablations


@pytest.fixture(scope="module")
def table(study) -> pd.DataFrame:
    return comparisons.ablations(study, CHANGES, RESAMPLES)


def settings_with(**overlays) -> params.Params:
    """The parameters of params.yaml with some sections replaced."""
    tree = params.apply_profile(ROOT / "params.yaml", "default")
    return params.validate(tree | overlays, "params.yaml")


# Gains, paired


def rows_at(study, temperature: str, backbone: str) -> pd.DataFrame:
    """A backbone's graded samples: those of training's temperature are kept apart."""
    rows = study.samples if temperature == "1.0" else study.tempered.query("temperature == @temperature")
    return rows[rows["backbone"] == backbone]


def test_gains_are_of_the_same_problems_and_seeds_at_each_temperature(study):
    """The base policy ran once: every seed's gain is over that run."""
    methods = ["sft", "likelihood", "ttrl", "airl", "airl_dense"]
    table = comparisons.gains(study, [*methods, "never_run"], RESAMPLES, {})
    assert sorted(table[["backbone", "temperature", "method"]].itertuples(index=False, name=None)) == sorted(
        itertools.product(["llama", "qwen2"], ["validation", "greedy", "1.0"], methods)
    )
    for row in table.itertuples():
        rows = rows_at(study, row.temperature, row.backbone)
        by_seed = rows.groupby(["seed", "method"])["correct"].mean().unstack()
        for rival in ("sft", "likelihood", "ttrl", "airl"):
            prefix = "" if rival == "sft" else f"above_{rival}_"
            names = (f"{prefix}ci_low", f"above_{rival}", f"{prefix}ci_high")
            low, above, high = (getattr(row, name) for name in names)
            if rival == row.method:
                assert np.isnan([low, above, high]).all()
            else:
                expected = by_seed[row.method].sub(by_seed[rival]).mean()
                assert above == pytest.approx(expected, abs=1e-4) and low <= above <= high
        base = by_seed.loc[0, "base"]
        share = (by_seed[row.method] - base) / (by_seed["grpo"] - base)
        assert row.share_of_grpo == pytest.approx(share.mean(), abs=1e-4)
        assert row.n_seeds == 2


def with_runs(study, name: str, of: str, right=lambda correct: correct) -> records.Records:
    """The study with a method more, whose answers are right where `right` says, from another's."""
    frames = {}
    for part in ("samples", "tempered"):
        rows = getattr(study, part)
        copied = rows[rows["method"] == of]
        frames[part] = pd.concat([rows, copied.assign(method=name, correct=right(copied["correct"]))])
    return study._replace(**frames)


def test_a_method_of_fewer_seeds_is_paired_at_its_own(study):
    """As an ablation is; and a rival that lacks one of them is left out."""
    table = comparisons.gains(study, ["airl"], RESAMPLES, {}).set_index(["backbone", "temperature"])
    frames = {}
    for part in ("samples", "tempered"):
        rows = with_runs(study, "few", of="airl")._asdict()[part]
        kept = (rows["method"] != "few") | (rows["seed"] == 1)
        frames[part] = rows[kept & ((rows["method"] != "ttrl") | (rows["seed"] == 0))]
    few = comparisons.gains(study._replace(**frames), ["few"], RESAMPLES, {}).set_index(
        ["backbone", "temperature"]
    )
    assert (few["n_seeds"] == 1).all() and (few["above_airl"] == 0).all() and few["above_ttrl"].isna().all()
    for key, row in few.iterrows():
        rows = rows_at(study, key[1], key[0])
        by_seed = rows.groupby(["seed", "method"])["correct"].mean().unstack()
        expected = by_seed.loc[1, "airl"] - by_seed.loc[1, "sft"]
        assert row["above_sft"] == pytest.approx(expected, abs=1e-4)
    assert (table["n_seeds"] == 2).all()


def test_questions_that_differ_from_a_known_one_in_names_and_things_alone_are_left_out(study):
    questions = [f"Ana has {i} shells. The pile doubles. How many now?" for i in range(12)]
    known = [
        "Ben has 3 beads. The pile doubles. How many now?",
        "Ben has 5 beads. The pile triples. How many now?",
    ]
    table = comparisons.gains_unlike(study, questions, known, ["airl"], RESAMPLES)
    assert (table["n_problems"] == 11).all() and set(table["temperature"]) == {"validation", "greedy", "1.0"}
    for row in table.itertuples():
        rows = rows_at(study, row.temperature, row.backbone)
        means = rows[rows["problem"] != 3].groupby(["seed", "method"])["correct"].mean().unstack()
        assert row.above_sft == pytest.approx((means["airl"] - means["sft"]).mean(), abs=1e-4)
    every = comparisons.gains_unlike(study, questions, [], ["airl"], RESAMPLES).drop(columns="n_problems")
    pd.testing.assert_frame_equal(every, comparisons.gains(study, ["airl"], RESAMPLES, {}))
    assert comparisons.gains_unlike(study, questions, questions, ["airl"], RESAMPLES).empty


def test_each_training_stands_beside_sft_of_its_own_seed(study):
    table = comparisons.by_seed(study, ["airl", "ttrl", "never_run"]).set_index(
        ["backbone", "method", "seed"]
    )
    assert len(table) == 2 * 2 * 2
    for (backbone, method, seed), row in table.iterrows():
        rows = rows_at(study, "validation", backbone)
        right = {name: rows[(rows["method"] == name) & (rows["seed"] == seed)] for name in (method, "sft")}
        ours, sft = (right[name]["correct"].sum() / len(right[name]) for name in (method, "sft"))
        assert row["pass_at_1"] == pytest.approx(ours, abs=1e-4)
        assert row["above_sft"] == pytest.approx(ours - sft, abs=1e-4)
        assert row["temperature"] == synthetic.RUN["metrics"]["validation_temperature"]
    alone = study.tempered[(study.tempered["method"] != "sft") | (study.tempered["seed"] == 0)]
    lost = comparisons.by_seed(study._replace(tempered=alone), ["airl"]).set_index("seed")["above_sft"]
    assert lost[1].isna().all() and lost[0].notna().all()


def test_a_method_paired_with_itself_gains_nothing(study):
    table = comparisons.gains(with_runs(study, "copy", of="sft"), ["copy"], RESAMPLES, {})
    assert len(table) == 2 * 3 and (table["above_sft"] == 0).all()
    assert (table["ci_low"] == -table["ci_high"]).all()  # as much as so few problems can hide
    ours = table.set_index(["backbone", "temperature"])["above_ttrl"]
    sft = comparisons.gains(study, ["sft"], RESAMPLES, {}).set_index(["backbone", "temperature"])[
        "above_ttrl"
    ]
    pd.testing.assert_series_equal(ours, sft)


def test_what_has_other_demonstrations_is_paired_with_sft_on_as_many(study):
    more = with_runs(study, "sft_256", of="airl", right=lambda correct: correct | True)
    found = comparisons.gains(more, ["airl", "ttrl"], RESAMPLES, {"airl": "sft_256"}).set_index("method")
    plain = comparisons.gains(study, ["airl", "ttrl"], RESAMPLES, {}).set_index("method")
    assert (found.loc["airl", "above_sft"] < 0).all()
    others = [name for name in plain if "sft" not in name and name not in ("ci_low", "ci_high")]
    pd.testing.assert_frame_equal(found[others], plain[others])
    pd.testing.assert_frame_equal(found.loc[["ttrl"]], plain.loc[["ttrl"]])


def test_an_ablation_finds_the_sft_of_as_many_demonstrations():
    tree = params.apply_profile(ROOT / "params.yaml", "default")
    tree["ablations"] = {
        "sft_16": {"of": "sft", "demonstrations": 16},
        "airl_16": {"demonstrations": 16},
        "ttrl_16": {"of": "ttrl", "demonstrations": 16},
        "airl_256": {"demonstrations": 256},
        "vote": {"election": "vote"},
        "twice": {"of": "spin", "rounds": 2},
    }
    found = comparisons.sft_of_as_many(params.validate(tree, "params.yaml"))
    assert found == {"airl_16": "sft_16", "ttrl_16": "sft_16"}


def test_what_both_find_hard_is_no_part_of_the_interval(study):
    """One is right everywhere, the other nowhere: of such a pair every problem says the same."""
    beside = with_runs(study, "always", of="airl", right=lambda correct: correct | True)
    never = with_runs(beside, "never", of="airl", right=lambda correct: correct & False)
    rival = never.samples["method"].replace({"sft": "old", "never": "sft"})
    tempered = never.tempered["method"].replace({"sft": "old", "never": "sft"})
    study = never._replace(
        samples=never.samples.assign(method=rival), tempered=never.tempered.assign(method=tempered)
    )
    table = comparisons.gains(study, ["always"], RESAMPLES, {})
    assert len(table) and (table[["above_sft", "ci_low", "ci_high"]] == 1).all(axis=None)


def test_a_rival_that_did_not_run_leaves_its_columns_empty(study):
    without = study._replace(
        samples=study.samples.query("method != 'ttrl'"), tempered=study.tempered.query("method != 'ttrl'")
    )
    table = comparisons.gains(without, ["airl"], RESAMPLES, {})
    empty = ["above_ttrl", "above_ttrl_ci_low", "above_ttrl_ci_high"]
    assert len(table) and table[empty].isna().all(axis=None)
    assert table[["above_sft", "above_likelihood", "share_of_grpo"]].notna().all(axis=None)


# What is compared with what


def test_each_is_compared_with_the_run_that_differs_in_the_fewest_settings():
    settings = settings_with(
        variants={
            "airl_dense": {},
            "airl_no_perturbation": {"perturbations": 0},
            "airl": {"gamma": 0.5, "lr": 0.5},
        },
        ablations={
            "reference": {},
            "sft_16": {"of": "sft", "demonstrations": 16, "epochs": 80},
            "ttrl_16": {"of": "ttrl", "demonstrations": 16},
            "dense_16": {"of": "airl_dense", "demonstrations": 16},
            "sparse": {"boundaries": "sparse"},
            "small_from_base": {"start": "base", "discriminator": "llama"},
            "from_base": {"start": "base"},
            "paper_like": {"gamma": 0.9, "lr": 0.0001, "steps": 120, "perturbations": 1},
            "far": {
                "gamma": 0.1,
                "lr": 0.1,
                "beta": 0.1,
                "interval": 3,
                "reward_clip": 1.0,
                "loss": "wgan",
                "group_size": 4,
                "labels": "from_first_error",
            },  # fmt: skip
        },
        ablation_runs={"variant": "airl", "changes": {"steps": 60}, "backbones": ["qwen2"], "seeds": [0]},
    )
    found = {change.method: change for change in comparisons.changes(settings)}
    assert found == {
        "sft_16": Change(
            "sft_16", "sft", {"demonstrations": 64, "epochs": 40}, {"demonstrations": 16, "epochs": 80}
        ),
        "ttrl_16": Change("ttrl_16", "ttrl", {"demonstrations": 64}, {"demonstrations": 16}),
        "dense_16": Change("dense_16", "airl_dense", {"demonstrations": 64}, {"demonstrations": 16}),
        "airl_no_perturbation": CHANGES[0],
        "airl": Change("airl", "airl_dense", {"gamma": 0.9, "lr": 0.0001}, {"gamma": 0.5, "lr": 0.5}),
        "sparse": Change("sparse", "reference", {"boundaries": "dense"}, {"boundaries": "sparse"}),
        "from_base": Change("from_base", "reference", {"start": "sft"}, {"start": "base"}),
        "small_from_base": Change(
            "small_from_base", "from_base", {"discriminator": "same"}, {"discriminator": "llama"}
        ),
        "paper_like": Change("paper_like", "airl_dense", {"perturbations": 2}, {"perturbations": 1}),
    }  # the reference is compared with nothing, and `far` is too far from everything


def test_every_ablation_of_the_study_has_something_to_be_compared_with():
    for profile in ("default", "tiny"):
        tree = params.apply_profile(ROOT / "params.yaml", profile)
        settings = params.validate(tree, "params.yaml")
        compared = {change.method for change in comparisons.changes(settings)}
        same = {name for name, overlay in settings.ablations.items() if not overlay}
        many = {tables.TWIN}  # is compared with practice without an adversary, in `gains`
        assert compared >= {*settings.ablations} - same - many
        for change in comparisons.changes(settings):
            assert change.before.keys() == change.after.keys() and change.method != change.reference
            assert all(change.before[key] != change.after[key] for key in change.after)


# The table


def test_ablations_start_with_their_reference(table):
    rows = {
        (name, backbone): list(zip(found["method"], found["value"], strict=True))
        for (name, backbone), found in table.groupby(["ablation", "backbone"])
    }
    assert rows == {
        ("perturbations", "llama"): [("airl_dense", "2"), ("airl_no_perturbation", "0")],
        ("perturbations", "qwen2"): [("airl_dense", "2"), ("airl_no_perturbation", "0")],
        ("demonstrations", "qwen2"): [("sft", "64"), ("sft_16", "16")],
        ("boundaries", "qwen2"): [("reference", "step"), ("sparse", "sparse")],
        ("families + lr", "qwen2"): [("reference", "all + 0.1"), ("two", "shop/trip + 0.2")],
    }
    assert dict(table[["method", "n_seeds"]].itertuples(index=False)) == {
        **dict.fromkeys(["airl_dense", "airl_no_perturbation"], 2),
        **dict.fromkeys(["sft", "sft_16", "reference", "sparse", "two"], 1),
    }
    assert dict(table[["method", "reference"]].itertuples(index=False))["sparse"] == "reference"


def test_a_reference_of_more_seeds_is_taken_at_the_ablations_own(table, study):
    rows = rows_at(study, "validation", "qwen2").query("method == 'sft'")
    assert set(rows["seed"]) == {0, 1}
    row = table.query("method == 'sft'").iloc[0]
    first, both = (of["correct"].mean() for of in (rows[rows["seed"] == 0], rows))
    assert row.pass_at_1 == pytest.approx(first, abs=1e-4) and first != both


def test_ablations_are_of_the_policy_and_of_the_reward(table, study):
    assert {"ablation", "value", "backbone", "pass_at_1", "auroc", "hit_at_1"} <= set(table.columns)
    row = table.query("backbone == 'qwen2' and method == 'airl_dense'").iloc[0]
    at_validation = rows_at(study, "validation", "qwen2").query("method == 'airl_dense'")
    assert row.pass_at_1 == pytest.approx(at_validation["correct"].mean(), abs=1e-4)
    assert (
        at_validation["correct"].mean()
        != study.samples.query("backbone == 'qwen2' and method == 'airl_dense'")["correct"].mean()
    )
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl_dense' and policy == 'base'")
    within = [
        roc_auc_score(of_problem["correct"], of_problem["reward"])
        for _, of_problem in scores.groupby(["seed", "problem"])
        if of_problem["correct"].nunique() == 2
    ]
    assert row.auroc == pytest.approx(np.mean(within), abs=1e-4)
    located = study.localisation.query(
        "backbone == 'qwen2' and variant == 'airl_dense' and source == 'perturbed'"
    )
    hits = []
    for r in located.itertuples():
        above = [unit for unit, score in enumerate(r.unit_scores) if score > r.thresholds["perturbed"]]
        pointed = above[0] if above else np.argmax(r.unit_scores)
        hits.append(pointed == r.first_wrong_unit)
    assert row.hit_at_1 == pytest.approx(np.mean(hits), abs=1e-4)
    for name, prefix in (("pass_at_1", ""), ("auroc", "auroc_"), ("hit_at_1", "hit_at_1_")):
        defined = table[table[name].notna()]
        assert (defined[f"{prefix}ci_low"] <= defined[f"{prefix}ci_high"]).all()


def test_a_reward_that_was_not_scored_leaves_its_columns_empty(table, study):
    sft = table[table["reference"] == "sft"]
    assert len(sft) == 2 and sft[["auroc", "hit_at_1", "auroc_ci_low"]].isna().all(axis=None)
    assert table[table["reference"] != "sft"][["auroc", "hit_at_1"]].notna().all(axis=None)
    unscored = study._replace(
        scores=study.scores.query("variant != 'sparse'"),
        localisation=study.localisation.query("variant != 'sparse'"),
    )
    row = comparisons.ablations(unscored, CHANGES, RESAMPLES).query("value == 'sparse'").iloc[0]
    assert np.isnan(row.auroc) and np.isnan(row.hit_at_1) and row.pass_at_1 > 0


def test_an_ablation_without_its_runs_is_left_out(study):
    changes = [*CHANGES, Change("never_run", "reference", {"lr": 0.1}, {"lr": 9.0})]
    assert "lr" not in set(comparisons.ablations(study, changes, RESAMPLES)["ablation"])


def test_a_study_without_ablations_has_an_empty_table_of_the_same_columns(table, study):
    none = comparisons.ablations(study, [], RESAMPLES)
    assert len(none) == 0 and list(none.columns) == list(table.columns)
    assert len(comparisons.amounts(none)) == len(comparisons.single_changes(none)) == 0


def test_the_rows_are_divided_among_the_figures():
    settings = settings_with(
        variants={"airl_dense": {}, "airl_no_perturbation": {"perturbations": 0}, "airl": {"gamma": 0.5}},
        ablations={
            "reference": {},
            "near_misses_none": {"perturbations": 0},
            "demonstrations_16": {"demonstrations": 16},
            "wrong_experts_10": {"wrong_experts": 0.1},
            "sft_256": {"of": "sft", "demonstrations": 256},
            "sft_16": {"of": "sft", "demonstrations": 16},
            "wgan": {"loss": "wgan"},
            "from_base": {"start": "base"},
        },
        ablation_runs={"variant": "airl", "changes": {"steps": 60}, "backbones": ["qwen2"], "seeds": [0]},
    )
    changes = comparisons.changes(settings)
    rows = [
        {"ablation": " + ".join(change.after), "value": " + ".join(map(str, of.values()))}
        | {"reference": change.reference, "method": method}
        for change in changes
        for method, of in ((change.reference, change.before), (change.method, change.after))
    ]
    table = pd.DataFrame(rows)
    amounts = comparisons.amounts(table)
    of_demonstrations = amounts[amounts["ablation"] == "demonstrations"]
    shown = {
        name: list(zip(rows["method"], rows["value"], strict=True))
        for name, rows in of_demonstrations.groupby("reference")
    }
    assert shown == {
        "sft": [("sft_16", 16), ("sft", 64), ("sft", 64), ("sft_256", 256)],
        "reference": [("demonstrations_16", 16), ("reference", 64)],
    }
    assert list(amounts.loc[amounts["ablation"] == "wrong_experts", "value"]) == [0, 0.1]
    single = comparisons.single_changes(table)
    assert {"near_misses_none", "wgan", "airl_no_perturbation", "from_base"} <= set(single["method"])
    assert not {"sft_16", "demonstrations_16", "wrong_experts_10"} & set(single["method"])
    shown = {*single["method"], *amounts["method"]}
    assert shown >= {change.method for change in changes} >= {"demonstrations_16", "wgan"}
