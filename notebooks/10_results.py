# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10. Results: what the learned reward is good for
#
# A reward was learned from a few expert traces. Does the policy that was trained with it beat SFT on the same
# traces, and how near does it come to GRPO on true answers? Does the reward choose well among samples? Does
# it point at the first wrong step? This notebook answers from the run records alone: it loads no model, and
# writes every table and figure of the study and its one-page report.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import torch
from IPython.display import HTML, Image, Markdown, display

from lib import files
from lib.airl import credit
from lib.data import splits
from lib.evaluation import (
    comparisons,
    external,
    figure_tables,
    first_errors,
    published,
    records,
    reranking,
    reward_quality,
    rivals,
    studies,
    tables,
    transfer,
)
from lib.report import comparison_plots, diagram, findings, pages, plots, style, token_values, viewer
from lib.study import params

# %% tags=["parameters"]
params_file = "params.yaml"

# %%
settings = params.load(params_file)
RESULTS = Path("results")
resamples, ks = settings.evaluation.bootstrap, settings.evaluation.ks
trained = ["base", "sft", *settings.without_reward, *settings.variants]
recorded = records.load(RESULTS)


def keep(table, name):
    """Write a table of the study and show it."""
    tables.write(table, name, RESULTS / "tables")
    return table


def show(figure, name):
    """Write a figure of the study and show it."""
    return Image(filename=style.save(figure, name, RESULTS / "figures"))


def say(sentences):
    """Show findings, which are computed from a table."""
    return Markdown(findings.markdown(sentences))


sampled, scored = len(recorded.samples), len(recorded.scores)
Markdown(f"{len(recorded.runs)} runs, {sampled:,} sampled traces, {scored:,} scores.")

# %%
show(diagram.method(), "method")

# %% [markdown]
# ## The policies
#
# pass@k is the chance that at least one of k samples of a problem is right, in the unbiased estimate
# of Chen et al. (2021). Intervals are over problems and seeds. GRPO alone sees the answers of all training
# questions: it is what the others are measured by. Each policy is sampled at the temperature that validation
# prefers for it (`validation`), greedily, and at that of training.

# %%
main = tables.main(recorded, trained, ks, resamples)
main = main[main["backbone"].isin(settings.policies)]  # the others only serve discriminators
keep(main, "main")

# %%
show(plots.pass_at_k(main), "pass_at_k")

# %% [markdown]
# The problems differ much more than the methods do, so intervals of two methods may overlap although one is
# nearly always ahead. Paired, problem by problem (what learned from other numbers of demonstrations is beside
# SFT on as many):

# %%
sft_of = comparisons.sft_of_as_many(settings)
gained = keep(comparisons.gains(recorded, [*trained[1:], *settings.ablations], resamples, sft_of), "gains")
show(comparison_plots.gains(gained), "gains")

# %%
say(findings.gains(gained))

# %% [markdown]
# No test question is one of training, but a short one may differ from one of the splits in names and things
# alone. The same without those:

# %%
known = [row.question for name in ("train", "demonstrations") for row in splits.split(name)]
questions = [row.question for row in splits.split("test")]
unlike = comparisons.gains_unlike(recorded, questions, known, trained[1:], resamples)
keep(unlike, "gains_unlike").query("temperature == 'validation'")

# %% [markdown]
# An interval summarises; these are the trainings themselves, one by one:

# %%
seeds = keep(comparisons.by_seed(recorded, trained[1:]), "by_seed")
seeds.pivot(index=["backbone", "method"], columns="seed", values="above_sft")

# %% [markdown]
# The paper's numbers, for the order of the methods: they are of pretrained models thousands of times
# larger, on other problems.

# %%
paper = keep(published.table(), "published")
keep(published.departures(settings), "departures")
paper[paper["experiment"] == "main"].pivot(index=["backbone", "method"], columns="k", values="value")

