"""Tables against values counted by hand from the records, and the contract of their columns."""

import itertools
import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lib.data import demonstrations
from lib.evaluation import published, records, reward_quality, tables
from tests import synthetic

RESAMPLES = 50
REWARDS = tuple(filter(synthetic.adversarial, synthetic.METHODS))


def rows_of(results, backbone, method, seed, file="samples"):
    return synthetic.read_rows(results / "runs" / backbone / method / f"seed{seed}" / f"{file}.jsonl.xz")


def expert_traces(results) -> list[str]:
    return [row.trace for row in demonstrations.read_jsonl(results / "data" / "test.jsonl")]


def assert_intervals(table: pd.DataFrame, **prefixes: str) -> None:
    for estimate, prefix in prefixes.items():
        low, high = table[f"{prefix}ci_low"], table[f"{prefix}ci_high"]
        defined = table[estimate].notna()
        assert (low[defined] <= high[defined]).all()
    assert table["n_seeds"].ge(1).all()


def test_main_is_the_share_of_subsets_with_a_right_sample(results, study):
    table = tables.main(study, synthetic.METHODS, [1, 3, 10], RESAMPLES)
    columns = ["backbone", "method", "temperature", "k", "pass_at_k", "ci_low", "ci_high", "n_seeds"]
    assert list(table.columns) == columns
    assert list(dict.fromkeys(table["method"])) == sorted(synthetic.METHODS, key=records.METHOD_ORDER.index)
    assert list(dict.fromkeys(table["temperature"])) == ["validation", "greedy", "1.0"]
    ks = table.groupby("temperature")["k"].agg(set).to_dict()
    assert ks == {"validation": {1, 3}, "greedy": {1}, "1.0": {1, 3}}  # ten of four samples there are not
    assert not table.duplicated(["backbone", "method", "temperature", "k"]).any()
    assert (table["n_seeds"] == np.where(table["method"] == "base", 1, 2)).all()
    assert_intervals(table, pass_at_k="")


@pytest.mark.parametrize("temperature, k", [("validation", 2), ("greedy", 1), ("1.0", 2)])
def test_main_is_of_the_samples_of_its_temperature(results, study, temperature, k):
    method, shares = "airl_no_perturbation", []
    for seed in range(2):
        rows = rows_of(results, "llama", method, seed, "samples" if temperature == "1.0" else "tempered")
        rows = [row for row in rows if row.get("temperature", "1.0") == temperature]
        for problem in range(8):
            right = [row["correct"] for row in rows if row["problem"] == problem]
            shares.append(np.mean([any(subset) for subset in itertools.combinations(right, k)]))
    table = tables.main(study, [method], [k], RESAMPLES)
    row = table.query("backbone == 'llama' and temperature == @temperature and k == @k").iloc[0]
    assert row.pass_at_k == pytest.approx(np.mean(shares), abs=1e-4)
    assert table.query("backbone == 'llama'")["pass_at_k"].nunique() > 1  # the temperatures differ


def test_the_samples_of_training_stand_beside_those_of_other_temperatures(results, study):
    """Every sample once, with the answer that was graded at that temperature."""
    expected = set()
    for backbone, method, seed in study.runs[["backbone", "method", "seed"]].itertuples(index=False):
        at_training = [{"temperature": "1.0", **r} for r in rows_of(results, backbone, method, seed)]
        for row in at_training + rows_of(results, backbone, method, seed, "tempered"):
            kept = (row[name] for name in ("temperature", "problem", "sample", "correct"))
            expected.add((backbone, method, seed, *kept))
    columns = ["backbone", "method", "seed", "temperature", "problem", "sample", "correct"]
    found = list(tables.at_temperatures(study)[columns].itertuples(index=False, name=None))
    assert set(found) == expected and len(found) == len(expected)


def test_calibration_is_of_the_logit_and_not_of_the_reward(results, study):
    """The reward may be a log-density, whose sigmoid means nothing."""
    other = study._replace(scores=study.scores.assign(reward=study.scores["reward"] - 50))
    pd.testing.assert_frame_equal(tables.calibration(other), tables.calibration(study))
    columns = ["ece", "ece_ci_low", "ece_ci_high"]
    experts = expert_traces(results)
    found, expected = (reward_quality.table(of, experts, RESAMPLES)[columns] for of in (other, study))
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


