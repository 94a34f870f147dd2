"""Runs one notebook: from its .py through jupytext and papermill to an executed .ipynb.

`python -m lib.study.execute NOTEBOOK.py --out EXECUTED.ipynb -p name value ...` refuses a parameter the
notebook does not have, writes the result only if every cell ran, and strips what changes from run to
run, so that a notebook whose cells are deterministic gives the same bytes again.
"""

import argparse
import base64
import os
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from ruamel.yaml.error import YAMLError

from lib import files, images
from lib.study.params import parse_value

ROOT = Path(__file__).parents[2]
PNG = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(notebook: str | Path, out: str | Path, parameters: dict[str, Any]) -> None:
    """Execute a percent-format notebook at the root of the repository and save it under `out`.

    Raises ValueError, in one line, for a missing notebook, an unknown parameter, or a cell that
    fails; then the notebook up to there is kept beside `out` as `*.failed.ipynb`.
    """
    notebook, out = Path(notebook), Path(out)
    if not notebook.exists():
        raise ValueError(f"{notebook}: no such notebook")
    source = jupytext.read(notebook)
    _check_parameters(notebook, source, parameters)
    _use_this_python()
    failed = out.with_suffix(".failed.ipynb")
    failed.parent.mkdir(parents=True, exist_ok=True)
    try:
        executed = papermill.execute_notebook(
            source,
            str(failed),
            parameters,
            kernel_name=KERNELSPEC["name"],
            language=KERNELSPEC["language"],
            cwd=ROOT,
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars of the cells
        )
    except PapermillExecutionError as error:
        last = ([line for line in error.evalue.splitlines() if line.strip()] or [""])[-1]
        where = f"{notebook}: cell [{error.exec_count}]"
        raise ValueError(f"{where}: {error.ename}: {last} (see {failed})") from error
    except DeadKernelError as error:
        raise ValueError(f"{notebook}: the kernel died, perhaps for want of memory (see {failed})") from error
    with files.new_file(out) as temporary:
        nbformat.write(stripped(executed), temporary)
    failed.unlink()


def stripped(notebook: NotebookNode) -> NotebookNode:
    """A copy without timings, random cell ids, versions, stderr and progress; its figures of few colours.

    Text that reached stdout in several pieces is joined: how it was cut is a matter of timing.
    """
    cells = []
    for index, cell in enumerate(notebook.cells):
        kept = NotebookNode(id=f"cell-{index}", cell_type=cell.cell_type, source=cell.source, metadata={})
        if cell.metadata.get("tags"):
            kept.metadata["tags"] = cell.metadata["tags"]
        if cell.cell_type == "code":
            kept |= {"execution_count": cell.execution_count, "outputs": _stripped_outputs(cell.outputs)}
        cells.append(kept)
    metadata = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _stripped_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        shown = output.get("data", {})
        if output.get("name") == "stderr" or "<progress" in shown.get("text/html", "") or WIDGET in shown:
            continue
        if PNG in shown:
            few = images.with_few_colours(base64.b64decode(shown[PNG]))
            output = NotebookNode(output, data=NotebookNode(shown) | {PNG: base64.b64encode(few).decode()})
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1] = NotebookNode(kept[-1], text=kept[-1].text + output.text)
        else:
            kept.append(output)
    return kept


def _check_parameters(path: Path, notebook: NotebookNode, parameters: dict[str, Any]) -> None:
    """papermill only warns of these."""
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise ValueError(f'{path}: no parameters cell; tag one: # %% tags=["parameters"]')
    # the kernel's language as metadata, which papermill looks for in every notebook
    notebook.metadata.kernelspec = KERNELSPEC
    known = papermill.inspect_notebook(notebook)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise ValueError(f"{path}: unknown parameter {', '.join(unknown)}; it has {', '.join(known)}")


def _parameter(name: str, value: str) -> Any:
    """A parameter's value, given as YAML. Raises ValueError, in one line, if it is none."""
    try:
        return parse_value(value)
    except YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(
            f"-p {name}: {value!r} is not YAML: {problem}; as a text give \"'{value}'\""
        ) from error


def _use_this_python() -> None:
    """Start kernels with the running interpreter, whatever `python3` kernel the user has installed."""
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    os.environ["PYTHONHASHSEED"] = "0"  # the order of sets, which reaches outputs and adapter_config.json


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lib.study.execute", description="Run one notebook.")
    parser.add_argument("notebook", help="the .py of the pair")
    parser.add_argument("--out", required=True, help="where to save the executed .ipynb")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter, as YAML"
    )
    arguments = parser.parse_args()
    try:
        execute(arguments.notebook, arguments.out, {name: _parameter(name, v) for name, v in arguments.p})
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
