"""Pieces of the report's page: figures and tables as HTML; every text is escaped."""

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from lib import findings, runs
from lib.style import label


def figure(path: Path, caption: str) -> str:
    data = base64.b64encode(runs.require(path).read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def bullets(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def html_table(header: Sequence[str], rows: Sequence[Sequence], published: Sequence[Sequence] = ()) -> str:
    """An HTML table; the `published` rows come last and look different."""

    def line(cells: Sequence, tag: str = "td") -> str:
        return "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    body += "".join(f'<tr class="published">{line(row)}</tr>' for row in published)
    return f'<div class="wide"><table><tr>{line(header, "th")}</tr>{body}</table></div>'


def estimates(table: pd.DataFrame, keys: Sequence[str], estimates: dict[str, str]) -> str:
    """A table of keys and of estimates with their intervals; `estimates` maps a column to its prefix."""
    rows = [
        [label(row[k]) if isinstance(row[k], str) else row[k] for k in keys]
        + [findings.interval(row, name, prefix) for name, prefix in estimates.items()]
        for _, row in table.iterrows()
    ]
    return html_table([name.replace("_at_", "@").replace("_", " ") for name in (*keys, *estimates)], rows)


def main_rows(main: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of pass@k, a column a k."""
    ks = sorted(main["k"].unique())
    rows = []
    for (backbone, method), group in main.groupby(["backbone", "method"], sort=False):
        by_k = {row["k"]: findings.interval(row, "pass_at_k") for _, row in group.iterrows()}
        rows.append([backbone, label(method), str(group["n_seeds"].iloc[0]), *(by_k.get(k, "") for k in ks)])
    return ["backbone", "method", "seeds", *(f"pass@{k}" for k in ks)], rows


def main_table(main: pd.DataFrame, published: pd.DataFrame) -> str:
    header, rows = main_rows(main)
    ours = [[*row, "this study"] for row in rows]
    theirs = []
    for (backbone, method, source), group in published[published["experiment"] == "main"].groupby(
        ["backbone", "method", "source"], sort=False
    ):
        by_k = {f"pass@{row['k']:.0f}": f"{row['value']:.2f}" for _, row in group.iterrows()}
        theirs.append([backbone, label(method), "", *(by_k.get(name, "") for name in header[3:]), source])
    note = (
        "Published rows are of pretrained models on GSM8K; compare the order of the methods, not the levels."
    )
    return html_table([*header, "source"], ours, theirs) + f"<p>{note}</p>"


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


def provenance_section(facts: dict) -> str:
    rows = facts["runs"]
    versions = sorted({f"{name} {version}" for run in rows for name, version in run["versions"].items()})
    hashes = {name: sorted({run[name] for run in rows}) for name in ("code_sha256", "data_sha256")}
    parameters = json.dumps(facts["parameters"], indent=1)
    return (
        f"<p>{len(rows)} runs on {escape('; '.join(sorted({run['hardware'] for run in rows})))}.</p>"
        f"<p>Packages: {escape(', '.join(versions))}.</p>"
        + "".join(
            f"<p>{name}: <code>{escape(', '.join(values))}</code></p>" for name, values in hashes.items()
        )
        + f"<details><summary>Parameters</summary><pre>{escape(parameters)}</pre></details>"
        + "<p>Each run's own are in <code>provenance.json</code> beside this page.</p>"
    )
