"""The quality of rewards against values counted by hand from the records."""

import itertools
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lib.data import demonstrations, reading, world
from lib.data.wording import EXPERT_STYLES, Style
from lib.evaluation import baselines, records, reward_quality, tables
from lib.text import traces
from tests import synthetic

RESAMPLES = 50


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    synthetic.write(directory, seeds=2, problems=16, samples=4)
    return directory


@pytest.fixture(scope="module")
def study(directory) -> records.Records:
    return records.load(directory)


def expert_traces(directory: Path) -> list[str]:
    return [row.trace for row in demonstrations.read_jsonl(directory / "data" / "test.jsonl")]


@pytest.fixture(scope="module")
def table(study, directory) -> pd.DataFrame:
    return reward_quality.table(study, expert_traces(directory), RESAMPLES)


def test_reward_quality_is_the_mean_of_the_seeds(study, table):
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    by_seed = [(roc_auc_score(s["correct"], s["reward"]), s["reward"].corr(s["correct"].astype(float)))
               for _, s in scores.groupby("seed")]  # fmt: skip
    row = table.query("backbone == 'qwen2' and variant == 'airl'").iloc[0]
    assert (row.auroc, row.corr_correct) == pytest.approx(np.mean(by_seed, axis=0), abs=1e-4)
    best = scores.sort_values("reward").groupby(["seed", "problem"]).last()
    assert (row.reranked, row.random) == pytest.approx((best.correct.mean(), scores.correct.mean()), abs=1e-4)
    assert {"backbone", "variant", "auroc", "ece", "corr_correct", "corr_format"} <= set(table.columns)
    named = (
        "auroc_within", "auroc_within_style", "auroc_across_style", "ece", "corr_correct", "corr_format",
        "corr_style", "corr_style_right", "reranked", "lowest_last",
    )  # fmt: skip
    for name, prefix in {"auroc": "", **{name: f"{name}_" for name in named}}.items():
        defined = table[table[name].notna()]
        assert len(defined) and (defined[f"{prefix}ci_low"] <= defined[f"{prefix}ci_high"]).all()
    rule = table["variant"].isin([*baselines.RULES, reward_quality.STYLE])  # of a base policy that ran once
    assert (table["n_seeds"] == np.where(rule, 1, 2)).all()


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


def test_samples_of_sft_are_judged_by_themselves(study, directory):
    found = reward_quality.table(study, expert_traces(directory), RESAMPLES, policy="sft")
    airl = study.scores.query("backbone == 'llama' and policy == 'sft' and variant == 'airl'")
    row = found.query("backbone == 'llama'").set_index("variant")
    assert row.loc["airl", "auroc_within"] == pytest.approx(
        pairs_within(airl.assign(score=airl["reward"])), abs=1e-4
    )
    lengths = airl.assign(score=-airl["n_tokens"])
    assert row.loc["length", "auroc_within"] == pytest.approx(pairs_within(lengths), abs=1e-4)
    assert row.loc["length", "n_seeds"] == 2  # each seed has an SFT policy of its own
    assert "base_logprob" not in row.index  # the base policy did not read them


def test_a_rule_has_no_probability_and_no_steps(table):
    rules = table[table["variant"].isin(baselines.RULES)]
    assert len(rules) == 4
    assert rules[["ece", "lowest_last"]].isna().all(axis=None)
    assert rules[["auroc", "auroc_within", "corr_correct", "reranked"]].notna().all(axis=None)


def test_a_rules_rows_are_those_of_a_base_policy_that_ran_twice_too(study, directory):
    """Of a base policy with a run a seed, a rule has as many seeds."""
    first = study.scores.query("seed == 0")
    twice = pd.concat([first, first.assign(seed=1, sample_seed=1)])
    table = reward_quality.table(study._replace(scores=twice), expert_traces(directory), RESAMPLES)
    assert (table["n_seeds"] == 2).all() and set(table["variant"]) >= {"airl", *baselines.RULES}


def test_lowest_last_is_of_wrong_traces_with_two_steps_or_more(study, table):
    scores = study.scores.query("backbone == 'qwen2' and variant == 'airl' and policy == 'base'")
    by_seed: dict[int, list[bool]] = {}
    for row in scores.itertuples():
        steps = len(traces.parse(row.text).steps)
        if not row.correct and steps >= 2:
            falls = [before - after for before, after in itertools.pairwise(row.unit_reward)]
            at = falls.index(max(falls))  # the synthetic rewards have no ties
            by_seed.setdefault(row.seed, []).append(at in (steps - 1, steps))
    row = table.query("backbone == 'qwen2' and variant == 'airl'").iloc[0]
    assert row.lowest_last == pytest.approx(np.mean([np.mean(v) for v in by_seed.values()]), abs=1e-4)


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
    assert reward_quality.lowest_last(rows, RESAMPLES)[0] == pytest.approx(share, nan_ok=True)


def test_one_class_alone_has_no_auroc(tmp_path):
    synthetic.write(tmp_path, backbones=("qwen2",), seeds=1, problems=4, samples=2, skill=1.0)
    table = reward_quality.table(records.load(tmp_path), expert_traces(tmp_path), RESAMPLES)
    undefined = ["auroc", "auroc_within", "auroc_within_style", "auroc_across_style", "lowest_last"]
    undefined += ["corr_correct", "corr_style", "corr_style_right"]  # all are experts' own traces
    assert table[undefined].isna().all(axis=None)
    tables.write(table, "reward_quality", tmp_path)
    assert pd.read_csv(tmp_path / "reward_quality.csv")["auroc"].isna().all()


# Style: traces of the world whose style and sense are known, since they are written here

