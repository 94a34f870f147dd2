import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lib.study import execute, notebook_pairs

ROOT = Path(__file__).parents[2]

NOTEBOOK = """# %% [markdown]
# # A notebook

# %% tags=["parameters"]
backbone = "qwen2"
seed = 0
fast = True

# %%
import sys
from pathlib import Path
from IPython.display import HTML, display
print(backbone, seed, fast is False, Path("params.yaml").exists(), flush=True)
print("a warning", file=sys.stderr, flush=True)
print(sys.executable, flush=True)
display(HTML("<progress value=3></progress> 00:01"))
bar = {"application/vnd.jupyter.widget-view+json": {"model_id": "random"}, "text/plain": "50%"}
display(bar, raw=True)
{"a", "b", "c"}

# %%
assert seed != 13, "first line\\nthe last line"
"""


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "notebook.py"
    path.write_text(NOTEBOOK)
    return path


def cells(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def test_a_notebook_runs_with_its_parameters_and_this_python_twice_alike(notebook, tmp_path, monkeypatch):
    # a kernel of that name that the user installed for another python
    other = tmp_path / "user" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "x", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")

    outs = [tmp_path / "deep" / name for name in ("first.ipynb", "second.ipynb")]
    for out in outs:
        execute.execute(notebook, out, {"backbone": "llama", "seed": 1, "fast": False})
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert sorted((tmp_path / "deep").iterdir()) == outs  # neither temporary nor failed ones

    notebook_cells = cells(outs[0])
    assert [cell.id for cell in notebook_cells] == ["cell-0", "cell-1", "cell-2", "cell-3", "cell-4"]
    assert notebook_cells[2].metadata == {"tags": ["injected-parameters"]}
    stdout, value = notebook_cells[3].outputs
    assert stdout.text == f"llama 1 True True\n{sys.executable}\n"
    assert value.output_type == "execute_result"
    assert {key for cell in notebook_cells for key in cell.metadata} == {"tags"}
    metadata = nbformat.read(outs[0], as_version=4).metadata
    assert metadata == {"kernelspec": execute.KERNELSPEC, "language_info": {"name": "python"}}


def test_a_failing_cell_is_named_in_one_line_and_leaves_no_result(notebook, tmp_path):
    out = tmp_path / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "lib.study.execute",
        str(notebook),
        "--out",
        str(out),
        "-p",
        "seed",
        "13",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    failed = tmp_path / "out.failed.ipynb"
    said = f"{notebook}: cell [4]: AssertionError: the last line (see {failed})"
    assert result.stderr.splitlines()[-1] == said
    assert not out.exists()
    assert any(output.output_type == "error" for cell in cells(failed) for output in cell.get("outputs", []))


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        (NOTEBOOK, {"sead": 1}, "unknown parameter sead; it has backbone, seed, fast"),
        (NOTEBOOK.replace(' tags=["parameters"]', ""), {}, "no parameters cell; tag one"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(tmp_path, text, parameters, message):
    path = tmp_path / "notebook.py"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        execute.execute(path, tmp_path / "out.ipynb", parameters)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert [p.name for p in tmp_path.iterdir()] == ["notebook.py"]


def test_a_value_that_is_not_yaml_is_refused_in_one_line(notebook, tmp_path):
    command = [sys.executable, "-m", "lib.study.execute", str(notebook), "--out", str(tmp_path / "out.ipynb")]
    for value in ("@x", "[1", "\x07", "{a: b: c}"):
        result = subprocess.run([*command, "-p", "backbone", value], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result.stderr
        assert result.stderr.startswith(f"-p backbone: {value!r} is not YAML: ")
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.py"]
    assert execute._parameter("backbone", "'@x'") == "@x"  # what the line advises


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.py: no such notebook"):
        execute.execute(tmp_path / "none.py", tmp_path / "out.ipynb", {})


def test_stdout_is_joined_however_it_was_cut():
    def run(*pieces):
        outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
        cell = nbformat.v4.new_code_cell("f()", outputs=outputs, execution_count=1)
        return execute.stripped(nbformat.v4.new_notebook(cells=[cell]))

    whole = run(("stdout", "one\ntwo\n"))
    assert run(("stdout", "one\n"), ("stderr", "50%"), ("stdout", "two\n")) == whole
    assert whole.cells[0].outputs[0].text == "one\ntwo\n"


def test_a_pair_is_written_the_same_each_time_and_found_in_step(notebook, monkeypatch):
    monkeypatch.setattr(notebook_pairs, "NOTEBOOKS", notebook.parent)
    notebook_pairs.write_pair(notebook)
    first = notebook.with_suffix(".ipynb").read_bytes()
    notebook_pairs.write_pair(notebook)
    assert notebook.with_suffix(".ipynb").read_bytes() == first
    assert notebook_pairs.faults() == []


def test_a_pair_out_of_step_is_named(notebook, monkeypatch):
    monkeypatch.setattr(notebook_pairs, "NOTEBOOKS", notebook.parent)
    assert notebook_pairs.faults() == ["notebook.ipynb: missing; run `make notebooks`"]
    notebook_pairs.write_pair(notebook)
    notebook.write_text(NOTEBOOK.replace("seed = 0", "seed = 1"))
    assert notebook_pairs.faults() == ["notebook: the pair differs; run `make notebooks`"]
    notebook_pairs.write_pair(notebook)
    executed = nbformat.read(notebook.with_suffix(".ipynb"), as_version=4)
    executed.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="1")]
    nbformat.write(executed, notebook.with_suffix(".ipynb"))
    assert notebook_pairs.faults() == ["notebook.ipynb: has outputs; run `make notebooks`"]
    notebook.unlink()
    assert notebook_pairs.faults() == ["notebook.py: missing; run `make notebooks`"]


def test_the_check_of_pairs_fails_with_what_is_wrong_and_writes_nothing(notebook, monkeypatch):
    monkeypatch.setattr(notebook_pairs, "NOTEBOOKS", notebook.parent)
    with pytest.raises(SystemExit) as wrong:
        notebook_pairs.main(["--check"])
    assert wrong.value.code == "notebook.ipynb: missing; run `make notebooks`"
    assert not notebook.with_suffix(".ipynb").exists()
    notebook_pairs.main([])
    with pytest.raises(SystemExit) as right:
        notebook_pairs.main(["--check"])
    assert right.value.code is None
    with pytest.raises(SystemExit, match="usage"):
        notebook_pairs.main(["check"])
