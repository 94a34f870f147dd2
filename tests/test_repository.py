"""The parts fit together: notebooks, stages, commands, and nothing of one machine."""

import ast
import csv
import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from lib.report import pages
from lib.study import notebook_pairs, params, settings

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "lib").rglob("*.py")
    if not path.name.startswith("__")
}
PACKAGES = {path.parent.name for path in (ROOT / "lib").glob("*/__init__.py")}
DVC = params.parse_value((ROOT / "dvc.yaml").read_text())
STAGES = {name: stage.get("do", stage) for name, stage in DVC["stages"].items()}
OF_NOTEBOOKS = {name: stage for name, stage in STAGES.items() if name != "settings"}

# What these do is shown or kept, and decides nothing that is trained, sampled or scored.
GROUND_FLOOR = {"lib.files", "lib.runs", "lib.schema"}
NOT_DECISIVE = GROUND_FLOOR | {
    "lib.evaluation.metrics",
    "lib.evaluation.published",
    "lib.evaluation.tables",
    "lib.study.params",
    "lib.study.recording",
}


def imported(path: Path) -> set[str]:
    """The modules of lib that a file names in its imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lib":
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & MODULES


def reached(path: Path) -> set[str]:
    """The modules of lib that a file imports, directly or not."""
    found, new = set(), imported(path)
    while new:
        found |= new
        new = {name for module in new for name in imported(file_of(module))} - found
    return found


def file_of(module: str) -> Path:
    return (ROOT / Path(*module.split("."))).with_suffix(".py")


@functools.cache
def code_of(name: str) -> list[str]:
    """The places in lib that a stage depends on, those of its method's file by `settings` included."""
    places = [dep for dep in STAGES[name]["deps"] if dep.startswith("lib")]
    if any(dep.startswith("results/settings/") for dep in STAGES[name]["deps"]):
        loaded = params.load(ROOT / "params.yaml")
        kinds = {
            "irl": "airl",
            "labelled": "step_labels",
            "ablation": "airl",
        }  # of methods that depend on the same code
        found = settings.packages(kinds.get(name, name), loaded)
        assert set(found) <= set(STAGES["settings"]["deps"])
        places += found
    return places


def depends_on(name: str, module: str) -> bool:
    """Whether a stage depends on a module's file or on a directory that it is in."""
    file = file_of(module).relative_to(ROOT)
    return any(str(place) in code_of(name) for place in (file, *file.parents))


def test_pairs_are_in_step_and_free_of_outputs():
    assert notebook_pairs.faults() == []


@pytest.mark.parametrize("name", OF_NOTEBOOKS)
def test_a_stage_depends_on_its_notebook_and_the_packages_that_decide(name):
    stage = OF_NOTEBOOKS[name]
    notebook = ROOT / stage["cmd"].split()[3]
    assert stage["deps"][0] == str(notebook.relative_to(ROOT))
    for place in code_of(name):
        assert (ROOT / place).exists(), place
        assert any(file_of(module).is_relative_to(ROOT / place) for module in reached(notebook)), place
    for module in imported(notebook) - NOT_DECISIVE:
        assert depends_on(name, module) or module.startswith("lib.report"), module


@pytest.mark.parametrize("name", OF_NOTEBOOKS)
def test_a_stage_passes_parameters_that_its_notebook_has_and_writes_what_git_keeps(name):
    stage = OF_NOTEBOOKS[name]
    words = stage["cmd"].split()
    cell = re.search(r'tags=\["parameters"\]\n(.*?)\n\n', (ROOT / words[3]).read_text(), re.DOTALL)[1]
    has = {line.split(" = ")[0] for line in cell.splitlines()}
    assert {words[i + 1] for i, word in enumerate(words) if word == "-p"} <= has
    executed = words[words.index("--out") + 1]
    outs = [(path, options) for out in stage["outs"] for path, options in out.items()]
    assert any(executed == path or executed.startswith(f"{path}/") for path, _ in outs)
    assert all(options == {"cache": False} for _, options in outs)


