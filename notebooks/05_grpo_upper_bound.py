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
# # 5. GRPO on verifiable answers: the upper bound
#
# What could practice reach if every answer could be checked? GRPO samples a group of $G$ completions
# a question, rewards the right ones, and gives every token of a completion the advantage
# $$A_i = \frac{r_i - \mathrm{mean}(r)}{\mathrm{std}(r)}.$$
# It reads the answers of all training questions, which no demonstrations-only method may. It is a
# ceiling to measure against, not a competitor.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from lib import launch, params, plots, runs, study

# %% tags=["parameters"]
backbone = "qwen2"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
settings.grpo

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, "grpo", seed, params_file)

# %% [markdown]
# The pass rate of the policy's own samples on fresh training questions. It should have levelled off.

# %%
figure = plots.training_curves(trained.log, ["pass_rate"])
# %%
validation = study.validate(trained, seed, settings)
validation

# %% [markdown]
# ## The record

# %%
study.record_run(
    backbone,
    "grpo",
    seed,
    settings=settings,
    section=settings.grpo,
    trained=trained,
    validation=validation,
    seconds=watch.seconds,
)
launch.forget(trained)
