"""Rewards and policies away from home, against values counted by hand from the records."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lib.data import demonstrations
from lib.evaluation import records, transfer
from tests import synthetic

RESAMPLES = 50


@pytest.fixture(scope="module")
def results(results_with_ablations):
    return results_with_ablations


@pytest.fixture(scope="module")
def families(results) -> list[str]:
    return [row.family for row in demonstrations.read_jsonl(results / "data" / "test.jsonl")]


@pytest.fixture(scope="module")
def moved(study, families, settings) -> pd.DataFrame:
    return transfer.of_rewards(study, families, settings, RESAMPLES)


def gain_and_auroc(rows: pd.DataFrame) -> tuple[float, float]:
    """By hand: accuracy of each problem's best by reward over that of any, and the mean AUROC of seeds."""
    best = rows.sort_values("reward").groupby(["seed", "problem"]).last()["correct"].mean()
    by_seed = [roc_auc_score(s["correct"], s["reward"]) for _, s in rows.groupby("seed")]
    return best - rows["correct"].mean(), np.mean(by_seed)


def won_pairs(rows: pd.DataFrame) -> float:
    return roc_auc_score(rows["correct"], rows["reward"])


def assert_row(moved: pd.DataFrame, rows: pd.DataFrame, **where) -> None:
    for column, value in where.items():
        moved = moved[moved[column] == value]
    (row,) = moved.itertuples()
    assert (row.accuracy_gain, row.auroc) == pytest.approx(gain_and_auroc(rows), abs=1e-4)
    within = [won_pairs(of) for _, of in rows.groupby(["seed", "problem"]) if of["correct"].nunique() == 2]
    assert row.auroc_within == pytest.approx(np.mean(within), abs=1e-4)
    assert row.n_seeds == rows["seed"].nunique()


def test_transfer_is_to_longer_problems_and_to_the_other_backbone(moved, study):
    """Once at home, once to each place away, for each backbone; of samples, home is the reward's backbone."""
    steps = "1-2 steps"  # of the profile tiny, in which the election's reward is on llama
    where = moved[moved["n_seeds"] == 2][["backbone", "variant", "trained_on", "tested_on"]]
    expected = []
    for backbone, other in (("llama", "qwen2"), ("qwen2", "llama")):
        for variant, home in (("airl", "llama"), ("likelihood", backbone)):
            expected += [
                (backbone, variant, steps, steps),
                (backbone, variant, steps, "3 steps"),
                (backbone, variant, f"samples of {home}", f"samples of {backbone}"),
                (backbone, variant, f"samples of {home}", f"samples of {other}"),
            ]
    assert sorted(where.itertuples(index=False, name=None)) == sorted(expected)
    for backbone, variant in sorted({row[:2] for row in expected}):
        of = {"backbone": backbone, "variant": variant}
        at_home = study.scores.query("backbone == @backbone and variant == @variant and policy == 'base'")
        assert_row(moved, at_home, **of, trained_on=steps, tested_on=steps)
        assert_row(moved, at_home, **of, tested_on=f"samples of {backbone}")
        away = study.transfer.query("backbone == @backbone and variant == @variant")
        for tested_on, rows in away.groupby("tested_on"):
            assert_row(moved, rows, **of, tested_on=tested_on)


def test_the_election_is_compared_with_the_likelihood_pair_by_pair(moved, study):
    """On the same samples and seeds: the mean over problems of a seed of what it wins above."""
    assert moved.query("variant == 'likelihood' or n_seeds == 1")["above_likelihood"].isna().all()
    away = study.transfer.groupby(["backbone", "tested_on"])
    compared = moved.query("variant == 'airl'").set_index(["backbone", "tested_on"])
    for place, rows in away:
        won = {
            variant: {
                cell: won_pairs(of)
                for cell, of in judged.groupby(["seed", "problem"])
                if of["correct"].nunique() == 2
            }
            for variant, judged in rows.groupby("variant")
        }
        above = [won["airl"][cell] - won["likelihood"][cell] for cell in won["airl"]]
        row = compared.loc[place]
        assert row["above_likelihood"] == pytest.approx(np.mean(above), abs=1e-4)
        assert row["above_likelihood_ci_low"] <= row["above_likelihood"] <= row["above_likelihood_ci_high"]
    home = compared.loc[("llama", "1-2 steps"), "above_likelihood"]
    assert home == compared.loc[("llama", "samples of llama"), "above_likelihood"]


