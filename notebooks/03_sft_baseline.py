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
# # 3. The SFT baseline: imitate the demonstrations
#
# The obvious use of expert demonstrations is to imitate them token by token,
# $$L = -\sum_t \log \pi(y^*_t \mid x, y^*_{<t}),$$
# on the expert's completion $y^*$. How far does it get from a few demonstrations? Everything later is
# compared with this, so it is tuned with the same care: learning rate and epochs were chosen on
# validation (`results/LOG.md`).

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from lib import runs
from lib.data import splits
from lib.report import plots
from lib.study import params, recording
from lib.study.training import launch, sampling

# %% tags=["parameters"]
backbone = "qwen2"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
demonstrations = splits.demonstrations_of(seed)[: settings.sft.demonstrations]
print(f"{len(demonstrations)} demonstrations, for example:\n")
print(demonstrations[0].question, demonstrations[0].trace, sep="\n\n")

# %% [markdown]
# ## Training
#
# `trl.SFTTrainer` with the loss on the completion alone (`policies.train_sft`); the adapter is LoRA on every
# linear layer. It runs in processes of its own, on the devices that `training.launch` names, and if it was
# killed it goes on from its last checkpoint.

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, "sft", seed, params_file)

# %%
figure = plots.training_curves(trained.log, ["loss"])
# %% [markdown]
# ## On validation
#
# Imitation lifts the base policy. The gap between pass@1 and pass@n is what practice could still close. Part
# of any gain is sharpening, though, which a lower temperature has for nothing: `temperature` is the one of
# `sampling.temperatures` at which this policy is right most often, and every policy is compared at its own.

# %%
validation = sampling.validate(trained.model, trained.tokenizer, seed, settings)
validation

# %% [markdown]
# ## The record
#
# The adapter, the log and the sampled test traces. No decision is taken on the test split: its rows
# are read by the analysis notebooks alone.

# %%
recording.record_run(
    backbone,
    "sft",
    seed,
    settings=settings,
    section=settings.sft,
    trained=trained,
    validation=validation,
    seconds=watch.seconds,
)
launch.forget(trained)

# %% [markdown]
# ## Try it
#
# Set `seed` to a number that has no record: how far apart are two draws of demonstrations? Or raise
# `sft.epochs`: does validation gain for as long as the training loss falls? What more demonstrations are
# worth is an ablation (`sft_256`, notebook 8), of which notebook 10 draws a figure.
#
# ## Next
#
# Notebook 4 learns a reward from the same demonstrations instead of copying them.
#
# ## References
#
# - Hu et al. (2021), *LoRA: low-rank adaptation of large language models*, [arXiv
#   2106.09685](https://arxiv.org/abs/2106.09685).
# - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*, [arXiv
#   2203.02155](https://arxiv.org/abs/2203.02155).
# - Ross, Gordon & Bagnell (2011), *A reduction of imitation learning and structured prediction to
#   no-regret online learning*, [arXiv 1011.0686](https://arxiv.org/abs/1011.0686).
