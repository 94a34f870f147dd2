"""The study on one page: `results/report.html`, self-contained, the same bytes from the same records.

`python -m lib.report --summary` prints the main table and where the page is.
"""

import os
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from lib import external, findings, page, runs
from lib.records import Records
from lib.schema import Params
from lib.tables import MAIN_VARIANT

TABLES = (
    "main gains published rerank localisation localisation_by_kind reward_quality ablations transfer long "
    "costs"
).split()
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
expert traces and low on the policy's samples and on rule-made near misses of the experts. In the paper it has
a classification head; its logits are the policy's reward, normalised within a group of samples and discounted
backwards, in the place of graded answers in GRPO (“AIRL dense”). In the study's own form (“AIRL”) its logit
is a log-ratio of two language models, a trained and a frozen one: the trained one starts from SFT on the
demonstrations, becomes a model of the expert, and is where the policy starts in its turn; a near miss is
called wrong from its first wrong token on; the policy's reward is the log-density of the expert model, its
return at a step what is still to come, compared with the group's at the same step; and the policy practises
on further questions that have neither a trace nor an answer. SFT imitates the same demonstrations; GRPO on
true answers is the upper bound."""
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
        return page.figure(results / "figures" / f"{name}.svg", caption)

    quality = tables["reward_quality"]
    on_text = []
    if (checks := results / "tables" / "external.csv").exists():
        checked = pd.read_csv(checks)
        keys = [*external.KEYS, "metric", "chance_or_random", "n"]
        content = page.bullets(external.sentences(checked)) + page.estimates(checked, keys, {"value": ""})
        on_text = [("On real text", content)]
    sections = [
        ("The question", f"<p>{QUESTION}</p>"),
        ("The method", f"<p>{METHOD}</p><p>{READING}</p>"),
        (
            "Policies",
            page.bullets(findings.main(tables["main"]) + findings.gains(tables["gains"]))
            + figure("pass_at_k", "Pass@k of every method on the test problems.")
            + page.main_table(tables["main"], tables["published"]),
        ),
        (
            "Choosing among samples",
            page.bullets(findings.rerank(tables["rerank"], "base"))
            + figure(
                "rerank",
                "Accuracy of the one answer that each selector chooses from n samples of the base policy.",
            )
            + figure("rerank_sft", "The same among the samples of the SFT policy.")
            + figure("rerank_airl", "The same among the samples of the policy trained on the reward itself.")
            + figure(
                "reranked_pass_at_k",
                "A right answer among the k samples ranked first, of all that were drawn.",
            )
            + page.rerank_table(tables["rerank"]),
        ),
        (
            "Pointing at the first wrong step",
            page.bullets(findings.localisation(tables["localisation"]))
            + figure(
                "localisation",
                "Detectors are compared on the same units: each step is one, the answer the last.",
            )
            + page.estimates(
                tables["localisation"],
                ["backbone", "error_source", "detector", "n", "n_seeds"],
                {"hit_at_1": ""},
            )
            + page.published_hits(tables["published"])
            + "".join(
                figure(f"localisation_by_kind_{name}", f"By kind of error, on {name}.")
                for name in settings.policies
            )
            + page.estimates(
                tables["localisation_by_kind"].fillna({"variant": ""}),
                ["backbone", "error_source", "policy", "kind", "detector", "variant", "n"],
                {"hit_at_1": ""},
            ),
        ),
        (
            "The reward",
            page.bullets(findings.reward_quality(quality))
            + figure("reward_distributions", "Reward of right and wrong traces of the base policy.")
            + figure(
                "correlations", "What the reward goes with, on the base policy's samples (mean over seeds)."
            )
            + figure("calibration", "Sigmoid of the last logit as the probability of a right answer.")
            + page.estimates(
                quality,
                ["backbone", "variant", "n_seeds"],
                {
                    "auroc": "",
                    "ece": "ece_",
                    "corr_correct": "corr_correct_",
                    "corr_format": "corr_format_",
                    "reranked": "reranked_",
                },
            ),
        ),
        (
            "Ablations",
            f"<p>{_budget(settings)}</p>"
            + figure("granularity", "Where the rewards sit, by credit and by form of the discriminator.")
            + figure("demonstrations", "The same demonstrations imitated, or learned a reward from.")
            + figure("ablations", "One change at a time, beside what it is compared with.")
            + figure(
                "perturbations", "The paper's ablation: perturbed experts as further negatives, or none."
            )
            + page.bullets(findings.ablations(tables["ablations"]))
            + page.estimates(
                tables["ablations"],
                ["ablation", "value", "backbone", "n_seeds"],
                {"pass_at_1": "", "auroc": "auroc_", "hit_at_1": "hit_at_1_"},
            )
            + page.published_ablations(tables["published"]),
        ),
        (
            "Transfer",
            page.bullets(findings.transfer(tables["transfer"]) + findings.long(tables["long"]))
            + figure("transfer", "Rewards on what they were trained on, and on what they were not.")
            + page.estimates(
                tables["transfer"],
                ["backbone", "trained_on", "tested_on", "n_seeds"],
                {"accuracy_gain": "", "auroc": "auroc_"},
            )
            + page.estimates(tables["long"], ["backbone", "method", "n_seeds"], {"pass_at_1": ""}),
        ),
        *on_text,
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
        ("Costs", page.costs(tables["costs"])),
        ("Limits", page.bullets(_limits(settings, records))),
        ("Provenance", page.provenance_section(facts)),
    ]
    title = "A reasoning reward from expert demonstrations"
    body = "".join(f"<section><h2>{escape(name)}</h2>{content}</section>\n" for name, content in sections)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
    )
    path = results / "report.html"
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)
    return path


def _budget(settings: Params) -> str:
    """How long the ablations' runs are."""
    short, full = settings.airl_variant(next(iter(settings.ablations))), settings.airl_variant(MAIN_VARIANT)
    sizes = [f"{of.steps} steps of {of.prompts_per_step} x {of.group_size} samples" for of in (short, full)]
    return (
        f"Ablations of AIRL are runs of {sizes[0]}, against the {sizes[1]} of the main one, and are compared "
        "with a reference as short; those of SFT are full runs."
    )


def _limits(settings: Params, records: Records) -> list[str]:
    """What a reader must not conclude; the counts are those of this run of the study."""
    data, seeds = settings.data, records.runs.groupby("method")["seed"].nunique()
    names = (*settings.variants, *settings.ablations)
    leaks = [name for name in names if settings.airl_variant(name).relabel_correct]
    degenerate = records.runs[records.runs["status"] != "completed"]
    stopped = [f"{r.method} on {r.backbone}, seed {r.seed} ({r.status})" for r in degenerate.itertuples()]
    return [
        f"The problems are a program's ({data.dataset}): {data.test} test problems of {min(data.steps)} to "
        f"{max(data.steps)} steps, {data.demonstrations} demonstrations. No pretrained weights were used: "
        "the backbones were trained from scratch, and are thousands of times smaller than the paper's.",
        f"There are {seeds.min()} to {seeds.max()} seeds a method; one seed shows a direction at most.",
        "Intervals that overlap do not show equality, and nothing corrects for many comparisons.",
        "Published numbers come from other models and other data: they show the order of the methods.",
        f"Runs that saw answers through relabelling: {', '.join(leaks) if leaks else 'none'}.",
        f"Runs that degenerated and were stopped: {'; '.join(stopped) if stopped else 'none'}.",
    ]


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


if __name__ == "__main__":
    command()