def test_every_notebook_is_a_stage():
    used = {stage["cmd"].split()[3] for stage in OF_NOTEBOOKS.values()}
    assert used == {str(path.relative_to(ROOT)) for path in NOTEBOOKS}


def test_neither_a_figure_nor_a_table_nor_the_runner_trains_anything_again():
    shown = [module for module in MODULES if module.startswith(("lib.report", "lib.evaluation."))]
    decisive = {f"lib.evaluation.{name}" for name in ("localisation", "pointing", "external")}
    shown += ["lib.study.execute", "lib.study.params", "lib.study.recording", *GROUND_FLOOR]
    for name in set(OF_NOTEBOOKS) - {"results"}:
        assert not [module for module in shown if module not in decisive and depends_on(name, module)]


def test_what_reads_rewards_runs_again_when_a_run_changes():
    for name in ("reranking", "localisation", "transfer"):
        assert "results/runs/${item}" in STAGES[name]["deps"]


def test_parameters_named_by_stages_exist():
    settings = params.load(ROOT / "params.yaml").model_dump()
    for name, stage in STAGES.items():
        for key in stage.get("params", ()):
            at = settings
            for part in key.split("."):
                if part.startswith("${"):
                    break
                assert part in at, f"stage {name}: {key}"
                at = at[part]


def test_commands_of_the_readme_and_of_contributing_exist():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")]
    named = {name for text in texts for name in re.findall(r"(?:^|[`;]) *make ([a-z-]+)", text, re.MULTILINE)}
    assert {"repro", "test", "tiny"} <= named <= targets


def test_paths_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text()
    linked = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert linked
    of_github = "../../actions/workflows/ci.yml"  # a page of the repository's, and its badge
    missing = [path for path in linked if not path.startswith(of_github) and not (ROOT / path).exists()]
    assert missing == []
    tree = readme.split("## What is where")[1].split("```")[1]
    packages = re.search(r"^lib/\n((?:  .*\n)*)", tree, re.MULTILINE)[1]
    assert {line.split()[0] for line in packages.splitlines()} >= {f"{name}/" for name in PACKAGES}