def hit_rate(rows, threshold: str) -> float:
    """How often the first score above the threshold, or else the largest, is the first wrong unit's."""
    hits = []
    for r in rows:  # the synthetic scores have no ties
        level = r.thresholds.get(threshold, np.inf)
        above = [unit for unit, score in enumerate(r.unit_scores) if score > level]
        pointed = above[0] if above else np.argmax(r.unit_scores)
        hits.append((r.seed, pointed == r.first_wrong_unit))
    return of_all_traces(hits)


def of_all_traces(values: list[tuple[int, float]]) -> float:
    """The mean of the seeds' means, of (seed, value of a trace)."""
    by_seed: dict[int, list[float]] = {}
    for seed, value in values:
        by_seed.setdefault(seed, []).append(value)
    return np.mean([np.mean(of_seed) for of_seed in by_seed.values()])


def test_localisation_is_judged_on_the_same_traces(study):
    table = tables.localisation(tables.without(study, ["reference"]), RESAMPLES)
    key = ["backbone", "error_source", "policy", "detector", "variant", "threshold"]
    assert not table.duplicated(key).any()
    told = set(zip(table["detector"], table["variant"], strict=True))
    assert told == {
        ("logprob", ""),
        ("entropy", ""),
        ("chance", ""),
        ("first_unit", ""),
        ("likelihood", "likelihood"),
    } | {("reward", name) for name in REWARDS if name != "likelihood"}  # and no ablation
    detected = table[~table["detector"].isin(["chance", "first_unit"])]
    known = detected.groupby(["error_source", "policy"])["threshold"].agg(set).to_dict()
    assert known == {
        ("perturbed", "base"): {"none", "perturbed"},
        ("policy", "base"): {"none", "perturbed", "oracle"},
        ("policy", "sft"): {"none", "perturbed", "oracle"},
    }
    of_base = table[table["policy"] == "base"]
    assert (of_base.groupby(["backbone", "error_source"])["n"].nunique() == 1).all()
    for row in detected.itertuples():
        where = {"backbone": row.backbone, "policy": row.policy, "source": row.error_source}
        of_reward = {"detector": "reward" if row.variant else row.detector, "variant": row.variant}
        rows = located_rows(study, **where, **of_reward)
        assert row.hit_at_1 == pytest.approx(hit_rate(rows, row.threshold), abs=1e-4)
        by_seed = Counter(r.seed for r in rows)
        assert (row.n, row.n_seeds) == (round(np.mean([*by_seed.values()])), len(by_seed))
    assert_intervals(table, hit_at_1="")


def test_chance_points_at_any_unit_of_the_traces_that_the_reward_judges(study):
    chances = tables.localisation(study, RESAMPLES).query("detector == 'chance'")
    assert len(chances) == 2 * 3 and set(chances["threshold"]) == {"none"}
    for row in chances.itertuples():
        where = {"backbone": row.backbone, "policy": row.policy, "source": row.error_source}
        rows = located_rows(study, **where, variant="airl")
        expected = of_all_traces([(r.seed, 1 / len(r.unit_scores)) for r in rows])
        assert (row.hit_at_1, row.chance) == pytest.approx((expected, expected), abs=1e-4)


def test_always_the_first_step_is_a_detector_too(study):
    rows = tables.localisation(study, RESAMPLES).query("detector == 'first_unit'")
    assert len(rows) == 2 * 3
    for row in rows.itertuples():
        where = {"backbone": row.backbone, "policy": row.policy, "source": row.error_source}
        rows = located_rows(study, **where, variant="airl")
        expected = of_all_traces([(r.seed, r.first_wrong_unit == 0) for r in rows])
        assert row.hit_at_1 == pytest.approx(expected, abs=1e-4)


def test_a_hit_is_the_first_unit_above_the_threshold_or_else_the_largest_by_hand():
    """Levels 1 and 2.5: `perturbed` and `oracle` of each row."""
    scores = [[0.5, 1.5, 3.0], [0.5, 1.5, 3.0], [0.2, 0.9, 0.3], [2.0, 1.0, 2.0], [4.0, 5.0]]
    rows = pd.DataFrame({"unit_scores": scores, "first_wrong_unit": [1.0, 2.0, 1.0, 0.0, 1.0]})
    rows["thresholds"] = [{"perturbed": 1.0, "oracle": 2.5}] * len(scores)
    assert tables.thresholds(rows) == ("none", "perturbed", "oracle")
    assert tables.hits(rows, "none").tolist() == [0, 1, 1, 0.5, 1]  # two largest share the hit
    assert tables.hits(rows, "perturbed").tolist() == [1, 0, 1, 1, 0]  # the third: none above, so the largest
    assert tables.hits(rows, "oracle").tolist() == [0, 1, 1, 0.5, 0]


