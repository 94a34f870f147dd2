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
# # 9. Results: what the learned reward is good for
#
# A reward was learned from a few expert traces. Does a policy trained on it approach SFT on the same
# traces? Does it choose well among samples? Does it point at the first wrong step? This notebook
# answers from the run records alone: it loads no model, and writes every table and figure of the
# study and its one-page report.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import torch
from IPython.display import HTML, Image, Markdown, display

from lib import credit, findings, params, plots, published, records, report, runs, style, tables, viewer

# %% tags=["parameters"]
params_file = "params.yaml"

# %%
settings = params.load(params_file)
RESULTS = Path("results")
resamples, ks = settings.evaluation.bootstrap, settings.evaluation.ks
trained = ["base", "sft", "grpo", *settings.variants]
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

# %% [markdown]
# ## The policies
#
# pass@k is the chance that at least one of k samples of a problem is right, in the unbiased estimate
# of Chen et al. (2021). The intervals are bootstrapped over problems and seeds. GRPO sees the true
# answers that the other methods do not: it is the upper bound.

# %%
main = tables.main(recorded, trained, ks, resamples)
main = main[main["backbone"].isin(settings.policies)]  # the others only serve discriminators
keep(main, "main")

# %%
show(plots.pass_at_k(main), "pass_at_k")

# %% [markdown]
# Pass@1 goes to a file of its own too, for `dvc metrics diff` and `dvc exp show`.

# %%
pass_at_1 = main[main["k"] == 1].pivot(index="backbone", columns="method", values="pass_at_k")
runs.write_json(RESULTS / "metrics.json", {"pass@1": pass_at_1.to_dict("index")})

# %%
say(findings.main(main))

# %% [markdown]
# The paper's numbers, for the order of the methods: they are of pretrained models a thousand times
# larger, on other problems.

# %%
paper = keep(published.table(), "published")
paper[paper["experiment"] == "main"].pivot(index=["backbone", "method"], columns="k", values="value")

# %% [markdown]
# ## How they learned
#
# The pass rate is that of the samples each step trained on. The AUROC asks whether right samples got
# a higher reward than wrong ones; it needs true answers, so it monitors and no method sees it.

# %%
show(plots.learning_curves(recorded.logs[recorded.logs["method"].isin(trained[2:])]), "learning_curves")

# %% [markdown]
# ## Choosing among samples
#
# The same reward can rank samples at inference. The reward of a trace is the mean discounted reward
# over its answer, as in the paper. Samples of the base policy are the fairest test, since the reward
# was not their teacher. `random` is the expected accuracy of any sample, `oracle` picks a right one if
# there is one.

# %%
reranked = tables.rerank(recorded, resamples)
keep(reranked, "rerank").query("n == n.max()")

# %%
show(plots.rerank(reranked, "base"), "rerank")

# %%
say(findings.rerank(reranked, "base"))

# %% [markdown]
# Reranked pass@k keeps the k best by score of all the samples, and asks whether a right one is left.

# %%
kept = tables.reranked_pass_at_k(recorded, ks, resamples)
tables.write(kept, "reranked_pass_at_k", RESULTS / "tables")
show(plots.reranked_pass_at_k(kept, "base"), "reranked_pass_at_k")

# %% [markdown]
# ## What the reward measures
#
# A useful reward is higher for right traces than for wrong ones of the same policy, and higher for
# being right than for looking right.

# %%
quality = tables.reward_quality(recorded, resamples)
keep(quality, "reward_quality")

# %%
say(findings.reward_quality(quality))

# %%
on_base = recorded.scores.query("policy == 'base' and variant == @tables.MAIN_VARIANT")
show(plots.reward_distributions(on_base), "reward_distributions")

# %%
show(plots.correlations(tables.correlations(recorded)), "correlations")

# %% [markdown]
# The discriminator's last logit can be read as a probability of being an expert's. Is it also one of
# being right? On the dashed line it would be.

# %%
reliability = tables.calibration(recorded)
show(plots.calibration(reliability[reliability["variant"].isin(trained)]), "calibration")

# %% [markdown]
# ## Pointing at the first wrong step
#
# A detector scores each unit of a wrong trace (a step, or the answer) and points at the largest score:
# the reward's is its drop over the unit, the others' are the least likely and the least certain
# token. Chance points anywhere. All are judged on the same units, with no slack.

# %%
located = tables.localisation(recorded, resamples)
keep(located, "localisation")

# %%
show(plots.localisation(located), "localisation")

# %%
say(findings.localisation(located))

# %% [markdown]
# ## Ablations
#
# Each changes one setting of the paper's reward; the first row of an ablation is the paper's. Fewer
# seeds make wider intervals, and one seed cannot tell a method from its luck.

# %%
overlays = {**settings.variants, **settings.ablations}
changed = tables.ablations(recorded, overlays, settings.airl.model_dump(), resamples)
keep(changed, "ablations")

# %%
show(plots.perturbations(changed[changed["ablation"] == "perturbations"]), "perturbations")

# %%
say(findings.ablations(changed))

# %% [markdown]
# ## Token by token
#
# Right and wrong traces of the base policy with the reward at each token. Near the first wrong unit
# a dense reward should turn. Discounting backwards then spreads the blame to the tokens before it.

# %%
backbone, seed = settings.policies[0], settings.seeds[0]
examples = viewer.examples(on_base[(on_base["backbone"] == backbone) & (on_base["seed"] == seed)], count=3)
heatmaps = [viewer.heatmap_html(e["tokens"], e["values"], e["title"], e["wrong"]) for e in examples]
display(HTML("".join(heatmaps)))

# %%
show(viewer.token_heatmaps(examples), "token_heatmaps")

# %%
gamma = settings.airl_variant(tables.MAIN_VARIANT).gamma
for example in examples:
    rewards = torch.tensor([example["values"]])
    everywhere = torch.ones_like(rewards, dtype=torch.bool)
    example["returns"] = credit.discounted(rewards, everywhere, everywhere, gamma)[0].tolist()
show(viewer.reward_along_trace(examples[:2], gamma), "reward_along_trace")

# %% [markdown]
# ## Costs, and the report

# %%
keep(tables.costs(recorded), "costs")

# %%
page = report.build(RESULTS, settings, recorded, heatmaps)
Markdown(f"The report is `{page}`; open it in any browser, offline.")
