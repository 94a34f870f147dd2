"""The study on one page: `results/report.html`, self-contained, the same bytes from the same records.

`python -m lib.report --summary` prints the main table and where the page is.
"""

import base64
import json
import os
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from lib import findings, runs
from lib.params import Params
from lib.records import Records
from lib.style import label

TABLES = "main published rerank localisation reward_quality ablations costs".split()
STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #d4d4d4; --soft: #f3f3f3 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --line: #44484d; --soft: #22262a } }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, sans-serif }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px }
figure { margin: 1rem 0 } figcaption { font-size: 0.9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 0.86rem; margin: 0.8rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 0.7rem; text-align: left;
  white-space: nowrap }
th { background: var(--soft) } tr.published { font-style: italic; background: var(--soft) }
pre { font-size: 0.85rem } code { overflow-wrap: anywhere }
@media print { :root { --ink: #000; --paper: #fff; --line: #bbb; --soft: #f3f3f3; color-scheme: light }
  body { max-width: none; font-size: 10pt } figure, table { break-inside: avoid } h2 { break-after: avoid }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""
QUESTION = """Can a reward for reasoning be learned from a few expert demonstrations alone, without
graded answers, and does that one reward serve three uses: to train a policy, to choose among samples, and
to point at the first wrong step? The study repeats the experiments of <em>Learning a Dense Reasoning Reward
Model from Expert Demonstration via Inverse Reinforcement Learning</em> (arXiv 2510.01857) at a scale that
runs on two CPU cores."""
METHOD = """A discriminator reads question and trace and gives a logit at every token, trained to be high on
expert traces and low on the policy's samples and on rule-made near misses of the experts. Its logits are the
policy's reward, normalised within a group of samples and discounted backwards, in the place of graded answers
in GRPO. SFT imitates the same demonstrations; GRPO on true answers is the upper bound."""
READING = """Intervals are 95% bootstrap intervals over problems and seeds. “Intervals apart” means
that two of them do not touch; where they overlap, nothing is claimed."""


def provenance(records: Records, settings: Params) -> dict:
    """Parameters, and of every run its versions, hardware, seconds, memory and hashes."""
    keys = "backbone method seed seconds peak_memory_mib hardware code_sha256 data_sha256 versions".split()
    return {"parameters": settings.model_dump(mode="json"), "runs": records.runs[keys].to_dict("records")}


def build(results: str | Path, settings: Params, records: Records, heatmaps: Sequence[str]) -> Path:
    """Write report.html and provenance.json from the tables and figures under `results`; returns the page.

    `heatmaps` are pieces of HTML from `lib.viewer`. Raises ValueError naming a missing table or figure.
    """
    results = Path(results)
    tables = {name: pd.read_csv(runs.require(results / "tables" / f"{name}.csv")) for name in TABLES}
    facts = provenance(records, settings)
    runs.write_json(results / "provenance.json", facts)

    def figure(name: str, caption: str) -> str:
        return _figure(results / "figures" / f"{name}.svg", caption)

    quality = tables["reward_quality"]
    sections = [
        ("The question", f"<p>{QUESTION}</p>"),
        ("The method", f"<p>{METHOD}</p><p>{READING}</p>"),
        (
            "Policies",
            _list(findings.main(tables["main"]))
            + figure("pass_at_k", "Pass@k of every method on the test problems.")
            + _main_table(tables["main"], tables["published"]),
        ),
        (
            "Choosing among samples",
            _list(findings.rerank(tables["rerank"], "base"))
            + figure(
                "rerank",
                "Accuracy of the one answer that each selector chooses from n samples of the base policy.",
            )
            + figure(
                "reranked_pass_at_k",
                "A right answer among the k samples ranked first, of all that were drawn.",
            )
            + _rerank_table(tables["rerank"]),
        ),
        (
            "Pointing at the first wrong step",
            _list(findings.localisation(tables["localisation"]))
            + figure(
                "localisation",
                "Detectors are compared on the same units: each step is one, the answer the last.",
            )
            + _estimates(
                tables["localisation"],
                ["backbone", "error_source", "detector", "n", "n_seeds"],
                {"hit_at_1": ""},
            )
            + _published_hits(tables["published"]),
        ),
        (
            "The reward",
            _list(findings.reward_quality(quality))
            + figure("reward_distributions", "Reward of right and wrong traces of the base policy.")
            + figure(
                "correlations", "What the reward goes with, on the base policy's samples (mean over seeds)."
            )
            + figure("calibration", "Sigmoid of the last logit as the probability of a right answer.")
            + _estimates(
                quality,
                ["backbone", "variant", "n_seeds"],
                {"auroc": "", "ece": "ece_", "corr_correct": "corr_correct_", "corr_format": "corr_format_"},
            ),
        ),
        (
            "Ablations",
            _list(findings.ablations(tables["ablations"]))
            + figure(
                "perturbations", "The paper's ablation: perturbed experts as further negatives, or none."
            )
            + _estimates(
                tables["ablations"],
                ["ablation", "value", "backbone", "n_seeds"],
                {"pass_at_1": "", "auroc": "auroc_", "hit_at_1": "hit_at_1_"},
            )
            + _published_ablations(tables["published"]),
        ),
        (
            "Learning curves",
            figure("learning_curves", "The AUROC is computed against true answers for monitoring only."),
        ),
        (
            "Token by token",
            figure(
                "reward_along_trace",
                "Reward and discounted return at each token of a right and a wrong trace.",
            )
            + "".join(heatmaps)
            + figure("token_heatmaps", "The same traces as a figure."),
        ),
        ("Costs", _costs(tables["costs"])),
        ("Limits", _list(_limits(settings, records))),
        ("Provenance", _provenance(facts)),
    ]
    title = "A reasoning reward from expert demonstrations"
    body = "".join(f"<section><h2>{escape(name)}</h2>{content}</section>\n" for name, content in sections)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
    )
    path = results / "report.html"
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(page, encoding="utf-8", newline="\n")
    os.replace(temporary, path)
    return path


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(runs.require(path).read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def _table(header: Sequence[str], rows: Sequence[Sequence], published: Sequence[Sequence] = ()) -> str:
    """An HTML table; the `published` rows come last and look different."""

    def line(cells: Sequence, tag: str = "td") -> str:
        return "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    body += "".join(f'<tr class="published">{line(row)}</tr>' for row in published)
    return f'<div class="wide"><table><tr>{line(header, "th")}</tr>{body}</table></div>'


def _estimates(table: pd.DataFrame, keys: Sequence[str], estimates: dict[str, str]) -> str:
    """A table of keys and of estimates with their intervals; `estimates` maps a column to its prefix."""
    rows = [
        [label(row[k]) if isinstance(row[k], str) else row[k] for k in keys]
        + [findings.interval(row, name, prefix) for name, prefix in estimates.items()]
        for _, row in table.iterrows()
    ]
    return _table([name.replace("_at_", "@").replace("_", " ") for name in (*keys, *estimates)], rows)


def _main_rows(main: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of pass@k, a column a k."""
    ks = sorted(main["k"].unique())
    rows = []
    for (backbone, method), group in main.groupby(["backbone", "method"], sort=False):
        by_k = {row["k"]: findings.interval(row, "pass_at_k") for _, row in group.iterrows()}
        rows.append([backbone, label(method), str(group["n_seeds"].iloc[0]), *(by_k.get(k, "") for k in ks)])
    return ["backbone", "method", "seeds", *(f"pass@{k}" for k in ks)], rows


def _main_table(main: pd.DataFrame, published: pd.DataFrame) -> str:
    header, rows = _main_rows(main)
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
    return _table([*header, "source"], ours, theirs) + f"<p>{note}</p>"


def _rerank_table(table: pd.DataFrame) -> str:
    largest = table[table["n"] == table["n"].max()]
    return _estimates(
        largest, ["backbone", "policy", "variant", "selector", "n", "n_seeds"], {"accuracy": ""}
    )


def _published_hits(published: pd.DataFrame) -> str:
    rows = published[published["experiment"] == "localisation"]
    cells = [
        [r.backbone, label(r.method), f"{r.value:.3f}", f"{r.source}; {r.note}"] for r in rows.itertuples()
    ]
    return _table(["backbone", "detector", "hit@1", "source"], [], cells)


def _published_ablations(published: pd.DataFrame) -> str:
    rows = published[published["experiment"].isin(["ablation", "granularity"])].fillna({"note": ""})
    cells = [
        [r.backbone, label(r.method), f"{r.value:.2f}", r.source + (f"; {r.note}" if r.note else "")]
        for r in rows.itertuples()
    ]
    return _table(["backbone", "setting or method", "pass@1", "source"], [], cells)


def _costs(costs: pd.DataFrame) -> str:
    rows = [
        [r.backbone, label(r.method), r.n_seeds, f"{r.seconds:.0f}", f"{r.peak_memory_mib:.0f}"]
        for r in costs.itertuples()
    ]
    return _table(["backbone", "method", "seeds", "seconds a run (mean)", "peak memory (MiB)"], rows)


def _limits(settings: Params, records: Records) -> list[str]:
    """What a reader must not conclude; the counts are those of this run of the study."""
    data, seeds = settings.data, records.runs.groupby("method")["seed"].nunique()
    names = (*settings.variants, *settings.ablations)
    leaks = [name for name in names if settings.airl_variant(name).relabel_correct]
    return [
        f"The problems are a program's ({data.dataset}): {data.test} test problems of {min(data.steps)} to "
        f"{max(data.steps)} steps, {data.demonstrations} demonstrations. No pretrained weights were used: "
        "the backbones were trained from scratch, and are thousands of times smaller than the paper's.",
        f"There are {seeds.min()} to {seeds.max()} seeds a method; one seed shows a direction at most.",
        "Intervals that overlap do not show equality, and nothing corrects for many comparisons.",
        "Published numbers come from other models and other data: they show the order of the methods.",
        f"Runs that saw answers through relabelling: {', '.join(leaks) if leaks else 'none'}.",
    ]


def _provenance(facts: dict) -> str:
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


def main_table_text(results: str | Path) -> str:
    """The main table as text. Raises ValueError if there is none yet."""
    header, rows = _main_rows(pd.read_csv(runs.require(Path(results) / "tables" / "main.csv")))
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


if __name__ == "__main__":
    command()
