"""The results notebook on synthetic records: it writes the report and all else, the same bytes each time."""

import base64
import hashlib
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from ruamel.yaml import YAML

from lib.evaluation import first_errors, records, studies
from lib.report import findings, pages
from lib.study import params
from tests import synthetic
from tests.report.test_rendering import HOSTILE, Parsed

ROOT = Path(__file__).parents[2]


def make_study(directory: Path, backbones=("qwen2", "llama"), **changes) -> None:
    """A directory with tiny parameters and synthetic records."""
    tree = params.apply_profile(ROOT / "params.yaml", "tiny")
    tree["evaluation"]["bootstrap"] = 30
    tree["policies"] = list(backbones)
    with (directory / "params.yaml").open("w") as out:
        YAML(typ="safe", pure=True).dump(tree, out)
    ablations = dict.fromkeys(tree["ablations"], 0.5)
    known = ("base", "sft", "grpo", *tree["grpo_variants"], "spin", *tree["variants"])
    methods = {name: level for name, level in synthetic.METHODS.items() if name in known}
    synthetic.write(directory / "results", backbones, methods=methods, ablations=ablations, **changes)


def run_notebook(directory: Path) -> None:
    matplotlib.use("Agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(sys, "path", [*sys.path])
        runpy.run_path(str(ROOT / "notebooks" / "10_results.py"))


def written(directory: Path) -> dict[str, bytes]:
    """What the notebook writes: everything under results but the records it reads."""
    inputs = ("data", "runs", "localisation", "external")
    files = (p for p in (directory / "results").rglob("*") if p.is_file())
    paths = {str(p.relative_to(directory / "results")): p for p in files}
    return {name: p.read_bytes() for name, p in paths.items() if name.split("/")[0] not in inputs}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("study")
    make_study(directory, seeds=2)
    labelled = [
        {"backbone": "qwen2", "variant": "airl", "seed": 0, "problem": problem, "sample": sample,
         "is_correct": sample == 0, "answer": str(sample) if problem else None, "reward": 1.0 - sample,
         "length": 9, "first_wrong_unit": None, "unit_reward": [0.0, 1.0]}
        for problem in range(5) for sample in range(2)
    ]  # fmt: skip
    synthetic.write_rows(directory / "results" / "external" / "gsm8k.jsonl.xz", labelled)
    run_notebook(directory)
    return directory


def test_every_table_figure_and_the_report_are_written(study):
    names = written(study)
    assert {f"tables/{name}.csv" for name in pages.TABLES} <= set(names)
    figures = {n for n in names if n.startswith("figures/")}
    assert len(figures) == 44 and {Path(n).suffix for n in figures} == {".svg", ".png"}
    assert {"report.html", "viewer.html", "provenance.json"} <= set(names)
    assert not [n for n in names if n.endswith(".tmp")]


def test_the_same_records_give_the_same_bytes(study):
    before = written(study)
    run_notebook(study)
    assert written(study) == before


@pytest.mark.parametrize(("name", "scripts"), [("report", 0), ("viewer", 2)])
def test_a_page_asks_for_nothing_and_forbids_every_script_but_its_own(study, name, scripts):
    page = (study / "results" / f"{name}.html").read_text()
    assert len(page.encode()) < 8_000_000
    assert not re.findall(r"""src=["'](?!data:)""", page) and not re.findall(r"""href=["']\w+://""", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    assert "default-src 'none'" in policy and re.findall(r"script-src ([^;]*)", policy) == hashes
    assert page.count("<script") == scripts  # the viewer's other one holds the data


def test_the_contents_lead_to_every_section(study):
    page = (study / "results" / "report.html").read_text()
    wanted = re.findall(r'<li><a href="#([^"]+)"', page)
    assert wanted == re.findall(r'<section id="([^"]+)"', page) and len(set(wanted)) == len(wanted) > 10


def test_every_figure_names_its_notebook_and_offers_its_numbers(study):
    page = (study / "results" / "report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert all('href="notebooks/10_results.ipynb"' in caption for caption in captions)
    links = [re.findall(r'download="([^"]+)" href="data:text/csv;base64,([^"]+)"', c) for c in captions]
    assert sorted(len(found) for found in links) == [0] + [1] * (len(captions) - 1)  # the method has none
    for name, data in (link for found in links for link in found):
        assert base64.b64decode(data) == (study / "results" / "tables" / name).read_bytes()


def test_every_figure_is_on_the_page_once(study):
    page = (study / "results" / "report.html").read_text()
    figures = list((study / "results" / "figures").glob("*.svg"))
    assert page.count("<img ") == len(figures)
    for path in figures:
        assert page.count(base64.b64encode(path.read_bytes()).decode()) == 1, path.name


def test_the_page_tells_of_transfer_and_longer_problems(study):
    page = (study / "results" / "report.html").read_text()
    transfer, long = (pd.read_csv(study / "results" / "tables" / f"{n}.csv") for n in ("transfer", "long"))
    away = transfer[transfer["trained_on"] != transfer["tested_on"]].query("tested_on != '3 steps'").iloc[0]
    gain = f"{away.accuracy_gain:.2f} [{away.ci_low:.2f}, {away.ci_high:.2f}]"
    assert f"as a reward, trained on samples of llama and tested on {away.tested_on}" in page
    assert f"accuracy {gain} above any sample" in page
    ours = long.query("backbone == 'llama' and method == 'airl'").iloc[0]
    assert f"{ours.pass_at_1:.2f} [{ours.ci_low:.2f}, {ours.ci_high:.2f}]" in page


def test_the_page_leads_with_findings_and_what_a_sceptic_asks(study):
    page = (study / "results" / "report.html").read_text()
    first, second = re.findall(r"<section id=.*?</section>", page, re.DOTALL)[:2]
    assert "Policy: Trained on what is elected, the policy is" in first and 'alt="' in first
    assert "What a sceptic should know" in second
    for asked in ("Sharpening", "Length, style, likelihood", "Adversarial", "Which threshold", "Which seed"):
        assert f"{asked}?" in second


def test_the_page_sets_the_reward_beside_detectors_that_have_none(study):
    page = (study / "results" / "report.html").read_text()
    lines = re.findall(r"<li>(.*?)</li>", page, re.DOTALL)
    said = [line for line in lines if "reward finds the first wrong step" in line]
    assert len(said) == 2 * 3  # backbones; near misses, errors of base and of SFT
    for line in said:
        assert all(other in line for other in ("chance", "SFT log-likelihood", "log-probability"))


def test_the_page_tells_of_real_text(study):
    page = (study / "results" / "report.html").read_text()
    assert '<section id="on-real-text"><h2>On real text</h2>' in page
    assert "the reward `airl` on qwen2 has an AUROC of 1.00 [" in page
    assert "its choice among 2 solutions is right in 1.00 [" in page
    assert "no answer could be read in 20.0% of 10 solutions" in page


def test_the_page_shows_our_numbers_and_marks_the_published(study):
    page = (study / "results" / "report.html").read_text()
    row = pd.read_csv(study / "results" / "tables" / "main.csv").iloc[0]
    assert f"{row.pass_at_k:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]" in page
    assert (
        '<tr class="published"><td>Qwen2.5-7B</td><td>AIRL dense (paper)</td><td class="number">0.71</td>'
        in page
    )


def test_the_page_tells_of_studies_at_other_profiles(study, rebuilt, tmp_path):
    kept = tmp_path / "smollm2"
    shutil.copytree(study / "results" / "tables", kept / "tables")
    tree = params.load(study / "params.yaml").model_dump(mode="json")
    tree["pretrained"] = {
        name: {"path": "weights", "gguf": f"{name}<b>.gguf", "sha256": "0" * 64, "four_bit": False}
        for name in ["llama"]
    }
    del tree["backbones"]["llama"]
    with (kept / "params.yaml").open("w") as out:
        YAML(typ="safe", pure=True).dump(tree, out)
    read = studies.tables(tmp_path)
    world = {name: pd.read_csv(study / "results" / "tables" / f"{name}.csv") for name in studies.TABLES}
    both = studies.side_by_side({studies.WORLD: world} | read)
    report, _ = rebuilt("world", {}, studies=both)
    (told,) = [found for name, found in pages.studies(tmp_path).items() if name == "smollm2"]
    assert told["settings"].pretrained["llama"].gguf == "llama<b>.gguf"
    assert report.texts("h3") == ["smollm2"]
    (real,) = findings.real(both)[:1]
    assert real in report.texts("li") and "weights, qwen2 of smollm2" in pages.headline_text(tmp_path)
    assert any(
        "qwen2 is trained from scratch, llama is weights/llama<b>.gguf." in p for p in report.texts("p")
    )
    assert all(
        report.texts("li").count(sentence) == 2 for sentence in told["said"]
    )  # the study's, and theirs
    measures = both["measure"].nunique()
    assert len(both) == 2 * len(both.query("study == 'world'")) > 4 * measures // 2
    rows = sum(len(shown.rows) for shown in told["tables"].values()) + measures
    honest = Parsed((study / "results" / "report.html").read_text())
    headers = sum(bool(shown.rows) for shown in told["tables"].values()) + 1
    assert len([1 for tag, *_ in report.elements if tag == "tr"]) == rows + headers + len(
        [1 for tag, *_ in honest.elements if tag == "tr"]
    )
    links = [a["download"] for tag, a, _ in report.elements if tag == "a" and "download" in a]
    assert {f"smollm2/{name}.csv" for name in studies.TABLES} <= set(links)
    assert "Real language models" not in honest.texts("h2")


def test_provenance_holds_parameters_and_hashes(study):
    facts = json.loads((study / "results" / "provenance.json").read_text())
    assert facts["parameters"]["profile"] == "tiny"
    settings = params.load(study / "params.yaml")
    ablations = {*settings.ablations}
    methods = {"sft", "spin", *settings.grpo_variants, *settings.variants}
    assert len(facts["runs"]) == 2 * (1 + 2 * len(methods)) + len(ablations)  # the base policy has one
    assert ablations < {run["method"] for run in facts["runs"]}
    assert {"seconds", "versions", "hardware", "code_sha256", "data_sha256"} <= set(facts["runs"][0])


@pytest.mark.parametrize("skill", [1.0, -1.0], ids=["all right", "all garbage"])
def test_traces_of_one_class_leave_the_auroc_undefined(tmp_path, skill):
    make_study(tmp_path, seeds=1, problems=6, skill=skill)
    run_notebook(tmp_path)
    assert pd.read_csv(tmp_path / "results" / "tables" / "reward_quality.csv")["auroc"].isna().all()
    page = (tmp_path / "results" / "report.html").read_text()
    assert "AUROC n/a" in page
    assert "On real text" not in page and not (tmp_path / "results" / "tables" / "external.csv").exists()


def test_a_hostile_trace_stays_text(tmp_path):
    hostile = "<think>\n<script>alert(1)</script>\n</think>\n<answer>$x_1$</answer>"
    make_study(tmp_path, seeds=1, problems=6, token_records=6)
    for path in (tmp_path / "results" / "runs" / "qwen2" / "base").rglob("samples.jsonl.xz"):
        rows = synthetic.read_rows(path)
        wrong = next(row for row in rows if row["first_wrong_unit"] is not None and row["well_formed"])
        ends = synthetic.token_ends(hostile)
        wrong |= {"text": hostile, "ends": ends, "first_wrong_unit": 0, "correct": False}
        wrong["logprobs"] = [-0.5] * len(ends)
        synthetic.write_rows(path, rows)
        where = (wrong["problem"], wrong["sample"])
    for scores_path in (tmp_path / "results" / "runs" / "qwen2").rglob("scores.jsonl.xz"):
        scores = synthetic.read_rows(scores_path)
        for row in scores:
            if (row["problem"], row["sample"]) == where and row["policy"] == "base":
                row["rewards"] = [0.0] * len(ends)
        synthetic.write_rows(scores_path, scores)
    run_notebook(tmp_path)
    page = (tmp_path / "results" / "viewer.html").read_text()
    assert '"\\u003cscript>"' in page  # a token
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="viewer-data">',
        "<script>",
    ]


@pytest.fixture
def rebuilt(study, tmp_path, monkeypatch):
    """Builds the pages anew from changed tables, dataset and traces; returns both, parsed."""
    recorded = records.load(study / "results")
    settings = params.load(study / "params.yaml")
    monkeypatch.setattr(pages, "trees", dict)  # as outside git, where the study was made

    def build(dataset: str, traces: dict, **tables: pd.DataFrame) -> list[Parsed]:
        for name in ("tables", "figures"):
            shutil.copytree(study / "results" / name, tmp_path / name)
        for name, table in tables.items():
            table.to_csv(tmp_path / "tables" / f"{name}.csv", index=False)
        data = settings.data.model_copy(update={"dataset": dataset})
        pages.build(tmp_path, settings.model_copy(update={"data": data}), recorded, traces)
        return [Parsed((tmp_path / f"{name}.html").read_text()) for name in ("report", "viewer")]

    return build


def test_a_hostile_trace_method_or_name_of_data_is_text_on_both_pages(study, rebuilt):
    main, gained = (
        pd.read_csv(study / "results" / "tables" / f"{name}.csv").replace({"method": {"spin": HOSTILE}})
        for name in ("main", "gains")
    )
    checked = pd.read_csv(study / "results" / "tables" / "external.csv").assign(name=HOSTILE)
    traces = {
        "tokens": [HOSTILE],
        "labels": {HOSTILE: HOSTILE},
        "rewards": {},
        "problems": [{"question": HOSTILE}],
    }
    report, viewer = rebuilt(HOSTILE, traces, main=main, gains=gained, external=checked)

    def honest_of(name: str) -> Parsed:
        return Parsed((study / "results" / f"{name}.html").read_text())

    for name, page in (("report", report), ("viewer", viewer)):
        honest = honest_of(name)
        assert page.tags() == honest.tags()
        assert [set(a) for _, a, _ in page.elements] == [set(a) for _, a, _ in honest.elements]
    assert json.loads(viewer.texts("script")[0]) == traces
    assert HOSTILE in report.texts("td")  # the method, and the name of the labelled solutions
    assert any(HOSTILE in text and text.startswith("On qwen2, ") for text in report.texts("li"))
    assert any(text.startswith(f"On {HOSTILE}, the reward `") for text in report.texts("li"))
    assert any(f"The problems are those of {HOSTILE}: " in text for text in report.texts("li"))
    assert any("The problems are a program's: " in text for text in honest_of("report").texts("li"))


def test_first_errors_of_published_solutions_are_shown_where_there_are_any(rebuilt):
    row = ["qwen2", "reward", "airl", HOSTILE, 1.5, 0.375, 0.625, 0.4688, 400, 0.4, 0.5]
    report, _ = rebuilt("world", {}, first_error=pd.DataFrame([row], columns=first_errors.COLUMNS))
    cells = report.texts("td")
    assert {HOSTILE, "0.47 [0.40, 0.50]", "0.375", "0.625"} <= set(cells)


@pytest.mark.parametrize("kept", ["amounts", "other changes"])
def test_the_page_shows_the_figures_of_the_ablations_that_there_are(study, rebuilt, kept):
    changed = pd.read_csv(study / "results" / "tables" / "ablations.csv")
    of_amounts = changed["ablation"] == "demonstrations"
    alone = changed[of_amounts if kept == "amounts" else ~of_amounts]
    assert 0 < len(alone) < len(changed)
    report, _ = rebuilt("world", {}, ablations=alone)
    shown = " ".join(report.texts("figcaption"))
    assert ("by how much there is to learn from" in shown) == (kept == "amounts")
    assert ("What is changed, beside the run" in shown) == (kept != "amounts")


def test_a_missing_figure_is_named_with_the_stage_that_makes_it(study, tmp_path):
    for name in ("tables", "figures"):
        shutil.copytree(study / "results" / name, tmp_path / name)
    (tmp_path / "figures" / "transfer.svg").unlink()
    settings = params.load(study / "params.yaml")
    with pytest.raises(ValueError, match="transfer.svg: no such file; run `dvc repro`"):
        pages.build(tmp_path, settings, records.load(study / "results"), {})
    assert not (tmp_path / "report.html").exists()


def test_the_summary_prints_the_main_table_and_the_path(study):
    shutil.copytree(ROOT / "lib", study / "lib", dirs_exist_ok=True)
    command = [sys.executable, "-m", "lib.report", "--summary"]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True, check=True)
    assert "pass@1" in done.stdout and "GRPO" in done.stdout
    assert done.stdout.rstrip().endswith("results/report.html")


def test_a_summary_before_any_result_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="dvc repro"):
        pages.summary(tmp_path)


def test_the_trees_tell_what_results_come_from_whatever_the_history(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("a = 1\n")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    git("add", "-A")
    git("commit", "-qm", "parameters")
    made = {path: git("rev-parse", f"HEAD:{path}") for path in ("lib", "params.yaml")}
    (tmp_path / "README.md").write_text("text\n")
    git("add", "-A")
    git("commit", "-qm", "text")
    assert pages.trees() == made
    shallow = tmp_path.with_name("shallow")
    git("clone", "-q", "--depth", "1", f"file://{tmp_path}", str(shallow))
    with monkeypatch.context() as there:
        there.chdir(shallow)
        assert pages.trees() == made
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert pages.trees() == {}


def test_there_are_no_trees_outside_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert pages.trees() == {}
