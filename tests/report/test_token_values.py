"""Values of tokens: by hand, and against the records they are read from."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from lib.airl import credit
from lib.data import demonstrations
from lib.evaluation import records
from lib.report import token_values
from lib.study import params
from lib.text import traces
from tests import synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory, settings_of_two):
    root = tmp_path_factory.mktemp("study") / "results"
    how = {"methods": synthetic.TINY, "token_records": 4}
    synthetic.write(root, ("qwen2", "llama"), seeds=2, problems=6, **how)
    return root, demonstrations.read_jsonl(root / "data" / "test.jsonl")


@pytest.fixture(scope="module")
def settings_of_two():
    tree = params.apply_profile(ROOT / "params.yaml", "tiny") | {"policies": ["qwen2", "llama"]}
    return params.validate(tree, "params.yaml")


@pytest.fixture(scope="module")
def collected(study, settings_of_two):
    root, problems = study
    return token_values.collect(records.load(root), problems, settings_of_two)


def airl(settings, **changes):
    return settings.airl_variant("airl_dense").model_copy(update=changes)


def test_reward_and_ratio_by_hand(settings_of_two):
    rewards, logprobs = [-1.0, -1.5, -4.0], [-0.5, -0.5, -3.0]
    logit = airl(settings_of_two, credit="discounted", reward="logit")
    assert token_values.reward_and_ratio(rewards, logprobs, logit) == (rewards, [-1.0, -0.5, -2.5])
    density = airl(settings_of_two, credit="stepwise", reward="log_density")
    # what each token adds, and that minus the policy's
    assert token_values.reward_and_ratio(rewards, logprobs, density) == (
        [-1.0, -0.5, -2.5],
        [-0.5, 0.0, 0.5],
    )


def test_the_rewards_of_an_accumulating_one_sum_to_its_last(settings_of_two):
    rng = random.Random(0)
    rewards = list(np.cumsum([rng.gauss(0, 1) for _ in range(9)]))
    own, _ = token_values.reward_and_ratio(rewards, [0.0] * 9, airl(settings_of_two, credit="telescoped"))
    assert sum(own) == pytest.approx(rewards[-1])


def test_sparse_advantages_are_those_of_grpo(settings_of_two):
    texts = [
        "<think>\n1+1=2\n</think>\n<answer>2</answer>",
        "<think>\n1+1=3\n</think>\n<answer>3</answer>",
        "no",
    ]
    samples = [(text, synthetic.token_ends(text)) for text in texts]
    finals = [1.0, -2.0, 0.5]
    rewards = [[9.0] * (len(ends) - 1) + [final] for (_, ends), final in zip(samples, finals, strict=True)]
    for kind in ("discounted", "telescoped", "stepwise"):
        sparse = airl(settings_of_two, credit=kind, boundaries="sparse", reward_clip=100.0)
        values = token_values.advantages_of(rewards, samples, sparse)
        wanted = (np.array(finals) - np.mean(finals)) / (np.std(finals, ddof=1) + credit.EPSILON)
        assert [len(row) for row in values] == [len(row) for row in rewards]
        for row, advantage in zip(values, wanted, strict=True):
            assert row == pytest.approx([advantage] * len(row), abs=1e-4)


def test_a_step_has_one_advantage_where_rewards_sit_on_steps(settings_of_two):
    text = "<think>\n1+1=2\n2+2=5\n</think>\n<answer>5</answer>"
    ends = synthetic.token_ends(text)
    rng = random.Random(1)
    rewards = [[rng.gauss(0, 1) for _ in ends] for _ in range(3)]
    steps = airl(settings_of_two, credit="stepwise", boundaries="step")
    for row in token_values.advantages_of(rewards, [(text, ends)] * 3, steps):
        values = {round(value, 6) for value in row}
        assert len(values) == len(traces.unit_spans(text))


def test_one_sample_alone_has_no_advantage(settings_of_two):
    assert token_values.advantages_of([[1.0, 2.0]], [("ab", [1, 2])], airl(settings_of_two)) == [[0.0, 0.0]]


def all_scores(root) -> list[dict]:
    """What every reward of qwen2 says of samples."""
    paths = sorted((root / "runs" / "qwen2").rglob("scores.jsonl.xz"))
    return [row for path in paths for row in synthetic.read_rows(path)]


def test_what_is_shown_is_what_was_recorded(study, collected):
    root, problems = study
    assert [entry["question"] for entry in collected["problems"]] == [p.question for p in problems[:4]]
    table, checked = collected["tokens"], 0
    scored = all_scores(root)
    for i, entry in enumerate(collected["problems"]):
        for method, seeds in entry["traces"]["qwen2"].items():
            for seed, shown in seeds.items():
                rows = synthetic.read_rows(
                    root / "runs" / "qwen2" / method / f"seed{seed}" / "samples.jsonl.xz"
                )
                by_sample = {row["sample"]: row for row in rows if row["problem"] == i}
                for trace in shown:
                    row = by_sample[trace["sample"]]
                    assert "".join(table[token] for token in trace["tokens"]) == row["text"]
                    assert trace["right"] == row["correct"] and trace["wrong"] == row["first_wrong_unit"]
                    assert trace["expert"] == (row["text"] == problems[i].trace)
                    assert trace["logprob"] == [round(100 * v) for v in row["logprobs"]]
                    judges = {
                        score["variant"]: score
                        for score in scored
                        if (score["policy"], score["seed"]) == (method, int(seed))
                        and (score["problem"], score["sample"]) == (i, trace["sample"])
                    }
                    assert set(trace["rewards"]) == set(judges)
                    for variant, of in trace["rewards"].items():
                        assert of["score"] == round(judges[variant]["reward"], 2)
                        if variant == "airl_dense":
                            assert of["reward"] == [round(100 * v) for v in judges[variant]["rewards"]]
                    checked += 1
    assert checked > 30


def test_what_was_written_in_training_is_shown_step_by_step(study, collected, settings_of_two):
    root, problems = study
    data = token_values.collect(records.load(root), problems, settings_of_two, problems[:2])
    assert data["problems"][:4] == collected["problems"]
    watched = data["problems"][4:]
    assert [entry["question"] for entry in watched] == [p.question for p in problems[:2]]
    for i, entry in enumerate(watched):
        assert set(entry["traces"]["qwen2"]) == set(settings_of_two.variants)
        for variant, seeds in entry["traces"]["qwen2"].items():
            rows = synthetic.read_rows(root / "runs" / "qwen2" / variant / "seed0" / "watched.jsonl.xz")
            of = {(row["step"], row["sample"]): row for row in rows if row["problem"] == i}
            assert list(seeds) == ["0"]
            steps = [trace["step"] for trace in seeds["0"]]
            assert steps == sorted(steps) and set(steps) == set(synthetic.WATCHED_STEPS)
            for trace in seeds["0"]:
                row = of[trace["step"], trace["sample"]]
                assert "".join(data["tokens"][token] for token in trace["tokens"]) == row["text"]
                assert list(trace["rewards"]) == [variant]
                assert trace["rewards"][variant]["score"] == round(row["reward"], 2)
                if variant == "airl_dense":
                    shown = trace["rewards"][variant]["reward"]
                    assert shown == [round(100 * v) for v in row["rewards"]]


def test_the_tokens_of_a_unit_are_its_characters(collected):
    for entry in collected["problems"]:
        for trace in entry["traces"]["llama"]["base"]["0"]:
            pieces = [collected["tokens"][token] for token in trace["tokens"]]
            text = "".join(pieces)
            for (first, end), span in zip(trace["units"], traces.unit_spans(text), strict=True):
                assert "".join(pieces[first:end]) == text[slice(*span)]


def test_right_and_wrong_traces_are_shown_once_each_and_the_experts_own_if_it_was_written(study, collected):
    root, problems = study
    for i, entry in enumerate(collected["problems"]):
        for method, seeds in entry["traces"]["qwen2"].items():
            seed = max(seeds)  # the base policy has one
            path = root / "runs" / "qwen2" / method / f"seed{seed}" / "samples.jsonl.xz"
            rows = synthetic.read_rows(path)
            written = {row["text"]: row["correct"] for row in rows if row["problem"] == i}
            shown = seeds[seed]
            for right in (True, False):
                there = sum(correct == right for correct in written.values())
                assert sum(t["right"] == right for t in shown) == min(token_values.SHOWN, there)
            assert any(t["expert"] for t in shown) == (problems[i].trace in written)


def test_detectors_name_the_first_unit_above_their_threshold(study, collected):
    """The synthetic thresholds are all 0.5; a reward's score is its drop over the unit."""
    root, _ = study
    named = 0
    scored = all_scores(root)
    for policy, seed in (("base", "0"), ("sft", "1")):
        rows = synthetic.read_rows(root / "runs" / "qwen2" / policy / f"seed{seed}" / "samples.jsonl.xz")
        for i, entry in enumerate(collected["problems"]):
            for trace in entry["traces"]["qwen2"][policy][seed]:
                if trace["wrong"] is None:
                    assert trace["named"] == {}
                    continue
                here = (i, trace["sample"])
                (row,) = [row for row in rows if (row["problem"], row["sample"]) == here]
                scores = {"logprob": [-v for v in row["unit_logprob"]], "entropy": row["unit_entropy"]}
                for score in scored:
                    at = (score["problem"], score["sample"])
                    if (score["policy"], str(score["seed"]), at) == (policy, seed, here):
                        f = score["unit_reward"]
                        scores[score["variant"]] = [a - b for a, b in zip(f, f[1:], strict=False)]
                wanted = {
                    name: next((u for u, v in enumerate(values) if v > 0.5), values.index(max(values)))
                    for name, values in scores.items()
                }
                assert trace["named"] == wanted
                named += 1
    assert named > 3


@pytest.mark.parametrize(("share", "kept"), [(1.0, 1), (0.5, 1), (1.1, 1), (100.0, 4)])
def test_problems_beyond_the_budget_are_left_out_but_the_first(
    study, settings_of_two, monkeypatch, collected, share, kept
):
    root, problems = study
    size = len(json.dumps(collected["problems"][0]))
    monkeypatch.setattr(token_values, "BUDGET", int(share * size))
    data = token_values.collect(records.load(root), problems, settings_of_two)
    assert data["problems"] == collected["problems"][:kept]


def test_the_same_records_give_the_same_data(study, settings_of_two, collected):
    root, problems = study
    again = token_values.collect(records.load(root), problems, settings_of_two)
    assert json.dumps(again) == json.dumps(collected)
