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
# # 6. The reward at inference: choosing among samples
#
# A reward that tells good traces from bad can choose among N samples of *any* policy. When a reward was
# trained it was asked about the recorded test samples of the base policy and of the SFT policy (notebook 4);
# here it chooses among them. The reward of a trace is the paper's: the mean discounted reward over the tokens
# $A$ of its answer,
# $$R(\tau) = \frac{1}{|A|} \sum_{t \in A} \sum_{j \ge 0} \gamma^j r_{t,j},$$
# with $r_{t,j}$ the rewards from $t$ on; or, where rewards accumulate, the reward at the last token,
# which is of the whole trace (`credit.trace_score`).

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
from lib.study.training import sampling

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
seed, n = settings.seeds[0], settings.sampling.n


def scores(variant, policy):
    """The rewards of a policy's samples, a row a problem."""
    rows = runs.read_rows(runs.run_dir(backbone, variant, seed) / runs.SCORES)
    return np.array([row["reward"] for row in rows if row["policy"] == policy]).reshape(-1, n)


# %% [markdown]
# ## Choosing one of N
#
# `majority` elects the commonest answer and needs no reward; `logprob` takes the sample that the policy
# itself finds likeliest; `oracle` picks a right one if there is one. The first seed; the results notebook
# does this for all, with intervals.

# %%
table = {}
for policy in runs.JUDGED:
    rows = runs.samples(backbone, policy, seed)
    codes_PN, correct_PN = sampling.codes_and_correct(rows, n)
    logprobs_PN = np.array([row["logprob"] for row in rows]).reshape(-1, n)
    given = (codes_PN, correct_PN, logprobs_PN)
    for selector in ("random", "majority", "logprob", "oracle"):
        chosen_P = metrics.rerank_accuracy(selector, n, *given, logprobs_PN, n_subsets=1, seed=0)
        table[policy, selector] = chosen_P.mean()
    for variant in settings.variants:
        chosen_P = metrics.rerank_accuracy("reward", n, *given, scores(variant, policy), n_subsets=1, seed=0)
        table[policy, f"reward of {variant}"] = chosen_P.mean()
pd.Series(table).unstack(0).round(3).sort_values("base")

# %% [markdown]
# ## Try it
#
# In the last cell choose among fewer: pass 4 in the place of `n` to `rerank_accuracy`. The oracle falls,
# random stays, and what a reward gains over random shrinks with the choice; `results/tables/rerank.csv` has
# every size.
#
# ## Next
#
# Notebook 7 asks the same reward where a trace goes wrong.
#
# ## References
#
# - Cobbe et al. (2021), *Training verifiers to solve math word problems*, [arXiv
#   2110.14168](https://arxiv.org/abs/2110.14168).
# - Wang et al. (2023), *Self-consistency improves chain of thought reasoning in language models*, [arXiv
#   2203.11171](https://arxiv.org/abs/2203.11171).
# - Lightman et al. (2023), *Let's verify step by step*, [arXiv
#   2305.20050](https://arxiv.org/abs/2305.20050).