def test_at_home_as_many_samples_are_chosen_from_as_away(study, families, settings):
    fewer = study._replace(transfer=study.transfer[study.transfer["sample"] < 2])
    moved = transfer.of_rewards(fewer, families, settings, RESAMPLES)
    at_home = study.scores.query("variant == 'airl' and policy == 'base' and sample < 2")
    for backbone, rows in at_home.groupby("backbone"):
        home = "1-2 steps"
        assert_row(moved, rows, backbone=backbone, variant="airl", trained_on=home, tested_on=home)


def test_transfer_is_between_families_too(moved, study, families):
    """The reward of one family and that of all, on each family's problems."""
    by_family = moved[moved["n_seeds"] == 1]
    assert set(by_family["trained_on"]) == {"all families", "stock"}
    assert set(by_family["tested_on"]) == {"stock", "shop", "trip"} and len(by_family) == 2 * 3
    for variant, trained_on in (("reference", "all families"), ("family_stock", "stock")):
        scores = study.scores[(study.scores["variant"] == variant) & (study.scores["policy"] == "base")]
        for family in ("stock", "shop", "trip"):
            rows = scores[[families[p] == family for p in scores["problem"]]]
            assert_row(moved, rows, trained_on=trained_on, tested_on=family)


def test_longer_problems_are_told_as_notebook_9_names_them(study, families, settings):
    """A reward's longer problems are away from the steps it was trained on, whatever their lengths."""
    longer = settings.model_copy(update={"data": settings.data.model_copy(update={"long_steps": (5, 6, 7)})})
    renamed = study.transfer.replace({"tested_on": {"3 steps": "5-6-7 steps"}})
    found = transfer.of_rewards(study._replace(transfer=renamed), families, longer, RESAMPLES)
    assert set(found[found["tested_on"] == "5-6-7 steps"]["trained_on"]) == {"1-2 steps"}


def test_long_is_the_share_of_problems_that_are_solved_greedily(study):
    """The base and SFT policies were sampled at 1.0 too, which the table leaves out."""
    table = transfer.of_policies(study, RESAMPLES)
    ran = {(backbone, method) for backbone in ("llama", "qwen2") for method in synthetic.METHODS}
    ran |= {("qwen2", name) for name in ("reference", "sparse", "two", "family_stock", "sft_16")}
    assert set(zip(table["backbone"], table["method"], strict=True)) == ran
    assert "1.0" in set(study.long["temperature"])
    for row in table.itertuples():
        rows = study.long[(study.long["backbone"] == row.backbone) & (study.long["method"] == row.method)]
        greedy = rows[rows["temperature"] == "greedy"]
        assert row.pass_at_1 == pytest.approx(greedy["correct"].mean(), abs=1e-4)
        assert row.ci_low <= row.pass_at_1 <= row.ci_high and row.n_seeds == rows["seed"].nunique()
        sft = study.long[(study.long["backbone"] == row.backbone) & (study.long["method"] == "sft")]
        sft = sft[(sft["temperature"] == "greedy") & sft["seed"].isin(rows["seed"])]
        if row.method in ("base", "sft"):
            assert np.isnan(row.above_sft)
        else:
            above = greedy["correct"].mean() - sft["correct"].mean()
            assert row.above_sft == pytest.approx(above, abs=1e-4)
            assert row.above_sft_ci_low <= row.above_sft <= row.above_sft_ci_high
    assert table.query("method == 'base'")["n_seeds"].eq(1).all()
    assert list(dict.fromkeys(table["method"]))[: len(synthetic.METHODS)] == sorted(
        synthetic.METHODS, key=records.METHOD_ORDER.index
    )