IN_STYLE, PLAIN_NUMBERED, OTHER = Style("spaced"), Style("spaced", lead="numbered"), Style("words")


def writings(n: int, styles: tuple[Style, ...]) -> tuple[list[str], pd.DataFrame]:
    """Experts of n problems, and of each a right and a wrong trace in every style."""
    rng, experts, rows = random.Random(0), [], []
    while len(experts) < n:
        problem = world.generate(rng, rng.choice(list(world.FAMILIES)), 2)
        expert = world.expert(problem)[0]
        written = [
            (right, style, world.solve(problem, [not right] * 2, style, rng)[0])
            for right, style in itertools.product((True, False), styles)
        ]
        if any((reading.first_wrong_unit(text, expert) is None) != right for right, _, text in written):
            continue  # both readings lead to the same answer
        for sample, (right, style, text) in enumerate(written):
            where = {"problem": len(experts), "sample": sample}
            rows.append({**where, "text": text, "correct": right, "style": style})
        experts.append(expert)
    return experts, pd.DataFrame(rows)


def judged_by(study, samples: pd.DataFrame, **rewards) -> records.Records:
    """The samples as a base policy's that ran once, with the reward of each variant."""
    shared = samples.assign(
        backbone="qwen2", policy="base", seed=0, sample_seed=0, well_formed=True, n_tokens=9, logprob=-1.0,
        logit=0.0, unit_reward=None,
    )  # fmt: skip
    scores = [shared.assign(variant=variant, reward=reward) for variant, reward in rewards.items()]
    return study._replace(scores=pd.concat(scores, ignore_index=True))


def test_a_reward_of_style_alone_and_one_of_correctness_alone_by_hand(study):
    """Of each problem a right and a wrong trace, in an expert's style and in another: four pairs."""
    experts, samples = writings(6, (IN_STYLE, OTHER))
    style, right = ((samples["style"] == IN_STYLE).astype(float), samples["correct"].astype(float))
    judged = judged_by(study, samples, styled=style, right=right, both=right + 2 * style)
    table = reward_quality.table(judged, experts, RESAMPLES).set_index("variant")
    columns = ["auroc_within", "auroc_within_style", "auroc_across_style"]
    columns += ["corr_correct", "corr_style", "corr_style_right"]
    expected = {
        "styled": [0.5, 0.5, 0.0, 0.0, 1.0, 1.0],
        reward_quality.STYLE: [0.5, 0.5, 0.0, 0.0, 1.0, 1.0],
        "right": [1.0, 1.0, 1.0, 1.0, 0.0, np.nan],
        # right and styled 3, wrong and styled 2, right 1, wrong 0: of four pairs that of 1 and 2 is lost
        "both": [0.75, 1.0, 0.0, 1 / 5**0.5, 2 / 5**0.5, 1.0],
    }
    for variant, values in expected.items():
        assert table.loc[variant, columns].tolist() == pytest.approx(values, abs=1e-4, nan_ok=True)


def test_pairs_across_and_within_styles_match_the_enumeration(study):
    """One of the styles has an expert's wording, but numbers its lines, which no expert does."""
    styles = (IN_STYLE, PLAIN_NUMBERED, OTHER)
    assert [style in EXPERT_STYLES for style in styles] == [True, False, False]
    experts, samples = writings(8, styles)
    rng = random.Random(1)
    rewards = [rng.choice([0.0, 1.0, 2.0]) for _ in range(len(samples))]  # with ties
    judged = judged_by(study, samples, any=rewards)
    row = reward_quality.table(judged, experts, RESAMPLES).set_index("variant").loc["any"]
    samples = samples.assign(reward=rewards)
    chosen = {
        "auroc_within_style": lambda right, wrong: right.style.wording == wrong.style.wording,
        "auroc_across_style": lambda right, wrong: (right.style != IN_STYLE) and (wrong.style == IN_STYLE),
    }
    for name, is_pair in chosen.items():
        shares = []
        for _, of_problem in samples.groupby("problem"):
            right, wrong = (list(of_problem[of_problem["correct"] == k].itertuples()) for k in (True, False))
            pairs = [(r, w) for r, w in itertools.product(right, wrong) if is_pair(r, w)]
            shares.append(np.mean([(r.reward > w.reward) + (r.reward == w.reward) / 2 for r, w in pairs]))
        assert row[name] == pytest.approx(np.mean(shares), abs=1e-4)
    assert row["problems_across_style"] == 8
    styled = (samples["style"] == IN_STYLE).astype(float)
    only_right = samples["correct"]
    for name, kept in (("corr_style", only_right | True), ("corr_style_right", only_right)):
        expected = np.corrcoef(samples["reward"][kept], styled[kept])[0, 1]
        assert row[name] == pytest.approx(expected, abs=1e-4)


OF_STYLE = ["auroc_across_style", "corr_style", "corr_style_right"]


def test_without_a_sample_in_an_experts_style_nothing_is_said_of_it(study):
    experts, samples = writings(4, (PLAIN_NUMBERED, OTHER))
    judged = judged_by(study, samples, right=samples["correct"].astype(float))
    table = reward_quality.table(judged, experts, RESAMPLES).set_index("variant")
    assert table[OF_STYLE].isna().all(axis=None)
    assert table.loc["right", ["auroc_within", "auroc_within_style"]].tolist() == [1.0, 1.0]


def test_without_experts_of_the_world_there_are_no_styles(study):
    table = reward_quality.table(study, [], RESAMPLES)
    assert table[["auroc_across_style", "corr_style"]].isna().all(axis=None)
    assert reward_quality.STYLE not in set(table["variant"]) and table["auroc"].notna().all()
