"""The external check: hand-made files, GSM8K's published solutions, and the notebook."""

import json
import os
import runpy
import sys
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from lib import runs
from lib.data import demonstrations
from lib.evaluation import external
from lib.models import likelihood, pretrained
from lib.schema import External
from lib.study import params
from lib.text import chat, traces

ROOT = Path(__file__).parents[2]
RUN = {"backbone": "qwen2", "variant": "airl", "seed": 0}


def row(problem, sample, is_correct, answer, reward, unit_reward=(0.0, 0.0), first_wrong_unit=None, length=9):
    scored = {"is_correct": is_correct, "answer": answer, "reward": reward, "length": length}
    units = {"unit_reward": list(unit_reward), "first_wrong_unit": first_wrong_unit}
    return RUN | {"problem": problem, "sample": sample} | scored | units


BY_HAND = [
    row(0, 0, True, "5", 2.0, length=5),
    row(0, 1, False, "6", 1.0, [0.0, -1.0, -5.0], 1, length=4),  # falls most over unit 1
    row(0, 2, False, "6", 0.5, [0.0, -3.0, -4.0, -5.0], 1, length=6),  # over unit 0
    row(1, 0, True, None, 0.0, length=1),
    row(1, 1, False, "7", 3.0, [0.0, -1.0, -2.0], 0, length=2),  # as much over either
    row(2, 0, False, "8", 1.0, length=3),
    row(2, 1, True, "9", 1.0, length=8),
]


def by_metric(table):
    return {found["metric"]: found for _, found in table.iterrows()}


def write(path, rows):
    path.write_text("".join(json.dumps(fields) + "\n" for fields in rows))
    return path


# --- judging ---


def test_a_check_by_hand():
    """The choice is of two: problem 0 has three solutions, and so three choices; the others have two."""
    table = external.check("mine", BY_HAND, 50)
    assert list(table.columns) == external.COLUMNS
    assert set(table[["name", "backbone", "variant"]].itertuples(index=False, name=None)) == {
        ("mine", "qwen2", "airl")
    }
    found = by_metric(table)
    assert list(found) == [
        "auroc",
        "auroc_within",
        "auroc_shorter",
        "auroc_within_shorter",
        "best_of_2_random",
        "best_of_2_majority",
        "best_of_2_shorter",
        "best_of_2_reward",
        "best_of_2_reward_above_random",
        "best_of_2_reward_above_majority",
        "best_of_2_reward_above_shorter",
        "unreadable",
        "lowest_last",
        "first_error",
    ]
    labels, rewards, lengths = (
        np.array([fields[key] for fields in BY_HAND]) for key in ("is_correct", "reward", "length")
    )
    assert found["auroc"].value == pytest.approx(roc_auc_score(labels, rewards), abs=1e-4)
    assert found["auroc_shorter"].value == pytest.approx(roc_auc_score(labels, -lengths), abs=1e-4)
    assert found["auroc_within"].value == pytest.approx(np.mean([1, 0, 1 / 2]), abs=1e-4)
    assert found["auroc_within_shorter"].value == pytest.approx(np.mean([1 / 2, 1, 0]), abs=1e-4)
    random = np.mean([1 / 3, 1 / 2, 1 / 2])
    # the reward finds the right one in two of the pairs of problem 0; a missing answer loses the vote
    values = {
        "random": random,
        "reward": np.mean([2 / 3, 0, 1 / 2]),
        "majority": np.mean([1 / 3, 0, 1 / 2]),
        "shorter": np.mean([1 / 3, 1, 0]),  # in one pair of problem 0
    }
    for selector, value in values.items():
        assert found[f"best_of_2_{selector}"].chance_or_random == pytest.approx(random, abs=1e-4)
        drawn = 0.05 if selector == "majority" else 1e-4  # votes are averaged over random pairs
        assert found[f"best_of_2_{selector}"].value == pytest.approx(value, abs=drawn)
    for selector in ("random", "majority", "shorter"):
        above = found["best_of_2_reward"].value - found[f"best_of_2_{selector}"].value
        row = found[f"best_of_2_reward_above_{selector}"]
        assert row.value == pytest.approx(above, abs=2e-4) and row.ci_low < row.value < row.ci_high
    assert found["first_error"].value == pytest.approx(np.mean([1, 0, 1 / 2]))
    assert found["first_error"].chance_or_random == pytest.approx(np.mean([1 / 2, 1 / 3, 1 / 2]), abs=1e-4)
    assert found["unreadable"].value == pytest.approx(1 / 7, abs=1e-4)
    assert [found[metric].n for metric in found] == [7, 3, 7, 3, 3, 3, 3, 3, 3, 3, 3, 7, 1, 3]
    assert found["lowest_last"].value == 0  # of the one wrong solution with three units
    assert found["lowest_last"].chance_or_random == pytest.approx(2 / 3, abs=1e-4)
    told = table[table["metric"] != "unreadable"]  # a count, no estimate
    assert ((told["ci_low"] <= told["value"]) & (told["value"] <= told["ci_high"])).all()


