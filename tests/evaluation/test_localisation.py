import functools
import random

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lib.data import reading, world
from lib.evaluation import localisation
from lib.models import likelihood, pretrained
from lib.reward import scoring
from lib.text import alignment, perturb, traces


def test_wrong_traces_point_at_the_unit_the_worlds_checker_finds(experts, sample_rows):
    rows = sample_rows
    wrong = localisation.wrong_traces(experts, rows, seed=0)
    perturbed = [w for w in wrong if w["source"] == "perturbed"]
    assert [(w["problem"], w["sample"]) for w in perturbed] == [(i, j) for i in range(12) for j in range(2)]
    for w in wrong:
        found = reading.first_wrong_unit(w["text"], experts[w["problem"]].trace)
        assert w["first_wrong_unit"] == found is not None
    assert {w["kind"] for w in perturbed} & {*perturb.PAPER} and {w["kind"] for w in perturbed} & {
        *perturb.CARRIED
    }
    assert {w["kind"] for w in wrong if w["source"] == "policy"} == {"arithmetic"}  # 1+1=3 beads
    policy = [w for w in wrong if w["source"] == "policy"]
    assert [(w["problem"], w["text"]) for w in policy] == [(r["problem"], r["text"]) for r in rows[1::2]]
    assert (
        localisation.wrong_traces(experts, rows, seed=0)
        == wrong
        != localisation.wrong_traces(experts, rows, seed=1)
    )


TRACE = "<think>\n4+3=7 beads\n7*2=14 beads\n</think>\n<answer>14</answer>"


@pytest.mark.parametrize("old, new, unit, kind", [
    ("7*2=14", "7+2=9", 1, "misreading"),
    ("4+3=7", "4+3=8", 0, "arithmetic"),
    ("7*2=14 beads", "so many beads", 1, "malformed"),
    ("<answer>14", "<answer>15", 2, "answer"),
    ("</think>\n<answer>14</answer>", "", 2, "answer"),
])  # fmt: skip
def test_kinds_of_errors_by_hand(old, new, unit, kind):
    assert TRACE.count(old) == 1
    assert localisation.error_kind(TRACE.replace(old, new), unit) == kind


@examples(max_examples=60)
@given(st.integers(0, 10**6))
def test_a_solver_who_only_misreads_makes_no_other_error(seed):
    """The world's solvers calculate right unless a quantity that is already wrong does not divide."""
    rng = random.Random(seed)
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 4))
    expert, text = world.expert(problem)[0], world.unreliable(problem, rng, malformed=0.0)
    unit = reading.first_wrong_unit(text, expert)
    if unit is not None:
        assert localisation.error_kind(text, unit) == "misreading" or "/" in text


def test_every_detector_scores_each_unit(reward_model, backbone, tokenizer, experts, settings):
    text = experts[0].trace.split("\n</think>")[0]  # cut off before its answer
    unit = reading.first_wrong_unit(text, experts[0].trace)
    cut_off = {"problem": 0, "sample": 0, "text": text, "first_wrong_unit": unit}
    wrong = localisation.wrong_traces(experts[:4], [cut_off], seed=0)
    model, _ = pretrained.load_backbone(backbone)
    by_reward = localisation.detect_by_reward(
        reward_model, tokenizer, experts, wrong, settings.airl, settings
    )
    by_likelihood = localisation.detect_by_likelihood(model, tokenizer, experts, wrong, settings)
    assert [row["detector"] for row in by_reward] == ["reward"] * len(wrong)
    assert [row["detector"] for row in by_likelihood] == ["logprob", "entropy"] * len(wrong)
    for i, trace in enumerate(wrong):
        for row in (by_reward[i], *by_likelihood[2 * i : 2 * i + 2]):
            assert trace.items() <= row.items()
            assert len(row["unit_scores"]) == len(traces.unit_spans(trace["text"])), row["detector"]


def test_a_reward_that_falls_points_at_the_unit_it_falls_over(monkeypatch, tokenizer, experts, settings):
    """f is 1 before the first wrong unit and -1 from there on: the detector cannot miss."""
    wrong = localisation.wrong_traces(experts, [], seed=0)
    first = {trace["text"]: trace["first_wrong_unit"] for trace in wrong}

    def score(_, tokenizer, questions, texts, reading, **__):
        return [
            {"unit_reward": [1.0] * (first[text] + 1) + [-1.0] * (len(traces.unit_spans(text)) - first[text])}
            for text in texts
        ]

    monkeypatch.setattr(scoring, "score_texts", score)
    for row in localisation.detect_by_reward(None, tokenizer, experts, wrong, settings.airl, settings):
        scores = row["unit_scores"]
        assert scores.index(max(scores)) == row["first_wrong_unit"]


