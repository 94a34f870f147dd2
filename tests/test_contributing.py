"""CONTRIBUTING.md's examples are whole changes: they apply to the code as it is and pass their tests."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", TEXT, re.MULTILINE))
# Of each example, the tests that go through its names or are its own.
TESTS = {
    "A perturbation": "tests/text/test_perturb.py::test_carried_errors_by_hand",
    "A dataset": "tests/data/test_corpora.py::test_svamp",
    "A backbone": "tests/models/test_scratch.py::test_a_saved_backbone_is_an_ordinary_directory[olmo2]",
    "A credit rule": "tests/airl/test_credit.py::test_leave_one_out_by_hand",
}


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.DOTALL | re.MULTILINE)


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy(directory: Path, *sections: str) -> Path:
    """The code and its tests in a repository of their own, with the examples of the sections."""
    parts = ("lib", "tests", "params.yaml", "pyproject.toml")
    for name in run(ROOT, "git", "ls-files", "-z", *parts).split("\0"):
        if name and (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    run(directory, "git", "init", "--quiet")
    for section in sections:
        (directory / "example.diff").write_text(blocks(section, "diff")[0])
        run(directory, "git", "apply", "example.diff")
    return directory


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy with all four examples."""
    return copy(tmp_path_factory.mktemp("changed"), *TESTS)


def test_every_example_is_short():
    diffs = {name: found for name in SECTIONS if (found := blocks(name, "diff"))}
    assert set(diffs) == set(TESTS)
    assert all(len(found) == 1 and len(found[0].splitlines()) <= 40 for found in diffs.values())


@pytest.mark.parametrize("section", TESTS)
def test_each_example_applies_alone_in_the_codes_style(tmp_path, section):
    copy(tmp_path, section)
    run(tmp_path, sys.executable, "-m", "ruff", "check", ".")
    run(tmp_path, sys.executable, "-m", "ruff", "format", "--check", ".")


def test_the_examples_pass_their_tests(changed):
    """And those that go through all perturbations, backbones and credit rules."""
    files = dict.fromkeys(test.split("::")[0] for test in TESTS.values())
    of_all = "(test_perturb and not label) or same_ids"  # of labels there is a test a rule
    of_examples = f"{of_all} or doubled_term or svamp or olmo2 or leave_one_out"
    shown = run(
        changed, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rp", *files, "-k", of_examples
    )
    passed = set(re.findall(r"^PASSED (.+)$", shown, re.MULTILINE))
    assert set(TESTS.values()) <= passed


def test_the_parameters_take_the_examples(changed):
    code = """
from lib import schema
from lib.study import params
tree = params.apply_profile("params.yaml", "tiny")
settings = params.validate(
    schema.merge(tree, {"data": {"dataset": "svamp"}, "airl": {"credit": "leave_one_out"}}), "params.yaml"
)
assert settings.backbones["olmo2"].architecture == "olmo2"
"""
    run(changed, sys.executable, "-c", code)


def test_the_example_of_a_perturbation_errs_where_it_says(changed):
    """As the text shows it; and by the world's checker, on every family."""
    (code,) = blocks("A perturbation", "python")
    assert "wrong from unit" in run(changed, sys.executable, "-c", code)
    code = """
import random
from lib.data import reading, world
from lib.text import perturb, traces
made = []
for seed in range(30):
    for family in world.FAMILIES:
        problem = world.generate(random.Random(seed), family, 3)
        trace, answer = world.expert(problem)
        wrong = perturb.KINDS["doubled_term"](problem.question, trace, random.Random(seed))
        if wrong is not None:  # a second subtraction may leave nothing
            spans = traces.unit_spans(wrong.text)
            unit = next(i for i, (a, b) in enumerate(spans) if a <= wrong.start < b)
            assert reading.first_wrong_unit(wrong.text, trace) == unit, wrong
            made.append(wrong)
assert len(made) > 15 * len(world.FAMILIES)
assert "doubled_term" in perturb.SETS["carried"] and "doubled_term" in perturb.SETS["all"]
"""
    run(changed, sys.executable, "-c", code)