def test_choices_are_those_of_an_enumeration():
    """Random solutions with ties and missing answers; every problem has as many, so that votes are exact."""
    rng = np.random.default_rng(0)
    rows = []
    for problem in range(12):
        for sample in range(4):
            answer = [None, "1", "2", "3"][rng.integers(4)]
            rows.append(row(problem, sample, answer == "1", answer, float(rng.integers(3))))
    majority, best = [], []
    for problem in range(12):
        samples = [fields for fields in rows if fields["problem"] == problem]
        said = [fields["answer"] for fields in samples if fields["answer"] is not None]
        most = {a for a in said if said.count(a) == max(map(said.count, said))}
        majority.append(("1" in most) / max(len(most), 1))
        top = [s["is_correct"] for s in samples if s["reward"] == max(s["reward"] for s in samples)]
        best.append(sum(top) / len(top))
    found = by_metric(external.check("mine", rows, 20))
    assert "first_error" not in found
    assert found["best_of_4_majority"].value == pytest.approx(np.mean(majority), abs=1e-4)
    assert found["best_of_4_reward"].value == pytest.approx(np.mean(best), abs=1e-4)
    assert found["best_of_4_random"].value == pytest.approx(
        np.mean([r["is_correct"] for r in rows]), abs=1e-4
    )


def test_a_problem_with_more_solutions_counts_by_all_its_choices():
    rewards, correct = [0.3, 0.1, 0.9, 0.5, 0.2], [True, False, False, True, False]
    rows = [row(0, i, c, str(i), r) for i, (c, r) in enumerate(zip(correct, rewards, strict=True))]
    rows += [row(1, i, True, "1", 0.0) for i in range(3)]
    chosen = [correct[max(subset, key=rewards.__getitem__)] for subset in combinations(range(5), 3)]
    found = by_metric(external.check("mine", rows, 20))
    assert found["best_of_3_reward"].value == pytest.approx((np.mean(chosen) + 1) / 2, abs=1e-4)


def test_the_interval_is_over_problems():
    """Copies of a problem's solutions change nothing; copies of the problems make it narrower."""
    rows = [row(p, s, s == p % 2, "1", float(s)) for p in range(8) for s in range(2)]
    of_copies = [fields | {"sample": fields["sample"] + 2 * copy} for copy in range(3) for fields in rows]
    more = [fields | {"problem": fields["problem"] + 8 * copy} for copy in range(9) for fields in rows]
    one, copied, wide = (by_metric(external.check("mine", r, 400))["auroc"] for r in (rows, of_copies, more))
    assert (one.value, one.ci_low, one.ci_high) == (copied.value, copied.ci_low, copied.ci_high)
    assert one.value == wide.value == 0.5
    assert wide.ci_high - wide.ci_low < 0.5 * (one.ci_high - one.ci_low)


def test_the_table_holds_every_scored_file(tmp_path):
    assert external.table(external.recorded_checks(tmp_path), 10).empty
    runs.write_rows(tmp_path / "external/mine.jsonl.xz", BY_HAND)
    theirs = tmp_path / "gsm8k_small/external/others.jsonl.xz"
    runs.write_rows(theirs, [fields | {"variant": "airl_dense"} for fields in BY_HAND])
    runs.write_rows(theirs.with_name("mine.jsonl.xz"), BY_HAND)  # as one of ours is called
    table = external.table(external.recorded_checks(tmp_path), 10)
    names = ("mine", "gsm8k_small/others", "gsm8k_small/mine")
    mine, others, namesake = (table[table["name"] == name].reset_index(drop=True) for name in names)
    assert len(table) == len(mine) + len(others) + len(namesake)
    assert mine.equals(external.check("mine", BY_HAND, 10))
    assert namesake.drop(columns="name").equals(mine.drop(columns="name"))
    assert set(others["variant"]) == {"airl_dense"}
    first, within, choice, unread, error, *_ = external.sentences(mine)
    assert unread == (
        "On mine, no answer could be read in 14.3% of 7 solutions; those have no vote in the majority."
    )
    assert first.startswith("On mine, the reward `airl` on qwen2 has an AUROC of 0.42 [")
    assert "; to call the shorter solution right has 0.42 [" in first
    assert within.startswith("On mine, among the solutions of one problem it has 0.50 [")
    assert choice.startswith("On mine, its choice among 2 solutions is right in 0.39 [")
    assert error.endswith("of 3 solutions; by chance it would in 0.44.")