def test_localisation_by_kind_adds_the_papers_reward_and_the_errors_of_sft(study):
    table = tables.localisation_by_kind(study, RESAMPLES)
    keys = ["backbone", "error_source", "policy", "kind", "detector", "variant"]
    assert not table.duplicated(keys).any()
    assert set(table["variant"]) == {"", "airl", "airl_dense", "likelihood"}
    kinds = table[["error_source", "policy", "kind"]].drop_duplicates().itertuples(index=False, name=None)
    assert sorted(kinds) == [
        ("perturbed", "base", "wrong_result"),
        ("policy", "base", "misreading"),
        ("policy", "sft", "misreading"),
    ]
    for key, (row,) in ((key, rows.itertuples()) for key, rows in table.groupby(keys)):
        rows = located_rows(study, **dict(zip([*keys[:1], "source", *keys[2:]], key, strict=True)))
        assert row.hit_at_1 == pytest.approx(hit_rate(rows, "perturbed"), abs=1e-4)
        assert row.n == round(np.mean([*Counter(r.seed for r in rows).values()]))
    assert_intervals(table, hit_at_1="")


def test_the_headline_is_read_from_the_tables(results, study):
    main = tables.main(study, ["base", "airl", "airl_dense"], [1, 3], RESAMPLES)
    quality = reward_quality.table(study, expert_traces(results), RESAMPLES)
    quality.loc[quality["backbone"] == "llama", "auroc_within"] = np.nan
    located = tables.localisation(study, RESAMPLES)
    found = json.loads(json.dumps(tables.headline(main, quality, located), allow_nan=False))
    assert found["reward AUROC within problems"]["llama"] == {}
    assert set(found["reward AUROC within problems"]["qwen2"]) == {"airl", "airl_dense"}
    for name, temperature in (("pass@1", "validation"), ("pass@1, greedily", "greedy")):
        rows = main.query(f"backbone == 'qwen2' and temperature == '{temperature}' and k == 1")
        assert found[name]["qwen2"] == rows.set_index("method")["pass_at_k"].to_dict()
    row = quality.query("backbone == 'qwen2' and variant == 'airl_dense'").iloc[0]
    assert found["reward AUROC within problems"]["qwen2"]["airl_dense"] == row["auroc_within"]
    assert found["best of all samples"]["qwen2"]["airl_dense"] == row["reranked"]
    rows = located.query(
        "backbone == 'llama' and error_source == 'policy' and policy == 'base' and threshold == 'perturbed' "
        "and detector == 'reward' and variant in ['airl', 'airl_dense']"
    )
    assert len(rows) == 2
    assert found["first wrong step found"]["llama"] == rows.set_index("variant")["hit_at_1"].to_dict()


def test_the_headlines_likelihood_is_found_under_its_own_detector(results, study):
    main = tables.main(study, ["likelihood"], [1], RESAMPLES)
    located = tables.localisation(study, RESAMPLES)
    quality = reward_quality.table(study, expert_traces(results), RESAMPLES)
    row = located.query(
        "backbone == 'qwen2' and error_source == 'policy' and policy == 'base' and threshold == 'perturbed' "
        "and detector == 'likelihood'"
    ).iloc[0]
    found = tables.headline(main, quality, located)["first wrong step found"]["qwen2"]
    assert found == {"likelihood": row["hit_at_1"]}


def test_calibration_counts_every_trace(study):
    table = tables.calibration(study)
    counts = study.scores[study.scores["policy"] == "base"].groupby(["backbone", "variant"]).size()
    assert table.groupby(["backbone", "variant"])["n"].sum().to_dict() == counts.to_dict()


def test_correlations_are_symmetric(study):
    for matrix in tables.correlations(study).values():
        assert np.allclose(matrix, matrix.T, equal_nan=True)
        assert matrix.loc["reward", "reward"] == matrix.loc["correct", "correct"] == 1


def test_departures_from_the_paper_tell_what_the_parameters_say(settings):
    changed = settings.airl.model_copy(update={"steps": 77, "group_size": 5, "start": "base"})
    table = published.departures(settings.model_copy(update={"airl": changed})).set_index("what")
    assert table.loc["steps"].tolist() == ["500", "77"]
    assert table.loc["samples a question"].tolist() == ["16", "5"]
    assert table.loc["policy starts from"].tolist() == ["base", "base"]
    assert table.loc["top-p"].tolist() == ["0.95", "1.0"]


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
    path = tmp_path / "runs" / "qwen2" / "airl" / "seed0" / "scores.jsonl.xz"
    rows = synthetic.read_rows(path)
    synthetic.write_rows(path, [*rows, rows[0] | {"problem": 99}])
    with pytest.raises(ValueError, match="no sample 0 of problem 99"):
        records.load(tmp_path)


