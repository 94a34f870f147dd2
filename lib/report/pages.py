"""The study on one page: `results/report.html`, self-contained, the same bytes from the same records.

`python -m lib.report --summary` prints the main table, what was found, and where the page is.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd

from lib import files, runs
from lib.evaluation import comparisons
from lib.evaluation import studies as others
from lib.evaluation.records import Records
from lib.evaluation.tables import MAIN_VARIANT, read
from lib.report import findings, headline, rendering, sceptic, shown_tables, targets
from lib.schema import Params
from lib.study import params

TABLES = (
    "main gains gains_unlike by_seed published departures rerank localisation localisation_by_kind "
    "false_alarms reward_quality reward_quality_sft rivals ablations transfer long costs stages"
).split()
OPTIONAL = ("external", "first_error", "studies")  # tables of what a study need not have
WIDTH = 110  # of text, in characters
INPUTS = "lib notebooks params.yaml results/data results/runs results/localisation"


def trees() -> dict[str, str]:
    """Git's hashes of code, parameters and records; none where they are not as committed.

    Not a commit: in a shallow clone every file seems to be of the last one.
    """

    def git(*arguments: str) -> list[str]:
        command = ["git", *arguments, "--", *INPUTS.split()]
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()

    if git("status", "--porcelain"):
        return {}
    found = (line.split() for line in git("ls-tree", "HEAD"))
    return {path: sha for _, _, sha, path in found}


def provenance(records: Records, settings: Params) -> dict:
    """Git's trees, the parameters, and of every run its versions, hardware, seconds, memory and hashes."""
    keys = "backbone method seed seconds peak_memory_mib hardware code_sha256 data_sha256 versions".split()
    facts = {"trees": trees(), "parameters": settings.model_dump(mode="json")}
    return facts | {"runs": records.runs[keys].to_dict("records")}


def build(results: str | Path, settings: Params, records: Records, traces: dict) -> Path:
    """Write report.html, viewer.html and provenance.json from what is under `results`; returns the report.

    `traces` are those of `lib.report.token_values`. Raises ValueError naming a missing table or figure.
    """
    results = Path(results)
    there = [*TABLES, *(name for name in OPTIONAL if _csv(results, name).exists())]
    tables = {name: read(name, results / "tables") for name in there}
    facts = provenance(records, settings)
    files.write_json(results / "provenance.json", facts)
    report = rendering.render(
        "report.html",
        tables=shown_tables.shown(tables),
        found=_once(headline.table({"": tables} | others.tables(results)), "of"),
        asked=_once(sceptic.table(tables), "asked"),
        aimed=_aimed(targets.table(tables)),
        said=findings.by_section(tables),
        svg=lambda name: rendering.data_url(results / "figures" / f"{name}.svg", "image/svg+xml"),
        csv=lambda name: rendering.data_url(_csv(results, name), "text/csv"),
        changed=set(tables["ablations"]["ablation"]),
        amounts=comparisons.AMOUNTS,
        settings=settings,
        studies=studies(results),
        **_of_runs(records.runs, settings),
        **_of_provenance(facts),
    )
    files.write_text(results / "viewer.html", viewer_page(traces))
    return files.write_text(results / "report.html", report)


def studies(results: str | Path) -> dict[str, dict]:
    """The studies at other profiles that `make keep` put under `results/<profile>`, by the profile's name.

    Each has its `settings`, what is `said` of it, and its `tables` as the page shows them.
    """
    return {
        name: {
            "settings": params.load(Path(results) / name / "params.yaml"),
            "said": headline.sentences(tables),
            # a base policy that is never right says nothing of a reward
            "tables": shown_tables.estimated(
                tables | {"reward_quality": tables["reward_quality"].dropna(subset=["auroc"])}
            ),
        }
        for name, tables in others.tables(results).items()
    }


def _once(table: pd.DataFrame, name: str) -> shown_tables.Shown:
    """A table whose first column, `name`, says a value where it begins alone."""
    table = table.assign(**{name: table[name].where(~table[name].duplicated(), "")})
    return shown_tables.Shown(["", "", *list(table)[2:]], table.to_numpy().tolist())


def _aimed(table: pd.DataFrame) -> shown_tables.Shown:
    return shown_tables.Shown(["", "aimed at", *list(table)[2:]], table.to_numpy().tolist())


def viewer_page(traces: dict) -> str:
    """The viewer as a page of its own."""
    return rendering.render("viewer_page.html", traces=traces)


def _csv(results: Path, name: str) -> Path:
    """A table's file; that of another profile's study is `<profile>/<table>`."""
    profile, _, table = name.rpartition("/")
    return results / profile / "tables" / f"{table}.csv"


def _of_runs(rows: pd.DataFrame, settings: Params) -> dict:
    """How long the runs are, how many seeds each method has, and what a reader must know of some."""
    ablations = (name for name in settings.ablations if settings.ablated(name) == MAIN_VARIANT)
    stopped = rows[rows["status"] != "completed"].itertuples()
    return {
        "ablated": next((settings.airl_variant(name) for name in ablations), None),
        "full": settings.airl_variant(MAIN_VARIANT),
        "seeds": list(rows.groupby("method")["seed"].nunique()),
        "relabelled": [m for m in settings.with_reward if settings.airl_variant(m).relabel_correct],
        "stopped": [f"{r.method} on {r.backbone}, seed {r.seed} ({r.status})" for r in stopped],
    }


def _of_provenance(facts: dict) -> dict:
    """What the page shows of `provenance`."""

    def distinct(name: str) -> list[str]:
        return sorted({run[name] for run in facts["runs"]})

    packages = {f"{name} {version}" for run in facts["runs"] for name, version in run["versions"].items()}
    return {
        "provenance": facts,
        "hardware": distinct("hardware"),
        "packages": sorted(packages),
        "hashes": {name: distinct(name) for name in ("code_sha256", "data_sha256")},
        "parameters": json.dumps(facts["parameters"], indent=1),
    }


def main_table_text(results: str | Path) -> str:
    """The main table as text. Raises ValueError if there is none yet."""
    main = shown_tables.main(read("main", Path(results) / "tables"))
    lines = [main.header, *main.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def headline_text(results: str | Path) -> str:
    """What was found, a Markdown list and a table, and a table of what was aimed at.

    Raises ValueError if there are no tables yet.
    """
    directory = Path(results) / "tables"
    tables = {name: read(name, directory) for name in {*headline.TABLES, *targets.TABLES}}
    real = findings.real(read("studies", directory)) if (directory / "studies.csv").exists() else []
    lines = findings.markdown([*headline.sentences(tables), *real]).split("\n")
    found = _once(headline.table({"": tables} | others.tables(results)), "of")
    wrapped = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines]
    return "\n".join([*wrapped, "", *_rows(found), "", *_rows(_aimed(targets.table(tables)))])


def _rows(shown: shown_tables.Shown) -> list[str]:
    """A table in Markdown."""
    rows = [shown.header, ["---"] * len(shown.header), *shown.rows]
    return [f"| {' | '.join(row)} |" for row in rows]


def summary(results: str | Path) -> str:
    """The main table, what was found, and where the report is. Raises ValueError if there is none yet."""
    report = runs.require(Path(results) / "report.html")
    return f"{main_table_text(results)}\n\n{headline_text(results)}\n\nreport: {report}"


def command() -> None:
    if sys.argv[1:] != ["--summary"]:
        sys.exit("usage: python -m lib.report --summary")
    try:
        print(summary("results"))
    except ValueError as error:
        sys.exit(str(error))