def test_without_a_readable_answer_there_is_no_majority_and_the_sentence_says_so():
    rows = [fields | {"answer": None} for fields in BY_HAND]
    table = external.check("mine", rows, 10)
    assert "best_of_2_majority" not in by_metric(table) and by_metric(table)["unreadable"].value == 1
    said = external.sentences(table)
    assert "On mine, no answer could be read in 100.0% of 7 solutions; there is no majority." in said
    assert not any("below majority" in sentence or "to majority" in sentence for sentence in said)


def test_of_one_solution_a_problem_there_is_no_choice():
    rows = [row(i, 0, i < 3, str(i), float(-i)) for i in range(5)]
    table = external.check("mine", rows, 10)
    assert by_metric(table)["auroc"].value == 1
    assert not any(metric.startswith("best_of") for metric in table["metric"])
    assert not any("its choice" in sentence for sentence in external.sentences(table))


def test_spellings_of_one_answer_vote_together():
    rows = [row(0, i, i < 3, a, 0.0) for i, a in enumerate(["$5", "5 dollars", "5.0", "6", "6"])]
    assert by_metric(external.check("mine", rows, 10))["best_of_5_majority"].value == 1


@pytest.mark.parametrize(
    "end", ["\\boxed{{{}}}", "#### {}", "The answer is {}.", "A: {}", "So it is $\\boxed{{{}}}$."]
)
def test_solutions_that_end_in_any_common_way_have_a_majority(tmp_path, end):
    """Three of four solutions of 30 problems are right: so is the majority, and any choice in .75."""
    rows = [
        {"question": f"{p}+1?", "trace": f"{p}+1={said}\n{end.format(said)}", "is_correct": said == p + 1}
        for p in range(30)
        for said in (p + 1, p + 2, p + 1, p + 1)
    ]
    labelled = external.solutions(write(tmp_path / "mine.jsonl", rows))
    scored = [RUN | fields | {"reward": 0.0, "unit_reward": [0.0, 0.0], "length": 9} for fields in labelled]
    found = by_metric(external.check("mine", scored, 10))
    assert "unreadable" not in found
    assert (found["best_of_4_random"].value, found["best_of_4_majority"].value) == (0.75, 1.0)


# --- files ---

RIGHT = {"question": "2*3-1?", "steps": ["2*3=6", "6-1=5", "A: 5"], "is_correct": True}
WRONG = {"question": "2*3-1?", "steps": ["2*3=6", "6-1=1,234", "A: 1,234"], "is_correct": False}


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (None, "no such file; name the file of labelled solutions in params.yaml, external"),
        ([], "no correct solutions; a line has question, trace (or steps) and is_correct"),
        ([RIGHT, RIGHT], "no wrong solutions; a line has"),
        ([WRONG], "no correct solutions; a line has"),
        ([RIGHT, {"question": "?"}], ":2: trace: missing or ill-typed"),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused_in_one_line_that_names_it(tmp_path, rows, what):
    path = tmp_path / "mine.jsonl"
    if rows is not None:
        write(path, rows)
    with pytest.raises(ValueError) as error:
        external.solutions(path)
    assert str(error.value).startswith(str(path)) and what in str(error.value)
    assert "\n" not in str(error.value)


# --- scoring ---


def test_solutions_are_scored_beside_their_labels(tmp_path, reward_model, tokenizer, settings):
    labelled = external.solutions(
        write(tmp_path / "mine.jsonl", [RIGHT, {**WRONG, "first_wrong_step": 1}, {**WRONG, "steps": ["2"]}])
    )
    rows = external.score(reward_model, tokenizer, labelled, settings.airl, settings)
    assert [fields["answer"] for fields in rows] == ["5", "1234", None]
    assert [fields["first_wrong_unit"] for fields in rows] == [None, 1, None]
    for fields, given in zip(rows, labelled, strict=True):
        assert len(fields["unit_reward"]) == len(traces.unit_spans(given["text"])) + 1
        assert {"problem", "sample", "source", "is_correct"} <= set(fields) and "text" not in fields
    backwards = external.score(reward_model, tokenizer, labelled[::-1], settings.airl, settings)
    assert [f["reward"] for f in backwards[::-1]] == pytest.approx([f["reward"] for f in rows], abs=2e-3)