# %% [markdown]
# ## How they learned
#
# The pass rate is that of the samples each step trained on. The AUROC asks whether right samples got
# a higher reward than wrong ones; it needs true answers, so it monitors and no method sees it.

# %%
logs = recorded.logs[recorded.logs["method"].isin(trained[2:])]
tables.write(figure_tables.learning_curves(logs), "learning_curves", RESULTS / "tables")
show(plots.learning_curves(logs), "learning_curves")

# %% [markdown]
# ## Choosing among samples
#
# The same reward can rank samples at inference. The reward of a trace is its log-density under the stranger,
# or under SFT (for the paper's variants the mean discounted reward over its answer).
# Samples of the base policy are in many styles, those of SFT in the experts' alone. `random` is the
# expected accuracy of any sample, `oracle` picks a right one if there is one. `length` is minus the number of
# tokens, `base_logprob` the base policy's log-probability of its own sample, `likelihood` SFT's.

# %%
of_variants = tables.without(recorded, settings.ablations)
reranked = reranking.rerank(of_variants, resamples)
keep(reranked, "rerank").query("n == n.max()")

# %%
show(plots.rerank(reranked, "base"), "rerank")

# %%
show(plots.rerank(reranked, "sft"), "rerank_sft")

# %% [markdown]
# The election's reward against every other way, in each use: differences paired by problem and seed.

# %%
paired = keep(rivals.table(of_variants, resamples), "rivals")
show(comparison_plots.rivals(paired, rivals.CHOOSING), "rivals_choosing")

# %%
say(findings.choices(paired))

# %% [markdown]
# Reranked pass@k keeps the k best by score of all the samples, and asks whether a right one is left.

# %%
kept = reranking.reranked_pass_at_k(recorded, ks, resamples)
tables.write(kept, "reranked_pass_at_k", RESULTS / "tables")
show(plots.reranked_pass_at_k(kept, "base"), "reranked_pass_at_k")

# %% [markdown]
# ## What the reward measures
#
# A useful reward is higher for right traces than for wrong ones of the same policy, and higher for being
# right than for looking right. Over all samples a reward may win by knowing which problems are hard;
# `auroc_within` compares only the samples of one problem. Beside the trained rewards stand what costs
# nothing: minus the number of tokens (`length`), and the base policy's log-probability of its own samples
# (`base_logprob`). `likelihood` is the log-density after SFT on the demonstrations, with no discriminator
# update. Is it style that a reward follows? `auroc_within_style` compares samples of one problem with the
# same wording of operators, `auroc_across_style` right ones in styles that no expert uses with wrong ones in
# an expert's. `lowest_last` is how often the reward of a wrong trace of two steps or more falls most over its
# last step or its answer.

# %%
experts = [row.trace for row in splits.split("test")] if settings.data.dataset == "world" else []
quality = reward_quality.table(recorded, experts, resamples)
keep(quality, "reward_quality")

# %% [markdown]
# The same of SFT's samples, which are right more often and differ less: of those of one problem only the
# harder pairs are left.

# %%
of_sft = reward_quality.table(recorded, experts, resamples, policy="sft")
keep(of_sft, "reward_quality_sft")

# %%
show(comparison_plots.rivals(paired, rivals.RANKING), "rivals_ranking")

# %%
say(findings.reward_quality(quality) + findings.ranking(paired))

# %%
on_base = recorded.scores.query("policy == 'base' and variant == @tables.MAIN_VARIANT")
tables.write(figure_tables.reward_histogram(on_base), "reward_histogram", RESULTS / "tables")
show(plots.reward_distributions(on_base), "reward_distributions")

# %%
correlated = tables.correlations(recorded)
tables.write(figure_tables.correlations(correlated), "correlations", RESULTS / "tables")
show(plots.correlations(correlated), "correlations")

# %% [markdown]
# Where a discriminator was trained, its last logit can be read as a probability of being an expert's. Is it
# also one of being right? On the dashed line it would be. Likelihoods, the election's reward among them, were
# never trained to be one.

