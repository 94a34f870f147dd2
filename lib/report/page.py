"""Pieces of the report's page: figures and tables as HTML; every text is escaped."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from lib import runs
from lib.evaluation import words
from lib.evaluation.words import label

HERE = Path(__file__).parent
PUBLISHED_NOTE = (
    "Published rows are of pretrained models on GSM8K; compare the order of the methods, not the levels."
)


def asset(name: str) -> str:
    """A style sheet, script or piece of HTML of this library."""
    return (HERE / name).read_text(encoding="utf-8")


def document(title: str, body: str, *, styles: Sequence[str], script: str, data: object) -> str:
    """A whole page that needs nothing else: its styles, a script, and the JSON block `viewer-data` it reads.

    The page forbids itself every request, and every script but this one.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{''.join(styles)}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}{json_block('viewer-data', data)}"
        f"<script>{script}</script></body></html>\n"
    )


def json_block(name: str, value: object) -> str:
    """Data for a script, as an element that no text inside can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def figure(path: Path, caption: str, sources: str = "") -> str:
    """An SVG with its caption and `sources`, HTML that says where it comes from."""
    data = base64.b64encode(runs.require(path).read_bytes()).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
    return (
        f'<figure><div class="wide">{image}</div>'
        f"<figcaption>{escape(caption)} {sources}</figcaption></figure>"
    )


def csv_link(path: Path) -> str:
    """A link that saves a table as CSV, wherever the page has been moved."""
    data = base64.b64encode(runs.require(path).read_bytes()).decode()
    return f'<a download="{escape(path.name)}" href="data:text/csv;base64,{data}">CSV</a>'


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """Content that a reader can fold away, or unfold."""
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{content}</details>"


def contents(sections: Sequence[tuple[str, str]]) -> str:
    """Titled sections of HTML, and before them a list of links to each."""
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name, _ in sections)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{content}</section>\n'
        for name, content in sections
    )
    return f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n{body}'


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def bullets(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def html_table(header: Sequence[str], rows: Sequence[Sequence], published: Sequence[Sequence] = ()) -> str:
    """An HTML table; the `published` rows come last and look different."""

    def line(cells: Sequence, tag: str = "td") -> str:
        return "".join(f"<{tag}{_kind(str(cell))}>{escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    body += "".join(f'<tr class="published">{line(row)}</tr>' for row in published)
    return f'<div class="wide"><table><tr>{line(header, "th")}</tr>{body}</table></div>'


def _kind(cell: str) -> str:
    """Numbers, intervals too, are not to be broken into lines."""
    return ' class="number"' if re.match(r"[-+]?\d", cell) else ""


def estimates(table: pd.DataFrame, keys: Sequence[str], estimates: dict[str, str]) -> str:
    """A table of keys and of estimates with their intervals; `estimates` maps a column to its prefix."""
    rows = [
        [label(row[k]) if isinstance(row[k], str) else row[k] for k in keys]
        + [words.interval(row, name, prefix) for name, prefix in estimates.items()]
        for _, row in table.iterrows()
    ]
    return html_table([name.replace("_at_", "@").replace("_", " ") for name in (*keys, *estimates)], rows)


def main_rows(main: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of pass@k, a column a k."""
    ks = sorted(main["k"].unique())
    rows = []
    for (backbone, method), group in main.groupby(["backbone", "method"], sort=False):
        by_k = {row["k"]: words.interval(row, "pass_at_k") for _, row in group.iterrows()}
        rows.append([backbone, label(method), str(group["n_seeds"].iloc[0]), *(by_k.get(k, "") for k in ks)])
    return ["backbone", "method", "seeds", *(f"pass@{k}" for k in ks)], rows


def main_table(main: pd.DataFrame) -> str:
    return html_table(*main_rows(main))


def published_main(published: pd.DataFrame) -> str:
    rows = published[published["experiment"] == "main"]
    ks = sorted(rows["k"].unique())
    cells = []
    for (backbone, method, source), group in rows.groupby(["backbone", "method", "source"], sort=False):
        by_k = dict(zip(group["k"], group["value"], strict=True))
        numbers = [f"{by_k[k]:.2f}" if k in by_k else "" for k in ks]
        cells.append([backbone, label(method), *numbers, source])
    return html_table(["backbone", "method", *(f"pass@{k:.0f}" for k in ks), "source"], [], cells)


def rerank_table(table: pd.DataFrame) -> str:
    largest = table[table["n"] == table["n"].max()]
    return estimates(largest, ["backbone", "policy", "variant", "selector", "n", "n_seeds"], {"accuracy": ""})


def published_hits(published: pd.DataFrame) -> str:
    rows = published[published["experiment"] == "localisation"]
    cells = [
        [r.backbone, label(r.method), f"{r.value:.3f}", f"{r.source}; {r.note}"] for r in rows.itertuples()
    ]
    return html_table(["backbone", "detector", "hit@1", "source"], [], cells)


def published_ablations(published: pd.DataFrame) -> str:
    rows = published[published["experiment"].isin(["ablation", "granularity"])].fillna({"note": ""})
    cells = [
        [r.backbone, label(r.method), f"{r.value:.2f}", r.source + (f"; {r.note}" if r.note else "")]
        for r in rows.itertuples()
    ]
    return html_table(["backbone", "setting or method", "pass@1", "source"], [], cells)


def costs(costs: pd.DataFrame) -> str:
    rows = [
        [r.backbone, label(r.method), r.n_seeds, f"{r.seconds:.0f}", f"{r.peak_memory_mib:.0f}"]
        for r in costs.itertuples()
    ]
    return html_table(["backbone", "method", "seeds", "seconds a run (mean)", "peak memory (MiB)"], rows)


def stages(table: pd.DataFrame) -> str:
    rows = [[label(r.stage), r.runs, f"{r.hours:.1f}", f"{r.mean_seconds:.0f}"] for r in table.itertuples()]
    return html_table(["stage", "runs", "hours in all", "seconds a run (mean)"], rows)


def provenance_section(facts: dict) -> str:
    rows = facts["runs"]
    versions = sorted({f"{name} {version}" for run in rows for name, version in run["versions"].items()})
    hashes = {name: sorted({run[name] for run in rows}) for name in ("code_sha256", "data_sha256")}
    shown = "".join(f"<p>{name}: <code>{escape(', '.join(of))}</code></p>" for name, of in hashes.items())
    parameters = json.dumps(facts["parameters"], indent=1)
    commit = facts["commit"] or "not committed, or changed since"
    return (
        f"<p>Commit of the code, parameters and records: <code>{escape(commit)}</code>.</p>"
        f"<p>{len(rows)} runs on {escape('; '.join(sorted({run['hardware'] for run in rows})))}.</p>"
        f"<p>Packages: {escape(', '.join(versions))}.</p>"
        + folded("Hashes of the code and data of the runs", shown)
        + folded("Parameters", f"<pre>{escape(parameters)}</pre>")
        + "<p>Each run's own are in <code>provenance.json</code> beside this page.</p>"
    )
