"""Paired differences against cells counted one by one, and which rival stands beside which seeds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lib.evaluation import records, rivals
from tests import synthetic

RESAMPLES = 50
SELECTORS = {"random", "majority", "logprob", "oracle"}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> records.Records:
    directory = tmp_path_factory.mktemp("results")
    synthetic.write(directory, seeds=2, problems=8, samples=4)
    return records.load(directory)


@pytest.fixture(scope="module")
def table(study) -> pd.DataFrame:
    return rivals.table(study, RESAMPLES)


def of_variant(study, variant, policy="sft", backbone="qwen2") -> pd.DataFrame:
    return study.scores.query("backbone == @backbone and policy == @policy and variant == @variant")


def above(table, use, rival, policy="sft", source="") -> pd.Series:
    rows = table.query(
        "backbone == 'qwen2' and use == @use and rival == @rival and policy == @policy and error_source == "
        "@source"
    )
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_rival_is_there_once_for_each_use_and_policy(table):
    assert list(table.columns) == rivals.COLUMNS
    assert not table.duplicated(["use", "backbone", "policy", "error_source", "rival"]).any()
    assert "airl" not in set(table["rival"])
    rewards = set(synthetic.METHODS) - {"base", "sft", "spin", "ttrl", "grpo", "airl"}
    found = table.groupby(["use", "policy", "error_source"])["rival"].agg(set)
    assert found["choosing", "base", ""] == rewards | SELECTORS | {"length", "base_logprob"}
    assert found["choosing", "sft", ""] == rewards | SELECTORS | {"length"}
    assert found["ranking", "sft", ""] == rewards | {"length"}
    assert found["pointing", "sft", "policy"] == rewards | {"logprob", "entropy", "chance", "first_unit"}
    assert set(found.index.get_level_values("error_source")) == {"", "policy", "perturbed"}


def test_a_choice_is_paired_with_anothers_of_the_same_problem_and_seed(study, table):
    """Rewards here never tie, so that each problem has one best sample."""
    best = {}
    for variant in ("airl", "airl_dense"):
        rows = of_variant(study, variant).sort_values("reward")
        best[variant] = rows.groupby(["seed", "problem"])["correct"].last().astype(float)
    row = above(table, "choosing", "airl_dense")
    assert row["above"] == pytest.approx((best["airl"] - best["airl_dense"]).mean(), abs=1e-4)
    anyones = of_variant(study, "airl").groupby(["seed", "problem"])["correct"].mean()
    assert above(table, "choosing", "random")["above"] == pytest.approx(
        (best["airl"] - anyones).mean(), abs=1e-4
    )
    assert row["ci_low"] <= row["above"] <= row["ci_high"] and row["n_seeds"] == 2


def test_a_ranking_is_paired_within_problems_that_have_right_and_wrong_samples(study, table):
    def within(variant):
        return {
            cell: roc_auc_score(rows["correct"], rows["reward"])
            for cell, rows in of_variant(study, variant).groupby(["seed", "problem"])
            if rows["correct"].nunique() == 2
        }

    ours, theirs = within("airl"), within("likelihood")
    expected = np.mean([ours[cell] - theirs[cell] for cell in ours])
    assert above(table, "ranking", "likelihood")["above"] == pytest.approx(expected, abs=1e-4)


def test_pointing_is_paired_by_problem_with_the_threshold_that_took_no_labels(study, table):
    def cells(variant, detector):
        rows = study.localisation.query(
            "backbone == 'qwen2' and policy == 'sft' and source == 'policy' and variant == @variant "
            "and detector == @detector"
        )
        found = []
        for row in rows.itertuples():
            above = [i for i, value in enumerate(row.unit_scores) if value > row.thresholds["perturbed"]]
            first = above[0] if above else int(np.argmax(row.unit_scores))
            found.append((row.seed, float(first == row.first_wrong_unit), 1 / len(row.unit_scores)))
        return pd.DataFrame(found, columns=["seed", "hit", "chance"]).groupby("seed").mean()

    ours, entropy = cells("airl", "reward"), cells("", "entropy")
    row = above(table, "pointing", "entropy", source="policy")
    assert row["above"] == pytest.approx((ours["hit"] - entropy["hit"]).mean(), abs=1e-4)
    row = above(table, "pointing", "chance", source="policy")
    assert row["above"] == pytest.approx((ours["hit"] - ours["chance"]).mean(), abs=1e-4)


def test_one_that_is_not_trained_stands_beside_every_seed_and_one_with_fewer_beside_its_own(study, table):
    for rival in ("base_logprob", "length"):
        assert above(table, "choosing", rival, "base")["n_seeds"] == 2
    assert above(table, "pointing", "logprob", "base", "policy")["n_seeds"] == 2
    once = ~study.scores["variant"].eq("airl_dense") | study.scores["seed"].eq(0)
    fewer = rivals.table(study._replace(scores=study.scores[once]), RESAMPLES)
    assert above(fewer, "choosing", "airl_dense")["n_seeds"] == 1
    best = {
        variant: of_variant(study, variant)
        .query("seed == 0")
        .sort_values("reward")
        .groupby("problem")["correct"]
        .last()
        for variant in ("airl", "airl_dense")
    }
    expected = best["airl"].mean() - best["airl_dense"].mean()
    assert above(fewer, "choosing", "airl_dense")["above"] == pytest.approx(expected, abs=1e-4)


def test_a_study_whose_own_reward_has_fewer_seeds_or_none(study):
    def without(kept):
        scores, located = study.scores, study.localisation
        return study._replace(scores=scores[kept(scores)], localisation=located[kept(located)])

    one = rivals.table(without(lambda of: of["variant"].ne("airl") | of["seed"].eq(0)), RESAMPLES)
    assert len(one) and (one["n_seeds"] == 1).all()
    assert rivals.table(without(lambda of: of["variant"].ne("airl")), RESAMPLES).empty


def test_where_nothing_is_right_nothing_is_ranked_and_choices_are_equal(study):
    wrong = study.scores["correct"] & (study.scores["policy"] != "base")
    table = rivals.table(study._replace(scores=study.scores.assign(correct=wrong)), RESAMPLES)
    uses = table.groupby("policy")["use"].agg(set)
    assert uses["sft"] == {"choosing", "ranking", "pointing"} and uses["base"] == {"choosing", "pointing"}
    assert (table.query("policy == 'base' and use == 'choosing'")["above"] == 0).all()
