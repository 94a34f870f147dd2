"""The study on one page: `results/report.html`, self-contained, the same bytes from the same records.

`python -m lib.report --summary` prints the main table and where the page is.
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from lib import files, runs
from lib.evaluation.records import Records
from lib.report import page, sections
from lib.schema import Params

TABLES = (
    "main gains published rerank localisation localisation_by_kind reward_quality ablations transfer long "
    "costs stages"
).split()
TITLE = "A reasoning reward from expert demonstrations"
INPUTS = (
    "lib notebooks params.yaml results/data results/runs results/scores results/localisation results/transfer"
)


def commit() -> str:
    """The last commit that changed code, parameters or records; "" where they are not as committed."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments, "--", *INPUTS.split()]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    return "" if git("status", "--porcelain") else git("log", "-1", "--format=%H")


def provenance(records: Records, settings: Params) -> dict:
    """The commit, the parameters, and of every run its versions, hardware, seconds, memory and hashes."""
    keys = "backbone method seed seconds peak_memory_mib hardware code_sha256 data_sha256 versions".split()
    facts = {"commit": commit(), "parameters": settings.model_dump(mode="json")}
    return facts | {"runs": records.runs[keys].to_dict("records")}


def build(results: str | Path, settings: Params, records: Records, traces: dict) -> Path:
    """Write report.html, viewer.html and provenance.json from what is under `results`; returns the report.

    `traces` are those of `lib.report.token_values`. Raises ValueError naming a missing table or figure.
    """
    results = Path(results)
    tables = {name: pd.read_csv(runs.require(results / "tables" / f"{name}.csv")) for name in TABLES}
    facts = provenance(records, settings)
    files.write_json(results / "provenance.json", facts)

    told = page.contents(sections.sections(results, tables, settings, records, facts))
    files.write_text(results / "viewer.html", viewer_page(traces))
    return files.write_text(results / "report.html", _page(TITLE, told, traces))


def viewer_page(traces: dict) -> str:
    """The viewer as a page of its own."""
    belongs = 'They belong to the <a href="report.html">report</a>.'
    body = f"<p>{sections.VIEWER} {belongs}</p>{page.asset('viewer.html')}"
    return _page("Rewards token by token", body, traces)


def _page(title: str, body: str, traces: dict) -> str:
    styles = [page.asset("page.css"), page.asset("viewer.css")]
    return page.document(title, body, styles=styles, script=page.asset("viewer.js"), data=traces)


def main_table_text(results: str | Path) -> str:
    """The main table as text. Raises ValueError if there is none yet."""
    header, rows = page.main_rows(pd.read_csv(runs.require(Path(results) / "tables" / "main.csv")))
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in [header, *rows]
    )


def summary(results: str | Path) -> str:
    """The main table, and where the report is. Raises ValueError if there is none yet."""
    return f"{main_table_text(results)}\n\nreport: {runs.require(Path(results) / 'report.html')}"


def command() -> None:
    if sys.argv[1:] != ["--summary"]:
        sys.exit("usage: python -m lib.report --summary")
    try:
        print(summary("results"))
    except ValueError as error:
        sys.exit(str(error))