def test_a_policy_judges_by_its_own_doubts(tmp_path, backbone, tokenizer, settings, experts, monkeypatch):
    """Its log-likelihood falls over the units to that of the whole; the other two are one token's each."""
    monkeypatch.setattr(external.runs, "backbone_dir", lambda name: backbone)
    labelled = external.solutions(
        write(tmp_path / "mine.jsonl", [{**RIGHT, "first_wrong_step": -1}, {**WRONG, "first_wrong_step": 1}])
    )
    asked = External(solutions="mine.jsonl", backbone="qwen2", variant="base", seed=0)
    rows = external.judge(asked, labelled, experts[:6], settings)
    assert [fields["detector"] for fields in rows] == ["likelihood", "logprob", "entropy"] * 2
    model = pretrained.load_policy(backbone)
    prompts = chat.questions_ids(tokenizer, [given["question"] for given in labelled])
    completions, _ = chat.completions(tokenizer, [given["text"] for given in labelled])
    for i, whole in enumerate(likelihood.log_densities(model, tokenizer, prompts, completions)):
        together, least, uncertain = rows[3 * i : 3 * i + 3]
        assert together["reward"] == pytest.approx(whole, abs=0.01)
        assert together["unit_reward"][-1] == pytest.approx(whole, abs=0.01)
        assert together["unit_reward"][0] == 0 and all(np.diff(together["unit_reward"]) <= 0)
        for other in (least, uncertain):
            assert other["reward"] == pytest.approx(np.diff(other["unit_reward"]).min(), abs=2e-3)
        assert whole <= least["reward"] < 0 and len(least["unit_reward"]) == len(together["unit_reward"])
    assert len({fields["threshold"] for fields in rows}) == 3
    table = external.check("mine", rows, 20)
    assert list(table["detector"].unique()) == ["likelihood", "logprob", "entropy"]
    assert set(table[table["metric"] == "f1"]["detector"]) == set(table["detector"])
    assert "the least likely token of the policy `base` on qwen2" in " ".join(external.sentences(table))


def test_published_solutions_of_gsm8k_are_judged(reward_model, tokenizer, settings):
    if "STUDY_GSM8K" not in os.environ:
        pytest.skip("STUDY_GSM8K names no directory with GSM8K's example_model_solutions.jsonl")
    labelled = external.solutions(Path(os.environ["STUDY_GSM8K"]) / "example_model_solutions.jsonl")[:40]
    scored = external.score(reward_model, tokenizer, labelled, settings.airl, settings)
    for fields in scored:
        assert np.isfinite([fields["reward"], *fields["unit_reward"]]).all()
    table = external.check("gsm8k", [{**RUN, **fields} for fields in scored], 20)
    found = by_metric(table)
    assert found.pop("unreadable").value == pytest.approx(1 / 40)  # cut off
    for metric, row in found.items():
        assert np.isfinite([row["value"], row["ci_low"], row["ci_high"]]).all()
        assert np.isfinite(row.chance_or_random) or "_above_" in metric
    assert {"auroc", "auroc_within", "best_of_4_shorter", "best_of_4_reward"} <= set(found)
    correct = [fields["is_correct"] for fields in labelled]
    assert found["best_of_4_random"].value == pytest.approx(sum(correct) / 40)
    assert found["auroc"].value == pytest.approx(
        roc_auc_score(correct, [fields["reward"] for fields in scored]), abs=1e-4
    )
    assert found["auroc"].n == 40 and found["best_of_4_reward"].n == 10


def test_the_notebook_scores_a_file_and_writes_its_rows(
    tmp_path, monkeypatch, backbone, reward_model, experts, capsys
):
    solutions = write(tmp_path / "mine.jsonl", [RIGHT, {**WRONG, "first_wrong_step": 1.0}])
    tree = params.apply_profile(ROOT / "params.yaml", "tiny")
    asked = {"solutions": str(solutions), "backbone": "qwen2", "variant": "airl_dense", "seed": 0}
    tree["external"] = {"gsm8k": asked}  # what the notebook's own parameter names
    with (tmp_path / "params.yaml").open("w") as out:
        YAML(typ="safe", pure=True).dump(tree, out)
    (tmp_path / "results" / "backbones").mkdir(parents=True)
    (tmp_path / "results" / "backbones" / "qwen2").symlink_to(backbone)
    demonstrations.write_jsonl(tmp_path / "results" / "data" / "validation.jsonl", experts[:4])
    reward_model.save(tmp_path / "results" / "runs" / "qwen2" / "airl_dense" / "seed0" / "discriminator")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    space = runpy.run_path(str(ROOT / "notebooks" / "11_external_check.py"))
    rows = runs.read_rows(tmp_path / "results" / "external" / "gsm8k.jsonl.xz")
    assert [(fields["is_correct"], fields["variant"]) for fields in rows] == [
        (True, "airl_dense"),
        (False, "airl_dense"),
    ]
    scored = external.recorded_checks(tmp_path / "results")
    assert external.table(scored, space["settings"].evaluation.bootstrap).equals(space["checked"])
    said = capsys.readouterr().out
    assert "the reward `airl_dense` on qwen2" in said
    assert "of 1 wrong solutions, and none in" in said and "of 1 right ones: F1" in said
    assert len({fields["threshold"] for fields in rows}) == 1


def test_scored_solutions_are_read_after_they_are_written():
    stages = list(params.parse_value((ROOT / "dvc.yaml").read_text())["stages"])
    assert stages.index("external") < stages.index("results")