# %%
reliability = tables.calibration(recorded)
reliability = reliability[reliability["variant"].isin(trained)]
tables.write(reliability, "calibration", RESULTS / "tables")
show(plots.calibration(reliability), "calibration")

# %% [markdown]
# ## Pointing at the first wrong step
#
# A detector scores each unit of a wrong trace (a step, or the answer) and points at the first whose score is
# above its threshold (notebook 7): the reward's is its drop over the unit, the others' are the least likely
# and the least certain token. Chance points anywhere. All are judged on the same units, with no slack. The
# figure has the threshold `perturbed`, which takes no step labels.

# %%
located = tables.localisation(of_variants, resamples)
keep(located, "localisation")

# %%
show(plots.localisation(located), "localisation")

# %%
show(comparison_plots.rivals(paired, rivals.POINTING), "rivals_pointing")

# %%
say(findings.pointing(paired))

# %% [markdown]
# These are wrong traces. Does a detector also keep quiet where nothing is wrong? `accuracy_erroneous` is how
# often it names the first wrong step of a wrong trace, `accuracy_correct` how often it names none of a right
# one, `f1` their harmonic mean. The thresholds were chosen among wrong traces alone.

# %%
alarmed = keep(first_errors.false_alarms(of_variants, resamples), "false_alarms")
say(findings.alarms(alarmed))

# %% [markdown]
# One number of each use of the reward goes to a file of its own too, for `dvc metrics diff` and
# `dvc exp show`.

# %%
files.write_json(RESULTS / "metrics.json", tables.headline(main, quality, located))

# %% [markdown]
# Each reward's three uses side by side, in one figure:

# %%
show(plots.uses(main, reranked, located), "uses")

# %% [markdown]
# By kind of error: the rules that made the near misses, and what a policy got wrong itself. A misreading
# is a true equation that is not the problem's.

# %%
by_kind = keep(tables.localisation_by_kind(recorded, resamples), "localisation_by_kind")
chosen = by_kind[by_kind["variant"].isin(["", tables.MAIN_VARIANT]) & (by_kind["policy"] == "base")]
for name in settings.policies:
    of_backbone = chosen[chosen["backbone"] == name]
    display(show(comparison_plots.localisation_by_kind(of_backbone), f"localisation_by_kind_{name}"))

# %% [markdown]
# ## Ablations
#
# Each is compared with the run that differs from it in the fewest settings; that one's row stands first. The
# interval of one seed is of other problems alone and says nothing of another training. What changes all at
# once is in the table of paired differences.

# %%
compared = comparisons.changes(settings) if settings.ablations else []
changed = keep(comparisons.ablations(recorded, compared, resamples), "ablations")

# %% [markdown]
# How much there is to learn from: the number of demonstrations for all that learn from them, and for the
# study's own the questions without an answer, and the demonstrations that end wrong. Its places are evenly
# spaced, whatever the amounts.

# %%
amounts = comparisons.amounts(changed)
show(comparison_plots.amounts(amounts), "amounts") if len(amounts) else None

# %% [markdown]
# Everything else, beside the run that differs in the fewest settings.

# %%
others = comparisons.single_changes(changed)
show(comparison_plots.ablations(others), "ablations") if len(others) else None

# %%
say(findings.ablations(changed))

# %% [markdown]
# ## Transfer
#
# What the reward gains by choosing among the base policies' samples, where it was trained and where it was
# not: on another backbone's samples, on longer problems; and what SFT's log-likelihood does. The reward of
# the election is a stranger's, who learned from traces of its own backbone.

# %%
families = [row.family for row in splits.split("test")]
moved = keep(transfer.of_rewards(recorded, families, settings, resamples), "transfer")
show(comparison_plots.transfer(moved), "transfer")

# %%
say(findings.transfer(moved))

# %% [markdown]
# And the policies themselves on problems longer than any that was trained on, greedily.

