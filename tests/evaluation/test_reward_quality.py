"""The quality of rewards against values counted by hand from the records."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lib.evaluation import baselines, records, reward_quality, tables
from lib.text import traces
from tests import synthetic

RESAMPLES = 50


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> records.Records:
    directory = tmp_path_factory.mktemp("results")
    synthetic.write(directory, seeds=2, problems=16, samples=4)
    return records.load(directory)


@pytest.fixture(scope="module")
def table(study) -> pd.DataFrame:
    return reward_quality.table(study, RESAMPLES)


def test_reward_quality_is_the_mean_of_the_seeds(study, table):
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    by_seed = [(roc_auc_score(s["correct"], s["reward"]), s["reward"].corr(s["correct"].astype(float)))
               for _, s in scores.groupby("seed")]  # fmt: skip
    row = table.query("backbone == 'qwen2' and variant == 'airl'").iloc[0]
    assert (row.auroc, row.corr_correct) == pytest.approx(np.mean(by_seed, axis=0), abs=1e-4)
    best = scores.sort_values("reward").groupby(["seed", "problem"]).last()
    assert (row.reranked, row.random) == pytest.approx((best.correct.mean(), scores.correct.mean()), abs=1e-4)
    assert {"backbone", "variant", "auroc", "ece", "corr_correct", "corr_format"} <= set(table.columns)
    named = ("auroc_within", "ece", "corr_correct", "corr_format", "reranked", "lowest_last")
    for name, prefix in {"auroc": "", **{name: f"{name}_" for name in named}}.items():
        defined = table[table[name].notna()]
        assert len(defined) and (defined[f"{prefix}ci_low"] <= defined[f"{prefix}ci_high"]).all()
    assert (table["n_seeds"] == 2).all()


def pairs_within(samples: pd.DataFrame) -> float:
    """The mean over seeds' problems of the share of a problem's pairs that the score orders rightly."""
    shares = []
    for _, of_problem in samples.groupby(["seed", "problem"]):
        right, wrong = (of_problem[of_problem["correct"] == kind]["score"] for kind in (True, False))
        won = [(r > w) + 0.5 * (r == w) for r, w in itertools.product(right, wrong)]
        shares += [np.mean(won)] if won else []
    return np.mean(shares)


def test_within_problems_trained_rewards_and_baselines_are_judged_by_the_same_pairs(study, table):
    scores = study.scores.query("backbone == 'llama' and policy == 'base'")
    airl = scores.query("variant == 'airl'")
    judged = {
        "airl": airl.assign(score=airl["reward"]),
        "airl_dense": scores.query("variant == 'airl_dense'").assign(score=lambda rows: rows["reward"]),
        "length": airl.assign(score=[-n for n in airl["n_tokens"]]),
        "base_logprob": airl.assign(score=airl["logprob"]),
    }
    found = table.query("backbone == 'llama'").set_index("variant")
    for variant, samples in judged.items():
        assert found.loc[variant, "auroc_within"] == pytest.approx(pairs_within(samples), abs=1e-4)
    lengths = [roc_auc_score(rows["correct"], -rows["n_tokens"]) for _, rows in airl.groupby("seed")]
    assert found.loc["length", "auroc"] == pytest.approx(np.mean(lengths), abs=1e-4)


def test_a_rule_has_no_probability_and_no_steps(table):
    rules = table[table["variant"].isin(baselines.RULES)]
    assert len(rules) == 4
    assert rules[["ece", "lowest_last"]].isna().all(axis=None)
    assert rules[["auroc", "auroc_within", "corr_correct", "reranked"]].notna().all(axis=None)


def test_a_base_policy_that_ran_once_is_one_seed_of_a_rule(study):
    once = study.scores.query("sample_seed == 0")
    again = once.assign(seed=1, reward=-once["reward"])
    table = reward_quality.table(study._replace(scores=pd.concat([once, again])), RESAMPLES)
    by_variant = table.query("backbone == 'qwen2'").set_index("variant")["n_seeds"]
    assert (by_variant["airl"], by_variant["length"], by_variant["base_logprob"]) == (2, 1, 1)


def test_lowest_last_is_of_wrong_traces_with_two_steps_or_more(study, table):
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    by_problem: dict[tuple, list[bool]] = {}
    for row in scores.itertuples():
        steps = len(traces.parse(row.text).steps)
        if not row.correct and steps >= 2:
            falls = [before - after for before, after in itertools.pairwise(row.unit_reward)]
            at = falls.index(max(falls))  # the synthetic rewards have no ties
            by_problem.setdefault((row.seed, row.problem), []).append(at in (steps - 1, steps))
    row = table.query("backbone == 'qwen2' and variant == 'airl'").iloc[0]
    assert row.lowest_last == pytest.approx(np.mean([np.mean(v) for v in by_problem.values()]), abs=1e-4)


@pytest.mark.parametrize(
    "unit_reward, share",
    [
        ([0, 0, 0, -1], 1.0),  # over the answer
        ([0, 0, -1, 0], 1.0),  # over the last step
        ([0, -1, 0, 0], 0.0),
        ([0, -1, -2, -2], 0.5),  # as much over the first step as over the last
        ([0, -1], np.nan),  # one unit: it is the end
        ([0, -1, -3], np.nan),  # a step and an answer too
    ],
)
def test_where_the_reward_falls_most(unit_reward, share):
    rows = pd.DataFrame(
        {"seed": 0, "problem": 0, "correct": [False, True], "unit_reward": [unit_reward, [0, -9, 0, 0]]}
    )
    found = reward_quality.lowest_last(rows, RESAMPLES)
    assert found == pytest.approx((share,) * 3, nan_ok=True)


def test_one_class_alone_has_no_auroc(tmp_path):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=4, samples=2, skill=1.0)
    table = reward_quality.table(records.load(tmp_path), RESAMPLES)
    undefined = ["auroc", "auroc_within", "lowest_last", "corr_correct"]
    assert table[undefined].isna().all(axis=None)
    tables.write(table, "reward_quality", tmp_path)
    assert pd.read_csv(tmp_path / "reward_quality.csv")["auroc"].isna().all()
