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
# # 9. Transfer: does the reward hold where it was not trained?
#
# A reward is worth taking away only if it also judges what it never practised on. Two tests: the samples of
# both backbones' base policies, one of which a reward was trained on (its own backbone's; the election's is
# the stranger's, on the *other* backbone), and problems *longer* than any it was trained on. The trained
# policies write on the longer problems too.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd

from lib import runs
from lib.evaluation import metrics
from lib.study import params

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
seed = settings.seeds[0]

# %% [markdown]
# ## Every policy on the longer problems
#
# Greedily, so that none is helped by its temperature; first seed.

# %%
right = {}
for method in ("base", "sft", *settings.without_reward, *settings.variants):
    rows = runs.read_rows(runs.record_of(backbone, method, seed) / runs.LONG)
    right[method] = np.mean([row["correct"] for row in rows if row["temperature"] == "greedy"])
pd.Series(right).round(3).sort_values()

# %% [markdown]
# ## The rewards on longer problems and on the other backbone's samples
#
# AUROC among the samples of one problem: how often a right one has the higher reward of the two. The
# log-likelihood of SFT (`likelihood`) stands beside the study's own reward. For the latter samples of the
# other backbone are home; how it does on this one's, `transfer.csv` says.

# %%
table = {}
for variant in (name for name in settings.variants if name in runs.MOVED):
    rows = pd.DataFrame(runs.read_rows(runs.run_dir(backbone, variant, seed) / runs.TRANSFER))
    for tested_on, of_task in rows.groupby("tested_on"):
        n = of_task["sample"].max() + 1
        reward, correct = (of_task[name].to_numpy().reshape(-1, n) for name in ("reward", "correct"))
        table[variant, tested_on] = np.nanmean(metrics.auroc_within(reward, correct))
pd.Series(table).unstack().round(3)

# %% [markdown]
# ## Try it
#
# In the last cell take `metrics.reranked_pass_at_k(correct, reward, [1])` in place of the AUROC: does the
# order of the rewards stay the same when only the chosen sample counts?
#
# ## Next
#
# Notebook 10 makes every table and figure of the study.
#
# ## References
#
# - Fu, Luo & Levine (2018), *Learning robust rewards with adversarial inverse reinforcement learning*,
#   [arXiv 1710.11248](https://arxiv.org/abs/1710.11248).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
