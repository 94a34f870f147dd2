"""The whole study at the profile `tiny`: every notebook through DVC and papermill, from nothing."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib import runs
from lib.evaluation import records
from lib.study import params

ROOT = Path(__file__).parent.parent
CI = ["ci_low", "ci_high", "n_seeds"]
COLUMNS = {
    "main": ["backbone", "method", "temperature", "k", "pass_at_k", *CI],
    "gains": ["backbone", "method", "temperature", "above_sft", "share_of_grpo", *CI],
    "by_seed": ["backbone", "method", "seed", "pass_at_1", "above_sft"],
    "rerank": ["backbone", "policy", "selector", "n", "accuracy", *CI],
    "localisation": ["backbone", "detector", "error_source", "threshold", "hit_at_1", "chance", "n", *CI],
    "reward_quality": ["backbone", "variant", "auroc", "auroc_within", "ece", "lowest_last", *CI],
    "localisation_by_kind": ["backbone", "error_source", "policy", "kind", "detector", "hit_at_1", "n", *CI],
    "ablations": ["ablation", "value", "backbone", "pass_at_1", "auroc", "hit_at_1", *CI],
    "transfer": [
        "backbone",
        "variant",
        "trained_on",
        "tested_on",
        "accuracy_gain",
        "auroc",
        "auroc_ci_low",
        *CI,
    ],
    "long": ["backbone", "method", "pass_at_1", *CI],
    "published": [],
}


def make(target: str, studies: Path) -> subprocess.CompletedProcess:
    """`make` with the python that runs the tests."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-o", f"{sys.prefix}/.installed", target, f"VENV={sys.prefix}", f"STUDIES={studies}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """The directory of a tiny study that has just run."""
    studies = tmp_path_factory.mktemp("studies")
    result = make("tiny", studies)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert "airl_dense" in result.stdout and "results/report.html" in result.stdout
    return studies / "tiny"


@pytest.fixture(scope="module")
def settings(study) -> params.Params:
    return params.load(study / "params.yaml")


def test_every_notebook_was_executed_to_its_end(study, settings):
    executed = list((study / "results").rglob("*.ipynb"))
    stems = {path.stem.split("_")[0] for path in executed}
    notebooks = {path.stem.split("_")[0] for path in (ROOT / "notebooks").glob("*.py")}
    assert stems == notebooks - {"11"} and not settings.external  # which names what notebook 11 is run on
    for path in executed:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells if cell.source), path
    policies, seeds, shorter = len(settings.policies), len(settings.seeds), settings.ablation_runs
    methods = 1 + len(settings.without_reward) + len(settings.variants) + len(settings.label_rewards)
    of_seeds = policies * seeds * methods
    of_ablations = len(settings.ablations) * len(shorter.backbones) * len(shorter.seeds)
    assert len(executed) == 2 + len(settings.backbones) + of_seeds + of_ablations + 3 * policies


def test_every_run_is_recorded(study, settings):
    shorter = settings.ablation_runs
    methods = ("base", "sft", *settings.without_reward, *settings.variants)
    wanted = {(b, m, s) for b in settings.policies for m in methods for s in settings.seeds}
    wanted |= {(b, m, s) for b in shorter.backbones for m in settings.ablations for s in shorter.seeds}
    for backbone, method, seed in wanted:
        directory = study / "results" / "runs" / backbone / method / f"seed{seed}"
        run = runs.read(directory)
        assert (run.backbone, run.method, run.seed, run.profile) == (backbone, method, seed, "tiny")
        assert run.status == "completed"
        rows = runs.read_rows(directory / "samples.jsonl.xz")
        samples = settings.sampling.n if method in runs.JUDGED else max(settings.evaluation.ks)
        assert len(rows) == settings.data.test * samples
        unread = directory / runs.UNREAD
        made = {"adapter": method != "base", "discriminator": method in settings.with_reward}
        for part, is_made in made.items():
            kept = runs.is_kept(part, method, seed)
            assert (directory / part).exists() == kept
            assert (unread / part).exists() == (is_made and not kept)
    loaded = records.load(study / "results").runs
    assert wanted <= set(loaded[["backbone", "method", "seed"]].itertuples(index=False, name=None))


def test_rewards_that_learn_from_labels_are_recorded_and_judge_beside_the_others(study, settings):
    tables = {
        name: pd.read_csv(study / "results" / "tables" / f"{name}.csv")
        for name in ("rerank", "reward_quality", "localisation")
    }
    assert settings.label_rewards
    for reward in settings.label_rewards:
        record = study / "results" / "runs" / settings.policies[0] / reward / "seed0"
        assert runs.read(record).method == reward and not (record / runs.SAMPLES).exists()
        assert all((record / name).exists() for name in (runs.SCORES, runs.LOCALISATION))
        assert not (record / runs.TRANSFER).exists()
        assert (record / runs.UNREAD / "discriminator").exists() and (record / "log.csv").exists()
        assert all(reward in set(table["variant"]) for table in tables.values())


def test_every_policy_is_tried_on_the_longer_problems_and_every_reward_away_from_home(study, settings):
    loaded = records.load(study / "results")
    greedy = loaded.long[loaded.long["temperature"] == "greedy"]
    sizes = greedy.groupby(["backbone", "method", "seed"]).size()
    methods = ("base", "sft", *settings.without_reward, *settings.variants)
    assert set(sizes.index) >= {(b, m, s) for b in settings.policies for m in methods for s in settings.seeds}
    assert (sizes == settings.data.test_long).all()
    table = pd.read_csv(study / "results" / "tables" / "transfer.csv")
    for backbone in settings.policies:
        rows = table[table["backbone"] == backbone]
        where = set(rows[["trained_on", "tested_on"]].itertuples(index=False, name=None))
        others = {f"samples of {other}" for other in settings.policies if other != backbone}
        assert {("1-2 steps", "1-2 steps"), ("1-2 steps", "3 steps")} <= where
        assert {(f"samples of {backbone}", other) for other in others} <= where


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_keep_the_contract(study, name):
    table = pd.read_csv(study / "results" / "tables" / f"{name}.csv")
    assert len(table)
    assert set(COLUMNS[name]) <= set(table.columns)


def test_main_table_has_every_method_of_every_policy_and_fractions(study, settings):
    table = pd.read_csv(study / "results" / "tables" / "main.csv")
    of_policies = table[table["backbone"].isin(settings.policies)]
    keys = set(of_policies[["backbone", "method", "k"]].itertuples(index=False, name=None))
    methods = ("base", "sft", *settings.without_reward, *settings.variants)
    assert keys >= {(b, m, k) for b in settings.policies for m in methods for k in settings.evaluation.ks}
    for column in ("pass_at_k", "ci_low", "ci_high"):
        assert table[column].between(0, 1).all()
    assert (table["ci_low"] <= table["pass_at_k"]).all() and (table["pass_at_k"] <= table["ci_high"]).all()


def test_the_report_opens_offline_and_shows_every_figure(study):
    results = study / "results"
    page = (results / "report.html").read_text()
    assert 'src="http' not in page and "<script src" not in page and "@import" not in page
    figures = {path.stem for path in (results / "figures").glob("*.png")}
    assert figures == {path.stem for path in (results / "figures").glob("*.svg")}
    assert page.count("<img") >= len(figures) > 5


def test_the_analysis_runs_again_to_the_same_bytes(study):
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (study / "results").rglob("*") if path.is_file()}

    before = content()
    result = make("study", study.parent)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    # the analysis alone: nothing is trained twice
    assert [line for line in result.stdout.splitlines() if "Running stage" in line] == [
        "Running stage 'results':"
    ]
    after = content()
    assert [path for path in before | after if before.get(path) != after.get(path)] == []


def test_an_unknown_profile_is_refused_in_one_line_and_leaves_no_parameters(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-s", "-o", f"{sys.prefix}/.installed", "study", "PROFILE=tinny"]
    result = subprocess.run(
        [*command, f"VENV={sys.prefix}", f"STUDIES={tmp_path}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "unknown profile 'tinny'; there are default, tiny" in result.stderr
    assert not (tmp_path / "tinny" / "params.yaml").exists()
