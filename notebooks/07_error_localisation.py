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
# # 7. The reward as a pointer: where is the first wrong step?
#
# A dense reward should fall where a trace goes wrong. A detector scores each unit of a trace, here by how far
# the reward falls over it, $r_{k-1} - r_k$, and points at the largest score, or at the first above a
# threshold $\tau$ (the largest fall may be of a second error). It is asked about two kinds of wrong traces:
# perturbed experts, and the own wrong samples of the base policy and of the SFT policy.
#
# Where does a threshold come from? Not from labelled steps, which no one has who learns from demonstrations
# alone. `perturbed` is the one that finds most errors in experts of validation that a rule struck; `oracle`
# is chosen on labelled errors of the same policy on validation, and stands beside it. No slack: a hit is the
# exact first wrong unit.
#
# The rewards were asked when they were trained (notebook 4). Two detectors that need none are asked here, on
# the same units and with thresholds of the same two kinds: the least likely token (log-probability) and the
# least certain one (entropy), both under the policy that erred.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import pandas as pd
from transformers import AutoTokenizer

from lib import runs
from lib.evaluation import localisation, pointing, tables
from lib.models import pretrained
from lib.study import params
from lib.study.adversarial import judging

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
start = runs.backbone_dir(backbone)
tokenizer = AutoTokenizer.from_pretrained(start)

# %% [markdown]
# ## The wrong traces
#
# Two perturbed experts a test problem, of which the rule knows where it struck, and wrong samples of the two
# policies, of which the checker knows. A misreading is a true equation that is not the problem's; the world
# also makes mistakes of arithmetic. First seed:

# %%
counts = {}
for policy in runs.JUDGED:
    (_, wrong), _ = judging.errors(backbone, policy, settings.seeds[0], settings)
    if wrong:  # of real data no one can tell where a sample goes wrong
        counts[policy] = pd.DataFrame(wrong).groupby(["source", "kind"]).size()
pd.DataFrame(counts).fillna(0).astype(int)

# %% [markdown]
# ## The detectors that need no reward

# %%
rows = []
for policy in runs.JUDGED:
    for seed in settings.seeds[:1] if policy == "base" else settings.seeds:
        adapter = None if policy == "base" else runs.sft_adapter(backbone, seed)
        model = pretrained.load_policy(start, adapter)
        test_errors, known = (
            localisation.detect_by_likelihood(model, tokenizer, problems, wrong, settings)
            for problems, wrong in judging.errors(backbone, policy, seed, settings)
        )
        for row in localisation.calibrated(test_errors, known):
            del row["text"]
            rows.append({**row, "policy": policy, "variant": "", "seed": seed})
runs.write_rows(runs.RESULTS / "localisation" / f"{backbone}.jsonl.xz", rows)

# %% [markdown]
# ## Hits
#
# The fraction of traces in which a detector points at the first wrong unit, by threshold (`none`: it points
# at its highest score), beside two that look at no trace: `chance`, a unit drawn at random, and
# `first_unit`.

# %%
for variant in settings.variants:
    for seed in settings.seeds:
        rows += runs.read_rows(runs.run_dir(backbone, variant, seed) / runs.LOCALISATION)
table = pd.DataFrame(rows)
table["chance"] = pointing.chance(table["unit_scores"])
table["first_unit"] = pointing.first_unit(table["first_wrong_unit"])
found = {}
for key, of_detector in table.groupby(["source", "policy", "detector", "variant"]):
    of_threshold = {name: tables.hits(of_detector, name).mean() for name in tables.thresholds(of_detector)}
    found[key] = {**of_threshold, **of_detector[["chance", "first_unit"]].mean()}
pd.DataFrame(found).T.round(3)

# %% [markdown]
# ## Try it
#
# In the last cell add `"kind"` to the `groupby`: which errors does the reward see that the log-probability
# does not? And compare the columns: what would labelled errors be worth for the threshold?
#
# ## Next
#
# Notebook 8 takes the recipe apart.
#
# ## References
#
# - Lightman et al. (2023), *Let's verify step by step*, [arXiv
#   2305.20050](https://arxiv.org/abs/2305.20050).
# - Uesato et al. (2022), *Solving math word problems with process- and outcome-based feedback*, [arXiv
#   2211.14275](https://arxiv.org/abs/2211.14275).
# - Zheng et al. (2024), *ProcessBench: identifying process errors in mathematical reasoning*, [arXiv
#   2412.06559](https://arxiv.org/abs/2412.06559).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