def test_plots_name_columns_that_there_are_and_templates_of_the_study():
    templates = ROOT / ".dvc" / "plots"
    for plot in DVC["plots"]:
        if isinstance(plot, str):
            assert (ROOT / plot).exists(), plot
            continue
        ((name, shown),) = plot.items()
        for path, column in shown["y"].items():
            with open(ROOT / path, newline="") as lines:
                assert {shown["x"], column} <= {*csv.DictReader(lines).fieldnames}, name
        json.loads((templates / f"{shown['template']}.json").read_text())


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = params.parse_value((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert f"## [{citation['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    licence = (ROOT / "LICENSE").read_text()
    assert citation["license"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0", licence) and "END OF TERMS AND CONDITIONS" in licence
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text()


def hooks() -> list[dict]:
    sources = params.parse_value((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [source["repo"] for source in sources] == ["local"]  # nothing is fetched
    return sources[0]["hooks"]


def test_hooks_check_what_lint_does():
    entries = [hook["entry"] for hook in hooks()]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    commands = re.findall(r"\$\(BIN\)/(.+)", lint)
    assert len(commands) == len(lint.splitlines())
    for command in commands:
        without_files = re.sub(r" \.\S*$", "", command)  # which pre-commit adds
        assert any(entry.startswith(f".venv/bin/{without_files}") for entry in entries), command


def test_hooks_look_at_files_that_there_are_and_their_own_commands_run():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for hook in hooks():
        assert re.search(hook.get("files", ""), tracked.stdout, re.MULTILINE), hook["id"]
        if hook["entry"].startswith(".venv/bin/python "):
            words = shlex.split(hook["entry"].replace(".venv/bin/python", sys.executable))
            subprocess.run(words, cwd=ROOT, check=True)


def lint_imports(directory: Path) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True)


def test_an_import_upwards_breaks_a_contract(tmp_path):
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert (kept := lint_imports(tmp_path)).returncode == 0, kept.stdout + kept.stderr
    with (tmp_path / "lib/text/traces.py").open("a") as module:
        module.write("from lib.report import style\n")
    broken = lint_imports(tmp_path)
    assert broken.returncode == 1, broken.stderr
    assert "imports go down only BROKEN" in broken.stdout
    assert "lib.text.traces -> lib.report.style" in broken.stdout


def is_workflow(path: Path) -> bool:
    """Whether a file is as GitHub's published schema of workflows has it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_the_workflow_is_valid_and_its_actions_are_pinned(tmp_path):
    text = WORKFLOW.read_text()
    assert is_workflow(WORKFLOW)
    (tmp_path / "ci.yml").write_text(text.replace("runs-on:", "run-on:"))
    assert not is_workflow(tmp_path / "ci.yml")
    uses = re.findall(r"uses: *(.*)", text)
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v[\d.]+", action) for action in uses)


def test_the_workflow_runs_what_the_readme_says_on_this_python():
    readme = (ROOT / "README.md").read_text()
    (said,) = re.findall(r"[^.\n]*\[[^]]*\]\(\.github/workflows/ci\.yml\)[^.]*\.", readme)
    workflow = params.parse_value(WORKFLOW.read_text())
    assert set(workflow["on"]) == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    ran = [step["run"] for step in job["steps"] if "run" in step]
    assert ran == re.findall(r"`(make [a-z]+)`", said) and len(ran) == 3
    (python,) = [step["with"] for step in job["steps"] if "python-version" in step.get("with", {})]
    assert f"python{python['python-version']}" in (ROOT / "Makefile").read_text()
    (kept,) = [step["with"]["path"] for step in job["steps"] if "artifact" in step.get("uses", "")]
    assert kept == "studies/tiny/results/report.html"


def test_the_readme_shows_the_main_table_as_it_is():
    table = pages.main_table_text(ROOT / "results")
    assert table in (ROOT / "README.md").read_text(), f"put this table into README.md:\n{table}"


def test_the_readme_says_what_was_found_as_it_is_computed():
    found = pages.headline_text(ROOT / "results")
    assert found in (ROOT / "README.md").read_text(), f"put this into README.md:\n{found}"


def line_counts(*places: str) -> dict[str, int]:
    """The length of each Python file under some places of lib."""
    files = [path for place in places for path in (ROOT / "lib" / place).rglob("*.py")]
    assert files
    return {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}


def test_no_file_of_the_library_is_long():
    assert not {name: n for name, n in line_counts(".").items() if n > 300}


def test_the_trainer_and_the_core_can_be_read_at_one_sitting():
    core = line_counts("airl", "text")
    assert core["lib/airl/trainer.py"] <= 250
    assert sum(core.values()) <= 1500


def test_every_version_is_pinned():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in packages)
    assert "torch==2.13.0" in packages


def test_every_package_runs_on_any_python_3_11():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    packages = [line.split("==")[0] for line in lines if not line.startswith("#")]
    needs = {name: metadata.metadata(name)["Requires-Python"] or "" for name in packages}
    assert not {name for name, versions in needs.items() if not SpecifierSet(versions).contains("3.11.0")}


def test_importing_the_library_opens_no_connection_and_loads_no_model():
    code = """
import importlib, socket, sys
def refuse(*_, **__): raise SystemExit("a connection at import")
socket.socket.connect = socket.create_connection = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code, *sorted(MODULES)], cwd=ROOT, check=True)


def test_no_tracked_text_names_a_place_on_one_machine():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = (".py", ".md", ".yaml", ".yml", ".toml", ".ipynb", ".json", ".csv", ".html", ".svg", ".lock")
    place = re.compile(r"(?<![\w.])/(home|root|Users|tmp|work|opt)/\w")
    named = [
        name
        for name in tracked.stdout.split("\0")
        if name.endswith(texts) and (ROOT / name).exists() and place.search((ROOT / name).read_text())
    ]
    assert named in ([], ["tests/test_repository.py"])


def test_committed_results_are_of_the_default_profile():
    for path in (ROOT / "results" / "runs").glob("*/*/seed*/run.json"):
        assert json.loads(path.read_text())["profile"] == "default", path


def test_a_checkout_travels():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in tracked.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in paths if path.exists()) <= 56 * 2**20
