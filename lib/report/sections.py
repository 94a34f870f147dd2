"""What the report says, section by section: text, findings, figures and tables."""

from pathlib import Path

import pandas as pd

from lib.evaluation import external
from lib.evaluation.records import Records
from lib.evaluation.tables import MAIN_VARIANT
from lib.report import findings, page
from lib.schema import Params

NOTEBOOK = "notebooks/10_results.ipynb"  # beside the page
LONG = 20  # rows; a longer table is folded away
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
VIEWER = """Traces of the first test problems, some right and some wrong ones of each policy, with what the
rewards and the policy say of every token. Last in the list are problems of the validation split, on which the
policies wrote while they were trained, with a slider over the steps."""


def sections(
    results: Path, tables: dict[str, pd.DataFrame], settings: Params, records: Records, facts: dict
) -> list[tuple[str, str]]:
    """Titles and HTML; `tables` are those of `lib.report`, `facts` its provenance.

    Raises ValueError naming a missing table or figure.
    """

    def figure(name: str, caption: str, table: str = "") -> str:
        link = page.csv_link(results / "tables" / f"{table}.csv") if table else ""
        sources = f'<span class="source"><a href="{NOTEBOOK}">notebook 10</a> {link}</span>'
        return page.figure(results / "figures" / f"{name}.svg", caption, sources)

    def table(name: str, title: str, content: str) -> str:
        rows = content.count("<tr") - 1
        link = page.csv_link(results / "tables" / f"{name}.csv")
        content += f'<p class="source">{link}</p>'
        return page.folded(f"{title} ({rows} rows)", content, is_open=rows <= LONG)

    quality = tables["reward_quality"]
    on_text = []
    if (checks := results / "tables" / "external.csv").exists():
        checked = pd.read_csv(checks)
        keys = [*external.KEYS, "metric", "chance_or_random", "n"]
        shown = page.estimates(checked, keys, {"value": ""})
        content = page.bullets(external.sentences(checked)) + table("external", "On real text", shown)
        on_text = [("On real text", content)]
    return [
        ("The question", f"<p>{QUESTION}</p>"),
        (
            "The method",
            figure("method", "What the reward is learned from, and its three uses.")
            + f"<p>{METHOD}</p><p>{READING}</p>",
        ),
        (
            "Policies",
            figure("pass_at_k", "Pass@k of every method on the test problems.", "main")
            + page.bullets(findings.main(tables["main"]) + findings.gains(tables["gains"]))
            + table("main", "Pass@k", page.main_table(tables["main"]))
            + table("published", "Pass@k in the paper", page.published_main(tables["published"]))
            + f"<p>{page.PUBLISHED_NOTE}</p>",
        ),
        (
            "Choosing among samples",
            page.bullets(findings.rerank(tables["rerank"], "base"))
            + figure(
                "rerank",
                "Accuracy of the one answer that each selector chooses from n samples of the base policy.",
                "rerank",
            )
            + figure("rerank_sft", "The same among the samples of the SFT policy.", "rerank")
            + figure(
                "rerank_airl",
                "The same among the samples of the policy trained on the reward itself.",
                "rerank",
            )
            + figure(
                "reranked_pass_at_k",
                "A right answer among the k samples ranked first, of all that were drawn.",
                "reranked_pass_at_k",
            )
            + table("rerank", "Accuracy of each selector", page.rerank_table(tables["rerank"])),
        ),
        (
            "Pointing at the first wrong step",
            page.bullets(findings.localisation(tables["localisation"]))
            + figure(
                "localisation",
                "Detectors are compared on the same units: each step is one, the answer the last.",
                "localisation",
            )
            + table(
                "localisation",
                "First wrong step found",
                page.estimates(
                    tables["localisation"],
                    ["backbone", "error_source", "detector", "n", "n_seeds"],
                    {"hit_at_1": ""},
                ),
            )
            + table("published", "The same in the paper", page.published_hits(tables["published"]))
            + "".join(
                figure(
                    f"localisation_by_kind_{name}", f"By kind of error, on {name}.", "localisation_by_kind"
                )
                for name in settings.policies
            )
            + table(
                "localisation_by_kind",
                "By kind of error",
                page.estimates(
                    tables["localisation_by_kind"].fillna({"variant": ""}),
                    ["backbone", "error_source", "policy", "kind", "detector", "variant", "n"],
                    {"hit_at_1": ""},
                ),
            ),
        ),
        (
            "The reward",
            page.folded(
                "What each reward measures, in sentences", page.bullets(findings.reward_quality(quality))
            )
            + figure(
                "reward_distributions",
                "Reward of right and wrong traces of the base policy.",
                "reward_histogram",
            )
            + figure(
                "correlations",
                "What the reward goes with, on the base policy's samples (mean over seeds).",
                "correlations",
            )
            + figure(
                "calibration",
                "Sigmoid of the last logit as the probability of a right answer.",
                "calibration",
            )
            + table(
                "reward_quality",
                "Quality of each reward",
                page.estimates(
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
        ),
        (
            "Ablations",
            f"<p>{_budget(settings)}</p>"
            + figure(
                "granularity",
                "Where the rewards sit, by credit and by form of the discriminator.",
                "ablations",
            )
            + figure(
                "demonstrations", "The same demonstrations imitated, or learned a reward from.", "ablations"
            )
            + figure("ablations", "One change at a time, beside what it is compared with.", "ablations")
            + figure(
                "perturbations",
                "The paper's ablation: perturbed experts as further negatives, or none.",
                "ablations",
            )
            + page.folded(
                "What each change does, in sentences",
                page.bullets(findings.ablations(tables["ablations"])),
            )
            + table(
                "ablations",
                "One change at a time",
                page.estimates(
                    tables["ablations"],
                    ["ablation", "value", "backbone", "n_seeds"],
                    {"pass_at_1": "", "auroc": "auroc_", "hit_at_1": "hit_at_1_"},
                ),
            )
            + table("published", "Ablations of the paper", page.published_ablations(tables["published"])),
        ),
        (
            "Transfer",
            page.bullets(findings.transfer(tables["transfer"]) + findings.long(tables["long"]))
            + figure(
                "transfer", "Rewards on what they were trained on, and on what they were not.", "transfer"
            )
            + table(
                "transfer",
                "Transfer of the rewards",
                page.estimates(
                    tables["transfer"],
                    ["backbone", "trained_on", "tested_on", "n_seeds"],
                    {"accuracy_gain": "", "auroc": "auroc_"},
                ),
            )
            + table(
                "long",
                "Policies on longer problems",
                page.estimates(tables["long"], ["backbone", "method", "n_seeds"], {"pass_at_1": ""}),
            ),
        ),
        *on_text,
        (
            "Learning curves",
            figure(
                "learning_curves",
                "The AUROC is computed against true answers for monitoring only.",
                "learning_curves",
            ),
        ),
        (
            "Token by token",
            f"<p>{VIEWER}</p>"
            + page.asset("viewer.html")
            + figure(
                "reward_along_trace",
                "Reward and discounted return at each token of a right and a wrong trace.",
                "token_examples",
            )
            + figure("token_heatmaps", "The rewards of more traces, as text.", "token_examples"),
        ),
        (
            "Costs",
            table("costs", "What a run takes", page.costs(tables["costs"]))
            + table("stages", "What the stages that train took", page.stages(tables["stages"])),
        ),
        ("Limits", page.bullets(_limits(settings, records))),
        ("Provenance", page.provenance_section(facts)),
    ]


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