def as_written(results, backbone: str, file: str) -> pd.DataFrame:
    """The rows of a file of all of a backbone's runs."""
    paths = sorted(results.glob(f"runs/{backbone}/*/*/{file}.jsonl.xz"))
    assert paths
    return pd.concat([pd.DataFrame(synthetic.read_rows(path)) for path in paths])


def assert_same_rows(found: pd.DataFrame, expected: pd.DataFrame, key: list[str]) -> None:
    """The same values under each key, whatever the order."""
    assert not expected.duplicated(key).any()
    found, expected = (rows.sort_values(key, ignore_index=True) for rows in (found, expected))
    pd.testing.assert_frame_equal(found[expected.columns], expected)


def test_what_rewards_say_is_read_as_their_runs_wrote_it(results, study):
    for backbone in ("llama", "qwen2"):
        here = study.transfer[study.transfer["backbone"] == backbone]
        key = ["variant", "seed", "tested_on", "problem", "sample"]
        assert_same_rows(here, as_written(results, backbone, "transfer"), key)
        here = study.scores[study.scores["backbone"] == backbone]
        expected = as_written(results, backbone, "scores")[
            ["variant", "seed", "policy", "problem", "sample", "reward"]
        ]
        assert_same_rows(here, expected, list(expected.columns[:-1]))


def test_the_detectors_without_a_reward_are_read_beside_the_rewards(results, study):
    for backbone in ("llama", "qwen2"):
        shared = synthetic.read_rows(results / "localisation" / f"{backbone}.jsonl.xz")
        expected = pd.concat([pd.DataFrame(shared), as_written(results, backbone, "localisation")])
        key = ["variant", "seed", "detector", "policy", "source", "problem", "sample"]
        here = study.localisation[study.localisation["backbone"] == backbone]
        assert_same_rows(here, expected, key)
        assert set(pd.DataFrame(shared)["detector"]) == {"logprob", "entropy"}


def test_policies_away_from_home_are_read_as_they_were_written(results, study):
    for name in ("long", "tempered"):
        frame = getattr(study, name)
        assert set(frame["method"]) == {*synthetic.METHODS, "reference"}
        for (backbone, method, seed), found in frame.groupby(["backbone", "method", "seed"]):
            rows = rows_of(results, backbone, method, seed, name)
            for column in ("temperature", "problem", "sample", "correct"):
                assert found[column].tolist() == [row[column] for row in rows]


@pytest.mark.parametrize("lost", ["scores", "localisation", "transfer"])
def test_records_without_a_rewards_file_say_what_to_run(tmp_path, lost):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=2, samples=2)
    for path in tmp_path.glob(f"runs/*/*/*/{lost}.jsonl.xz"):
        path.unlink()
    with pytest.raises(ValueError, match=f"runs: no {lost}.jsonl.xz; make them with `dvc repro`"):
        records.load(tmp_path)


@pytest.mark.parametrize("lost", ["samples", "tempered", "long"])
def test_a_run_that_lacks_samples_is_named_with_its_stage(tmp_path, lost):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=2, samples=2)
    (tmp_path / "runs" / "qwen2" / "sft" / "seed0" / f"{lost}.jsonl.xz").unlink()
    message = f"sft/seed0/{lost}.jsonl.xz: no such file; run `dvc repro`, whose stage sft makes it"
    with pytest.raises(ValueError, match=re.escape(message)):
        records.load(tmp_path)


def test_an_empty_directory_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="dvc repro"):
        records.load(tmp_path)


def test_a_policy_sampled_once_is_shared_by_all_seeds(results, study):
    """The base policy ran once, so both seeds' rewards judge the same samples; SFT's are each seed's own."""
    assert set(study.samples.query("method == 'base'")["seed"]) == {0}
    for policy in ("base", "sft"):
        scores = study.scores.query("policy == @policy and variant == 'airl_dense' and backbone == 'qwen2'")
        first, second = (scores[scores["seed"] == seed]["text"].tolist() for seed in (0, 1))
        assert (first == second) == (policy == "base")
        written = [row["text"] for row in rows_of(results, "qwen2", policy, 0 if policy == "base" else 1)]
        assert second == written
