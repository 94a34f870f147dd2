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
# # 8. Ablations: what each part of the recipe is worth
#
# One change to the study's recipe, everything else equal: whether likelihoods weigh the votes and choose what
# is imitated, how much there is to learn from. Or, of practice on a stranger's vote, all that makes the
# stranger an adversary. What every backbone and seed has are the variants of notebook 4; this notebook trains
# one further ablation. Nothing is chosen by its outcome.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from lib import runs
from lib.report import plots
from lib.study import params, recording
from lib.study.adversarial import judging
from lib.study.training import launch, sampling

# %% [markdown]
# `ablation` names an entry of `ablations` in `params.yaml`.

# %% tags=["parameters"]
backbone = "qwen2"
ablation = "vote"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
airl = settings.airl_variant(ablation)
print("changed:", settings.ablations[ablation])

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, ablation, seed, params_file)

# %%
figure = plots.training_curves(trained.log, ["pass_rate", "reward_auroc"])
# %% [markdown]
# ## The record
#
# The policy's samples, and what the reward says of those of others. The tables of notebook 10 are made from
# these rows.

# %%
recording.record_run(
    backbone,
    ablation,
    seed,
    settings=settings,
    section=airl,
    trained=trained,
    validation=sampling.validate(trained.model, trained.tokenizer, seed, settings),
    seconds=watch.seconds,
)
launch.forget(trained)
judging.judge(backbone, ablation, seed, trained.reward_model, trained.reward_tokenizer, airl, settings)

# %% [markdown]
# ## Try it
#
# Any entry of `ablations` can be run by its name, and a new one is one line: `dvc exp run -S
# '+ablations.one_round={steps: 1}'`. Say before you look what you expect, then see where it
# stands in the figure `ablations` of notebook 10.
#
# ## Next
#
# Notebook 9 takes the reward to where it was not trained.
#
# ## References
#
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
# - Arjovsky, Chintala & Bottou (2017), *Wasserstein GAN*, [arXiv
#   1701.07875](https://arxiv.org/abs/1701.07875).
# - Ng, Harada & Russell (1999), *Policy invariance under reward transformations*, ICML.
