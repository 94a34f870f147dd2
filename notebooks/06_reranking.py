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
# each trained reward. The reward of a trace is the mean discounted reward over its answer's tokens.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import numpy as np

from lib import metrics, params, scoring, study, training

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
tokenizer = training.load_backbone(study.backbone_dir(backbone))[1]
problems = study.split("test")

# %% [markdown]
# ## Scoring

# %%
scores = []
for variant in settings.variants:
    for seed in settings.seeds:
        reward_model = scoring.load_discriminator(backbone, variant, seed, settings)
        for policy in ("base", "sft", variant):
            rows = scoring.score_samples(
                reward_model,
                tokenizer,
                problems,
                study.samples(backbone, policy, seed),
                settings.airl_variant(variant),
                settings,
            )
            scores += [{"variant": variant, "seed": seed, "policy": policy, **row} for row in rows]
scoring.write_scores(backbone, scores)
print(f"{len(scores):,} pairs of a reward and a trace")

# %% [markdown]
# ## A first look
#
# Accuracy of the one chosen sample out of N, on the base policy, first seed and first variant. The
# results notebook does this for all, with intervals.

# %%
variant, seed, n = next(iter(settings.variants)), settings.seeds[0], settings.sampling.n
rows = study.samples(backbone, "base", seed)
codes_PN, correct_PN = study.codes_and_correct(rows, n)
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
