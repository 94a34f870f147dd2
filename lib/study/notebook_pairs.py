"""The .ipynb of each notebook's pair: written from its .py, without outputs, the same bytes each time.

`python -m lib.study.notebook_pairs` rewrites them all; edit the .py, or in Jupyter, which keeps
the two in step.
`python -m lib.study.notebook_pairs --check` writes nothing, names the pairs that differ
and fails if there are any.
"""

import sys
from pathlib import Path

import jupytext
import nbformat

from lib import files
from lib.study.execute import KERNELSPEC, ROOT

NOTEBOOKS = ROOT / "notebooks"
METADATA = {"jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": KERNELSPEC}


def write_pair(source: Path) -> None:
    """Write the .ipynb beside a percent-format .py."""
    notebook = jupytext.read(source)
    notebook.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    with files.new_file(source.with_suffix(".ipynb")) as temporary:
        nbformat.write(notebook, temporary)


def faults() -> list[str]:
    """What is wrong with the pairs of notebooks, a line each; none if all are in step and output-free."""
    lines = []
    stems = {path.stem for pattern in ("*.py", "*.ipynb") for path in NOTEBOOKS.glob(pattern)}
    for stem in sorted(stems):
        pair = [NOTEBOOKS / f"{stem}.py", NOTEBOOKS / f"{stem}.ipynb"]
        missing = [path.name for path in pair if not path.exists()]
        if missing:
            lines.append(f"{missing[0]}: missing; run `make notebooks`")
            continue
        source, notebook = (jupytext.read(path) for path in pair)
        cells = [[(cell.cell_type, cell.source) for cell in one.cells] for one in (source, notebook)]
        if cells[0] != cells[1]:
            lines.append(f"{stem}: the pair differs; run `make notebooks`")
        if any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
            lines.append(f"{stem}.ipynb: has outputs; run `make notebooks`")
    return lines


def main(arguments: list[str]) -> None:
    if arguments == ["--check"]:
        sys.exit("\n".join(faults()) or None)
    if arguments:
        sys.exit("usage: python -m lib.study.notebook_pairs [--check]")
    for path in sorted(NOTEBOOKS.glob("*.py")):
        write_pair(path)


if __name__ == "__main__":
    main(sys.argv[1:])
