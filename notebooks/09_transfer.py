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
# A reward is worth taking away only if it also judges what it never practised on. Two tests, with the
# reward of the study's main variant: the samples of the *other* backbone's base policy, and problems
# *longer* than any it was trained on. The trained policies write on the longer problems too. (The third
# test, a reward trained on one family of problems, is an ablation of notebook 8.)

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from transformers import AutoTokenizer

from lib import runs
from lib.data import splits
from lib.evaluation.tables import MAIN_VARIANT
from lib.reward import recorded
from lib.study import params

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
airl = settings.airl_variant(MAIN_VARIANT)
tokenizer = AutoTokenizer.from_pretrained(runs.backbone_dir(backbone))
problems, long_problems = splits.split("test"), splits.split("test_long")


def longer(method: str, seed: int) -> list[dict]:
    return runs.read_rows(runs.run_dir(backbone, method, seed) / runs.LONG)


# %% [markdown]
# ## Every policy on the longer problems

# A policy is asked when it is recorded, so that its weights need not be kept.

# %%
methods = ("base", "sft", "grpo", *settings.variants)
right = {
    method: np.mean([row["correct"] for seed in settings.seeds for row in longer(method, seed)])
    for method in methods
}
pd.Series(right).round(3)

# %% [markdown]
# ## The reward on samples it did not practise on

# %%
first = settings.seeds[0]
long_steps = "-".join(map(str, settings.data.long_steps))
tasks = {f"{long_steps} steps": (long_problems, longer("base", first))}
tasks |= {
    f"samples of {other}": (problems, runs.samples(other, "base", first))
    for other in settings.policies
    if other != backbone
}
rows = []
for seed in settings.seeds:
    reward_model = recorded.load_discriminator(backbone, MAIN_VARIANT, seed, settings)
    for tested_on, (questions, written) in tasks.items():
        scored = recorded.score_samples(reward_model, tokenizer, questions, written, airl, settings)
        for sample, score in zip(written, scored, strict=True):
            where = {key: sample[key] for key in ("problem", "sample", "correct")}
            rows.append({"tested_on": tested_on, "seed": seed, **where, "reward": score["reward"]})
pd.DataFrame(rows).groupby(["tested_on", "correct"])["reward"].mean().round(2)

# %% [markdown]
# ## The record
#
# The tables of notebook 10 are made from these rows.

# %%
runs.write_rows(runs.RESULTS / "transfer" / f"{backbone}.jsonl.gz", rows)

# %% [markdown]
# ## Try it
#
# Replace `MAIN_VARIANT` by `"airl_dense"`, the paper's reward, in this notebook's cells, and compare the
# means of right and wrong samples in the last table: where they lie apart the reward carries over, where
# they do not it says nothing of such samples.
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
