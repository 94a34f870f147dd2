"""Choices among samples against values counted by hand from the records."""

import numpy as np
import pandas as pd
import pytest

from lib.evaluation import baselines, records, reranking, tables
from tests import synthetic

RESAMPLES = 50
REWARDS = tuple(filter(synthetic.adversarial, synthetic.METHODS))


def test_rerank_has_one_row_a_choice_and_sane_limits(study):
    table = reranking.rerank(tables.without(study, ["reference"]), RESAMPLES)
    assert not table.duplicated(["backbone", "policy", "variant", "selector", "n"]).any()
    assert list(dict.fromkeys(table["backbone"])) == ["llama", "qwen2"]
    assert set(table["n"]) == {1, 2, 4}
    selectors = table.groupby(["policy", "variant"])["selector"].agg(set).to_dict()
    trained = {(policy, name) for policy in ("base", "sft") for name in REWARDS}
    rules = {("base", rule) for rule in baselines.RULES} | {("sft", "length")}
    assert selectors.keys() == trained | rules  # and no ablation
    every = {"random", "majority", "logprob", "reward", "reward_weighted_majority", "oracle"}
    for (_, variant), found in selectors.items():
        assert found == (every if variant == "airl" else {"reward"})
    main = table[table["variant"] == "airl"]
    by_selector = main.pivot(index=["backbone", "policy", "n"], columns="selector", values="accuracy")
    assert (by_selector.le(by_selector["oracle"] + 1e-4, axis=0)).all(axis=None)
    alone = by_selector.xs(1, level="n")
    assert (alone.sub(alone["random"], axis=0).abs() < 1e-4).all(axis=None)
    assert (table["ci_low"] <= table["ci_high"]).all()
    of_shared_samples = (table["policy"] == "base") & (
        table["selector"].isin(["random", "majority", "logprob", "oracle"])
        | table["variant"].isin(baselines.RULES)
    )
    assert (table["n_seeds"] == np.where(of_shared_samples, 1, 2)).all()


def test_each_reward_chooses_what_it_likes_best(study):
    rows = reranking.rerank(study, RESAMPLES).query("selector == 'reward' and n == 4")
    rows = rows[rows["variant"].isin(REWARDS)]
    assert len(rows) == 2 * 2 * len(REWARDS)
    for row in rows.itertuples():
        scores = study.scores.query(
            "backbone == @row.backbone and policy == @row.policy and variant == @row.variant"
        )
        best = scores.sort_values("reward").groupby(["seed", "problem"]).last()
        assert row.accuracy == pytest.approx(best["correct"].mean(), abs=1e-4)


def test_rerank_puts_length_and_log_probability_in_the_rewards_place(study):
    """The likelihood's rewards here are minus the airl variant's: it chooses what that likes least."""
    airl = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    likelihood = airl.assign(variant="likelihood", reward=-airl["reward"])
    others = study.scores.query("variant != 'likelihood'")
    table = reranking.rerank(study._replace(scores=pd.concat([others, likelihood])), RESAMPLES)
    beside = table[table["variant"].isin([*baselines.RULES, baselines.LIKELIHOOD])]
    assert set(zip(beside["policy"], beside["selector"], strict=True)) == {
        ("base", "reward"),
        ("sft", "reward"),
    }
    assert set(beside.query("policy == 'sft'")["variant"]) == {"length"}  # the base's is of its own samples
    beside = beside[beside["policy"] == "base"]
    assert set(beside.query("backbone == 'llama'")["variant"]) == {"length", "base_logprob"}
    rows = beside.query("backbone == 'qwen2' and n == 4").set_index("variant")
    shortest = []
    for _, samples in airl.groupby(["seed", "problem"]):
        least = samples["n_tokens"] == samples["n_tokens"].min()
        shortest.append(samples[least]["correct"].mean())
    assert rows.loc["length", "accuracy"] == pytest.approx(np.mean(shortest), abs=1e-4)
    worst = airl.sort_values("reward").groupby(["seed", "problem"]).first()
    assert rows.loc["likelihood", "accuracy"] == pytest.approx(worst["correct"].mean(), abs=1e-4)
    by_selector = table.query("policy == 'base' and selector == 'logprob'").set_index(["backbone", "n"])
    found = beside.query("variant == 'base_logprob'").set_index(["backbone", "n"])
    pd.testing.assert_series_equal(found["accuracy"], by_selector["accuracy"])


def test_answers_are_numbered_problem_by_problem_and_a_missing_one_is_none():
    """Unread text has no answer; what says the same in other words has the same number."""
    answer = "<think>\n1+1=2\n</think>\n<answer>{}</answer>".format
    texts = [
        answer("7"),
        "<think>\n1+1=2",
        answer("8"),
        answer("7.0"),
        answer("8"),
        "",
        answer("9"),
        answer("8"),
    ]
    key = {"backbone": "llama", "method": "sft", "seed": 0}
    samples = pd.DataFrame({"problem": [0] * 4 + [1] * 4, "text": texts}).assign(**key)
    found = records._with_codes(samples.sample(frac=1, random_state=0)).sort_index()
    codes = found["answer_code"]
    assert codes[0] == codes[3] != codes[2] and codes[4] == codes[7] != codes[6]
    assert list(codes[[1, 5]]) == [-1, -1] and (codes.drop([1, 5]) >= 0).all()
    assert list(found["text"]) == texts


def test_a_missing_answer_has_no_vote(study):
    """One of four samples answers, and rightly: the majority is its answer."""
    first = study.scores["sample"] == 0
    scores = study.scores.assign(answer_code=np.where(first, 0, -1), correct=first)
    table = reranking.rerank(study._replace(scores=scores), RESAMPLES)
    table = table.query("variant == 'airl' and n == 4").set_index("selector")
    assert (table.loc["majority", "accuracy"] == 1).all()
    assert (table.loc["random", "accuracy"] == 0.25).all()


def test_reranked_pass_at_k_of_all_samples_is_the_same_by_any_order(study):
    table = reranking.reranked_pass_at_k(study, [1, 4], RESAMPLES)
    all_kept = table[table["k"] == 4].pivot(
        index=["backbone", "policy"], columns="selector", values="pass_at_k"
    )
    assert (all_kept.nunique(axis=1) == 1).all()