# %%
keep(transfer.of_policies(recorded, resamples), "long")

# %% [markdown]
# ## On real text
#
# Solutions that others wrote and labelled, where `external` names any and notebook 11 has scored them, and
# those scored under a profile whose records are kept here. Harder problems have longer solutions and fewer
# right ones, so length alone tells something: the shorter solution stands beside the reward.

# %%
scored = external.recorded_checks(RESULTS)
on_text = external.table(scored, resamples)
if len(on_text):
    display(keep(on_text, "external"), say(external.sentences(on_text)))
if len(errors := first_errors.table(scored, on_text)):
    display(keep(errors, "first_error"))

# %% [markdown]
# ## Real language models
#
# Where `make keep` has put a study at another profile, of pretrained weights, under `results/`: the same
# measures of it and of the embedded world. A difference counts where its interval leaves 0 out.

# %%
if others := studies.tables(RESULTS):
    world = {"main": main, "gains": gained, "rerank": reranked, "localisation": located}
    world |= {"reward_quality": quality, "reward_quality_sft": of_sft}
    display(keep(studies.side_by_side({studies.WORLD: world} | others), "studies"))

# %% [markdown]
# ## Token by token
#
# Right and wrong traces of the base policy with the paper's dense reward at each token; in a study without it
# with the first variant's. Near the first wrong unit a dense reward should turn. Discounting backwards then
# spreads the blame to the tokens before it.

# %%
paper = tables.PAPER_VARIANT
variant = paper if paper in settings.variants else next(iter(settings.variants))
dense = recorded.scores.query("policy == 'base' and variant == @variant")
backbone, seed = settings.policies[0], settings.seeds[0]
examples = viewer.examples(dense[(dense["backbone"] == backbone) & (dense["seed"] == seed)], count=3)
heatmaps = [viewer.heatmap_html(e["tokens"], e["values"], e["title"], e["wrong"]) for e in examples]
display(HTML("".join(heatmaps)))

# %%
show(viewer.token_heatmaps(examples), "token_heatmaps")

# %%
gamma = settings.airl_variant(variant).gamma
for example in examples:
    rewards = torch.tensor([example["values"]])
    everywhere = torch.ones_like(rewards, dtype=torch.bool)
    example["returns"] = credit.discounted(rewards, everywhere, everywhere, gamma)[0].tolist()
tables.write(figure_tables.token_examples(examples), "token_examples", RESULTS / "tables")
show(viewer.reward_along_trace(examples[:2], gamma), "reward_along_trace")

# %% [markdown]
# ## Costs, and the report
#
# Seconds are of two kinds of processor, and some runs had other work beside them: they compare roughly.
#
# The report has a viewer of many more traces, for every policy, reward and seed; it is a page of its own too.

# %%
keep(figure_tables.stages(recorded, settings), "stages")

# %%
keep(tables.costs(recorded), "costs")

# %%
traces = token_values.collect(recorded, splits.split("test"), settings, splits.split("validation"))
page = pages.build(RESULTS, settings, recorded, traces)
Markdown(f"`{page}` and, beside it, `viewer.html` open in any browser, offline.")

# %% [markdown]
# ## Try it
#
# This notebook trains nothing, so everything in it can be changed. With `evaluation.bootstrap` at 20 the
# intervals get coarse, while the means stay; with `evaluation.ks` other columns appear. `git checkout
# results` brings the committed tables back.
#
# ## Next
#
# Notebook 11 puts the reward before solutions that others wrote.
#
# ## References
#
# - Chen et al. (2021), *Evaluating large language models trained on code*, [arXiv
#   2107.03374](https://arxiv.org/abs/2107.03374).
# - Agarwal et al. (2021), *Deep reinforcement learning at the edge of the statistical precipice*, [arXiv
#   2108.13264](https://arxiv.org/abs/2108.13264).
# - Efron & Tibshirani (1993), *An introduction to the bootstrap*, Chapman & Hall.
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
