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
# A reward that tells good traces from bad can choose among N samples of *any* policy. This notebook
# scores, once, the recorded test samples of the base policy, the SFT policy and each AIRL policy with
# each trained reward. The reward of a trace is the paper's: the mean discounted reward over the tokens
# $A$ of its answer,
# $$R(\tau) = \frac{1}{|A|} \sum_{t \in A} \sum_{j \ge 0} \gamma^j r_{t,j},$$
# with $r_{t,j}$ the rewards from $t$ on; or, where rewards accumulate, the reward at the last token,
# which is of the whole trace (`discriminator.trace_score`).

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import numpy as np
from tqdm.auto import tqdm

from lib import runs
from lib.data import splits
from lib.evaluation import metrics
from lib.models import pretrained
from lib.reward import recorded
from lib.study import params
from lib.study.training import sampling

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
tokenizer = pretrained.load_backbone(runs.backbone_dir(backbone))[1]
problems = splits.split("test")

# %% [markdown]
# ## Scoring

# %%
scores = []
for variant in settings.variants:
    for seed in tqdm(settings.seeds, desc=variant):
        reward_model = recorded.load_discriminator(backbone, variant, seed, settings)
        for policy in ("base", "sft", variant):
            rows = recorded.score_samples(
                reward_model,
                tokenizer,
                problems,
                runs.samples(backbone, policy, seed),
                settings.airl_variant(variant),
                settings,
            )
            scores += [{"variant": variant, "seed": seed, "policy": policy, **row} for row in rows]
runs.write_rows(runs.RESULTS / "scores" / f"{backbone}.jsonl.gz", scores)
print(f"{len(scores):,} pairs of a reward and a trace")

# %% [markdown]
# ## A first look
#
# Accuracy of the one chosen sample out of N, on the base policy, first seed and first variant. The
# results notebook does this for all, with intervals.

# %%
variant, seed, n = next(iter(settings.variants)), settings.seeds[0], settings.sampling.n
rows = runs.samples(backbone, "base", seed)
codes_PN, correct_PN = sampling.codes_and_correct(rows, n)
logprobs_PN = np.array([row["logprob"] for row in rows]).reshape(-1, n)
rewards_PN = np.array(
    [
        row["reward"]
        for row in scores
        if (row["variant"], row["seed"], row["policy"]) == (variant, seed, "base")
    ]
).reshape(-1, n)
{
    selector: round(
        metrics.rerank_accuracy(
            selector, n, codes_PN, correct_PN, logprobs_PN, rewards_PN, n_subsets=1, seed=0
        ).mean(),
        3,
    )
    for selector in metrics.SELECTORS
}

# %% [markdown]
# ## Try it
#
# In the last cell choose among fewer: `n` sets how many samples there are, so keep the arrays and pass 4
# to `rerank_accuracy`. The oracle falls, random stays, and what the reward gains over random shrinks
# with the choice; `results/tables/rerank.csv` has every size. Or let `variant` be `airl`: notebook 4's
# two kinds of reward side by side.
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
