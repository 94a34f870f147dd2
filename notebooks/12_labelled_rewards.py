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
# # 12. What labels would buy
#
# How good could a reward be that is told the truth? Two are trained here that see what the learned rewards
# never do: true labels of samples, of questions that have their answers. A log-ratio
# $$f_k = b + \beta \sum_{s \le k} \log \frac{p_\phi(y_s)}{p_{ref}(y_s)}$$
# of the backbone with an adapter to itself without one (notebook 4) reads each trace, and at the end of each
# step $k$ and at that of the trace
# $$L = -\frac{1}{K} \sum_k \big[z_k \log\sigma(f_k) + (1 - z_k) \log(1 - \sigma(f_k))\big].$$
# Of `outcome_labels` $z_k$ is 1 where the trace's answer is right, whatever the step: an outcome reward. Of
# `step_labels` it is 1 as long as no step is wrong: a process reward. No bound follows from that: a log-ratio
# is high where its reference finds a trace unlikely, a rare error is unlikely too, and few labels speak
# against it. Whether they choose and point better than rewards from demonstrations is measured.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import numpy as np
from transformers import AutoTokenizer

from lib import runs
from lib.data import splits
from lib.evaluation import metrics
from lib.models import pretrained
from lib.report import plots
from lib.reward import recorded
from lib.study import params, recording
from lib.study.adversarial import judging, labelled

# %% tags=["parameters"]
backbone = "qwen2"
reward = "outcome_labels"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
start, section = runs.backbone_dir(backbone), settings.labels
tokenizer = AutoTokenizer.from_pretrained(start)
problems = splits.split("train")[: section.questions]
section

# %% [markdown]
# ## Training
#
# On samples of the two policies that rewards are asked to judge, the base and the SFT policy
# (`labelled.train_labelled`).

# %%
watch = runs.Stopwatch()
policies = [pretrained.load_policy(start, adapter) for adapter in (None, runs.sft_adapter(backbone, seed))]
model, log = labelled.train_labelled(
    reward, start, policies, problems, section, tokenizer=tokenizer, settings=settings, seed=seed
)
seconds = watch.seconds

# %%
figure = plots.training_curves(log, ["loss"])
# %% [markdown]
# ## On validation
#
# Right against wrong samples of the same problem, by the base policy: how often the right one has the higher
# reward.

# %%
airl = labelled.judged_as(settings)
known = runs.read_rows(runs.record_of(backbone, "base", seed) / runs.KNOWN)
scored = recorded.score_samples(model, tokenizer, splits.split("validation"), known, airl, settings)
rewards_PN, correct_PN = (
    np.array([row[key] for row in of]).reshape(-1, settings.sampling.n)
    for of, key in ((scored, "reward"), (known, "correct"))
)
within_P = metrics.auroc_within(rewards_PN, correct_PN)
validation = {} if np.isnan(within_P).all() else {"auroc_within": round(float(np.nanmean(within_P)), 4)}
validation

# %% [markdown]
# ## The record
#
# What it says of the test samples; there is no policy.

# %%
recording.record_reward(
    backbone, reward, seed, settings=settings, section=section, model=model, log=log,
    validation=validation, seconds=seconds,
)  # fmt: skip
judging.judge(backbone, reward, seed, model, tokenizer, airl, settings)

# %% [markdown]
# ## Try it
#
# Set `labels.questions` to 100: how many labels are the demonstrations worth? And compare the two in
# `results/tables/localisation.csv`: how much do labels of the steps add to
# those of the answers?
#
# ## Next
#
# This is the last notebook; its rewards stand beside the others in the tables of notebook 10.
#
# ## References
#
# - Uesato et al. (2022), *Solving math word problems with process- and outcome-based feedback*, [arXiv
#   2211.14275](https://arxiv.org/abs/2211.14275).
# - Lightman et al. (2023), *Let's verify step by step*, [arXiv
#   2305.20050](https://arxiv.org/abs/2305.20050).
# - Cobbe et al. (2021), *Training verifiers to solve math word problems*, [arXiv
#   2110.14168](https://arxiv.org/abs/2110.14168).
