"""Tables against values counted by hand from the records, and the contract of their columns."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from lib.evaluation import baselines, published, records, reward_quality, tables
from tests import synthetic

RESAMPLES = 50


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("results")
    synthetic.write(directory, seeds=2, problems=8, samples=4, ablations={"reference": 0.4})
    return directory


@pytest.fixture(scope="module")
def study(results) -> records.Records:
    return records.load(results)


def rows_of(results, backbone, method, seed):
    return synthetic.read_rows(results / "runs" / backbone / method / f"seed{seed}" / "samples.jsonl.gz")


def assert_intervals(table: pd.DataFrame, **prefixes: str) -> None:
    for estimate, prefix in prefixes.items():
        low, high = table[f"{prefix}ci_low"], table[f"{prefix}ci_high"]
        defined = table[estimate].notna()
        assert (low[defined] <= high[defined]).all()
    assert table["n_seeds"].ge(1).all()


def test_main_is_the_share_of_subsets_with_a_right_sample(results, study):
    table = tables.main(study, synthetic.METHODS, [1, 3, 10], RESAMPLES)
    assert list(table.columns) == ["backbone", "method", "k", "pass_at_k", "ci_low", "ci_high", "n_seeds"]
    assert list(dict.fromkeys(table["method"])) == [
        "base",
        "sft",
        "grpo",
        "airl",
        "airl_dense",
        "airl_no_perturbation",
    ]
    assert set(table["k"]) == {1, 3}  # ten of four samples there are not
    shares = []
    for seed, problem in itertools.product(range(2), range(8)):
        right = [r["correct"] for r in rows_of(results, "llama", "sft", seed) if r["problem"] == problem]
        shares.append(np.mean([any(subset) for subset in itertools.combinations(right, 3)]))
    row = table.query("backbone == 'llama' and method == 'sft' and k == 3").iloc[0]
    assert row.pass_at_k == pytest.approx(np.mean(shares), abs=1e-4)
    assert row.n_seeds == 2
    assert_intervals(table, pass_at_k="")


def test_rerank_has_one_row_a_choice_and_sane_limits(study):
    table = tables.rerank(study, RESAMPLES)
    assert not table.duplicated(["backbone", "policy", "variant", "selector", "n"]).any()
    assert list(dict.fromkeys(table["backbone"])) == ["llama", "qwen2"]
    table = table[~baselines.stands_in(table)]
    assert not table.duplicated(["backbone", "policy", "selector", "n"]).any()
    assert set(table["n"]) == {1, 2, 4}
    assert set(table["selector"]) == {
        "random", "majority", "logprob", "reward", "reward_weighted_majority", "oracle",
    }  # fmt: skip
    assert set(table.query("policy == 'base'")["variant"]) == {"airl"}
    assert set(table.query("policy == 'airl_no_perturbation'")["variant"]) == {"airl_no_perturbation"}
    by_selector = table.pivot(index=["backbone", "policy", "n"], columns="selector", values="accuracy")
    assert (by_selector.le(by_selector["oracle"] + 1e-4, axis=0)).all(axis=None)
    alone = by_selector.xs(1, level="n")
    assert (alone.sub(alone["random"], axis=0).abs() < 1e-4).all(axis=None)
    assert_intervals(table, accuracy="")


def test_rerank_puts_length_and_log_probability_in_the_rewards_place(study):
    """The likelihood's rewards here are minus the airl variant's: it chooses what that likes least."""
    airl = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    likelihood = airl.assign(variant="likelihood", reward=-airl["reward"])
    table = tables.rerank(study._replace(scores=pd.concat([study.scores, likelihood])), RESAMPLES)
    beside = table[baselines.stands_in(table)]
    assert set(zip(beside["policy"], beside["selector"], strict=True)) == {("base", "reward")}
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


def test_a_missing_answer_has_no_vote(study):
    """One of four samples answers, and rightly: the majority is its answer."""
    first = study.scores["sample"] == 0
    texts = np.where(first, "<think>\n1+1=2\n</think>\n<answer>2</answer>", "<think>\n1+1=2")
    scores = study.scores.assign(text=texts, correct=first)
    table = tables.rerank(study._replace(scores=scores), RESAMPLES)
    table = table[~baselines.stands_in(table)].query("n == 4").set_index("selector")
    assert (table.loc["majority", "accuracy"] == 1).all()
    assert (table.loc["random", "accuracy"] == 0.25).all()


def test_reranked_pass_at_k_of_all_samples_is_the_same_by_any_order(study):
    table = tables.reranked_pass_at_k(study, [1, 4], RESAMPLES)
    all_kept = table[table["k"] == 4].pivot(
        index=["backbone", "policy"], columns="selector", values="pass_at_k"
    )
    assert (all_kept.nunique(axis=1) == 1).all()


def test_calibration_is_of_the_logit_and_not_of_the_reward(study):
    """The reward may be a log-density, whose sigmoid means nothing."""
    other = study._replace(scores=study.scores.assign(reward=study.scores["reward"] - 50))
    pd.testing.assert_frame_equal(tables.calibration(other), tables.calibration(study))
    columns = ["ece", "ece_ci_low", "ece_ci_high"]
    found, expected = (reward_quality.table(records, RESAMPLES)[columns] for records in (other, study))
    pd.testing.assert_frame_equal(found, expected)
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    sure = scores[scores["logit"] > np.log(9)]  # a probability above 0.9
    row = tables.calibration(study).query("backbone == 'qwen2' and variant == 'airl'").iloc[-1]
    assert (row.n, row.observed) == (len(sure), pytest.approx(sure["correct"].mean(), abs=1e-4))
    assert row.predicted == pytest.approx((1 / (1 + np.exp(-sure["logit"]))).mean(), abs=1e-4)


def located_rows(study, **where) -> list:
    """The verdicts that have these values."""
    rows = study.localisation
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return list(rows.itertuples())


def hit_rate(rows) -> float:
    """How often the first score above the threshold, or else the largest, is the first wrong unit's.

    Each problem of a seed weighs the same.
    """
    hits: dict[tuple, list[bool]] = {}
    for r in rows:  # the synthetic scores have no ties
        above = [unit for unit, score in enumerate(r.unit_scores) if score > r.threshold]
        pointed = above[0] if above else np.argmax(r.unit_scores)
        hits.setdefault((r.seed, r.problem), []).append(pointed == r.first_wrong_unit)
    return np.mean([np.mean(of_problem) for of_problem in hits.values()])


def test_localisation_is_judged_on_the_same_traces(study):
    table = tables.localisation(study, RESAMPLES)
    assert not table.duplicated(["backbone", "detector", "error_source"]).any()
    assert set(table["detector"]) == {"reward", "logprob", "entropy", "chance"}
    assert set(table["error_source"]) == {"perturbed", "policy"}
    assert (table.groupby(["backbone", "error_source"])["n"].nunique() == 1).all()
    assert set(table.query("detector == 'reward'")["variant"]) == {"airl"}
    assert set(table.query("detector != 'reward'")["variant"]) == {""}
    chance = table[table["detector"] == "chance"]
    assert (chance["hit_at_1"] == chance["chance"]).all()
    for source in ("perturbed", "policy"):
        where = {"backbone": "llama", "policy": "base", "source": source, "detector": "reward"}
        rows = located_rows(study, **where, variant="airl")
        row = table.query("backbone == 'llama' and error_source == @source and detector == 'reward'").iloc[0]
        seeds = {r.seed for r in rows}
        assert row.n == len(rows) / len(seeds)
        assert row.hit_at_1 == pytest.approx(hit_rate(rows), abs=1e-4)
    assert_intervals(table, hit_at_1="")


def test_localisation_by_kind_adds_the_papers_reward_and_the_errors_of_sft(study):
    table = tables.localisation_by_kind(study, RESAMPLES)
    keys = ["backbone", "error_source", "policy", "kind", "detector", "variant"]
    assert not table.duplicated(keys).any()
    assert set(table["variant"]) == {"", "airl", "airl_dense"}
    kinds = table[["error_source", "policy", "kind"]].drop_duplicates().itertuples(index=False, name=None)
    assert sorted(kinds) == [
        ("perturbed", "base", "wrong_result"),
        ("policy", "base", "misreading"),
        ("policy", "sft", "misreading"),
    ]
    for key, (row,) in ((key, rows.itertuples()) for key, rows in table.groupby(keys)):
        rows = located_rows(study, **dict(zip([*keys[:1], "source", *keys[2:]], key, strict=True)))
        assert row.hit_at_1 == pytest.approx(hit_rate(rows), abs=1e-4)
        assert row.n == len(rows) / row.n_seeds
    assert_intervals(table, hit_at_1="")


def test_the_headline_is_read_from_the_tables(study):
    main = tables.main(study, ["base", "airl", "airl_dense"], [1, 3], RESAMPLES)
    quality = reward_quality.table(study, RESAMPLES)
    quality.loc[quality["backbone"] == "llama", "auroc"] = np.nan
    located = tables.localisation(study, RESAMPLES)
    found = json.loads(json.dumps(tables.headline(main, quality, located), allow_nan=False))
    assert found["reward AUROC"]["llama"] == {}
    assert set(found["reward AUROC"]["qwen2"]) == {"airl", "airl_dense"}
    row = main.query("backbone == 'qwen2' and method == 'airl' and k == 1").iloc[0]
    assert found["pass@1"]["qwen2"]["airl"] == row["pass_at_k"]
    row = quality.query("backbone == 'qwen2' and variant == 'airl_dense'").iloc[0]
    assert found["reward AUROC"]["qwen2"]["airl_dense"] == row["auroc"]
    assert found["reward AUROC within problems"]["qwen2"]["airl_dense"] == row["auroc_within"]
    assert found["best of all samples"]["qwen2"]["airl_dense"] == row["reranked"]
    row = located.query("backbone == 'llama' and detector == 'reward' and error_source == 'policy'").iloc[0]
    assert found["first wrong step found"]["llama"] == {"airl": row["hit_at_1"]}


def test_calibration_counts_every_trace(study):
    table = tables.calibration(study)
    counts = study.scores[study.scores["policy"] == "base"].groupby(["backbone", "variant"]).size()
    assert table.groupby(["backbone", "variant"])["n"].sum().to_dict() == counts.to_dict()


def test_correlations_are_symmetric(study):
    for matrix in tables.correlations(study).values():
        assert np.allclose(matrix, matrix.T, equal_nan=True)
        assert matrix.loc["reward", "reward"] == matrix.loc["correct", "correct"] == 1


def test_published_numbers_are_the_papers():
    table = published.table()
    row = table.query(
        "experiment == 'main' and backbone == 'Qwen2.5-7B' and method == 'airl_dense' and k == 1"
    )
    assert row["value"].tolist() == [0.71]
    assert table["source"].str.startswith("published, arXiv 2510.01857").all()
    assert len(table) == 4 * 3 * 4 + 6 + 4 * 6 + 3


def test_a_table_is_written_with_four_decimals(tmp_path):
    tables.write(pd.DataFrame({"a": [1, 2], "b": [1 / 3, np.nan]}), "t", tmp_path)
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,0.3333\n2,\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_samples_are_refused(study):
    lost = study._replace(samples=study.samples.drop(index=0))
    with pytest.raises(ValueError, match="sample and score again"):
        tables.main(lost, synthetic.METHODS, [1], RESAMPLES)


def test_a_score_without_its_sample_is_refused(tmp_path):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=3, samples=2)
    path = tmp_path / "scores" / "qwen2.jsonl.gz"
    rows = synthetic.read_rows(path)
    synthetic.write_rows(path, [*rows, rows[0] | {"problem": 99}])
    with pytest.raises(ValueError, match="no sample 0 of problem 99"):
        records.load(tmp_path)


def test_rewards_and_policies_away_from_home_are_read_as_they_were_written(results, study):
    for backbone in ("llama", "qwen2"):
        rows = synthetic.read_rows(results / "transfer" / f"{backbone}.jsonl.gz")
        found = study.transfer[study.transfer["backbone"] == backbone].drop(columns="backbone")
        key = ["problem", "sample", "seed", "tested_on"]
        expected = pd.DataFrame(rows).sort_values(key, ignore_index=True)
        pd.testing.assert_frame_equal(found.sort_values(key, ignore_index=True)[expected.columns], expected)
    for (backbone, method, seed), found in study.long.groupby(["backbone", "method", "seed"]):
        rows = synthetic.read_rows(results / "runs" / backbone / method / f"seed{seed}" / "long.jsonl.gz")
        assert found["correct"].tolist() == [row["correct"] for row in rows]
    assert list(dict.fromkeys(study.long["method"])) == list(synthetic.METHODS)


@pytest.mark.parametrize("lost, named", [("transfer/*", "transfer: no"), ("runs/*/*/*/l*z", "runs: no long")])
def test_records_without_the_transfer_say_what_to_run(tmp_path, lost, named):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=2, samples=2)
    for path in tmp_path.glob(lost):
        path.unlink()
    with pytest.raises(ValueError, match=f"{named}.*make them with `dvc repro`"):
        records.load(tmp_path)


def test_an_empty_directory_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="dvc repro"):
        records.load(tmp_path)


def test_a_policy_sampled_once_is_shared_by_all_seeds(tmp_path):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=2, problems=3, samples=2)
    once = tmp_path / "runs" / "qwen2" / "base"
    for file in (once / "seed1").iterdir():
        file.unlink()
    (once / "seed1").rmdir()
    scores = records.load(tmp_path).scores.query("policy == 'base' and variant == 'airl_dense'")
    first, second = (scores[scores["seed"] == seed]["text"].tolist() for seed in (0, 1))
    assert first == second