def test_an_unlikely_token_points_at_its_unit(monkeypatch, tokenizer, experts, settings):
    wrong = localisation.wrong_traces(experts, [], seed=0)

    def values(_, tokenizer, prompts, completions, **__):
        """Every token is certain but the last of the wrong unit."""
        result = []
        for trace, ids in zip(wrong, completions, strict=True):
            struck = [u == trace["first_wrong_unit"] for u in alignment.units_of_tokens(tokenizer, ids)]
            last = len(ids) - 1 - struck[::-1].index(True)
            unlikely = [float(t == last) for t in range(len(ids))]
            result.append(([-9 * v for v in unlikely], [3 * v for v in unlikely]))
        return result

    monkeypatch.setattr(likelihood, "logprobs_and_entropies", values)
    detectors = localisation.DOUBTS
    for row in localisation.detect_by_likelihood(None, tokenizer, experts, wrong, settings, detectors):
        assert max(row["unit_scores"]) == {"likelihood": 9.0, "logprob": 9.0, "entropy": 3.0}[row["detector"]]
        assert row["unit_scores"].index(max(row["unit_scores"])) == row["first_wrong_unit"]


def _verdict(detector, source, scores, unit):
    return {"detector": detector, "source": source, "unit_scores": scores, "first_wrong_unit": unit}


def test_each_detector_gets_thresholds_from_perturbed_experts_and_from_errors_of_its_own():
    known = [
        _verdict("logprob", "policy", [0.1, 2.0, 3.0], 1),
        _verdict("logprob", "policy", [0.2, 0.1, 1.5], 2),
        _verdict("logprob", "perturbed", [3.0, 7.0, 8.0], 1),
        _verdict("entropy", "policy", [0.3, 0.4, 0.1], 1),
        _verdict("entropy", "policy", [0.35, 0.1, 0.1], 0),
        _verdict("entropy", "perturbed", [5.0, 6.0, 6.5], 1),
    ]
    asked = [("logprob", "policy"), ("entropy", "policy"), ("logprob", "perturbed")]
    rows = [_verdict(*key, [1.0, 9.0], 1) for key in asked]
    found = localisation.calibrated(rows, known)
    assert [{key: r[key] for key in rows[0]} for r in found] == rows
    logprob, entropy, perturbed = (r["thresholds"] for r in found)
    assert list(logprob) == list(entropy) == ["perturbed", "oracle"]
    assert 3.0 <= logprob["perturbed"] < 7.0
    assert 0.2 <= logprob["oracle"] < 2.0  # below, the second trace is missed; above, the first
    assert 5.0 <= entropy["perturbed"] < 6.0
    assert 0.3 <= entropy["oracle"]
    assert perturbed == {"perturbed": logprob["perturbed"]}  # of perturbed experts no label is hidden


def test_a_policys_labelled_errors_do_not_move_the_threshold_that_takes_no_label():
    rows = [_verdict("reward", "policy", [1.0, 9.0], 1)]
    perturbed = [_verdict("reward", "perturbed", [3.0, 7.0, 8.0], 1)]
    of_levels = [
        localisation.calibrated(rows, [*perturbed, _verdict("reward", "policy", [s, s + 1, s + 2], 1)])
        for s in (0.0, 100.0)
    ]
    first, second = (found[0]["thresholds"] for found in of_levels)
    assert first["perturbed"] == second["perturbed"] and first["oracle"] != second["oracle"]


@pytest.mark.parametrize("known, lacking", [("perturbed", "policy"), ("policy", "perturbed")])
def test_errors_of_a_source_without_a_known_one_are_named(known, lacking):
    shown = [_verdict("reward", known, [0.0, 1.0], 1), _verdict("entropy", lacking, [0.0, 1.0], 1)]
    with pytest.raises(ValueError, match=f"no known errors of source '{lacking}' for detector 'reward'"):
        localisation.calibrated([_verdict("reward", "policy", [0.0, 1.0], 1)], shown)


def test_perturbed_experts_need_no_labelled_error_of_a_policy():
    shown = [_verdict("reward", "perturbed", [0.0, 1.0], 1)]
    (row,) = localisation.calibrated([_verdict("reward", "perturbed", [0.0, 1.0], 1)], shown)
    assert list(row["thresholds"]) == ["perturbed"]


def test_a_threshold_on_experts_finds_near_misses_and_leaves_experts_alone(monkeypatch, experts, settings):
    """A judge that falls by 3 over the first wrong unit and by 1 over any other gets one between them."""

    def judge(reward_model, tokenizer, questions, texts, airl, settings):
        expert = {row.question: row.trace for row in experts}
        return [{"unit_reward": rewards(text, expert[q])} for q, text in zip(questions, texts, strict=True)]

    def rewards(text, expert):
        wrong = reading.first_wrong_unit(text, expert)
        falls = [3.0 if unit == wrong else 1.0 for unit in range(len(traces.unit_spans(text)))]
        return [0.0, *(-sum(falls[: i + 1]) for i in range(len(falls)))]

    monkeypatch.setattr(localisation.recorded, "score", judge)
    untraced = experts[0].model_copy(update={"n_steps": 0, "trace": "<answer>1</answer>"})
    detect = functools.partial(
        localisation.detect_by_reward, None, None, airl=settings.airl, settings=settings
    )
    (found,) = localisation.thresholds_on_experts(detect, [*experts, untraced], 0).items()
    assert found[0] == "reward" and 1.0 <= found[1] < 3.0
    with pytest.raises(ValueError, match="no expert's trace has a near miss"):
        localisation.thresholds_on_experts(detect, [untraced], 0)
