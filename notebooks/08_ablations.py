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
# is imitated, whether the second learner has another backbone, how many demonstrations there are, how many
# questions without an answer; or, where `ablations` asks for it, how many demonstrations are wrong. Or, of
# practice on a stranger's vote, all that makes the stranger an adversary. With other demonstrations the SFT
# that a method starts from is trained anew on these: what the experts teach is what changes. SFT and TTRL may
# have theirs changed too, to see who needs
# them most. Epochs stay, so that more demonstrations are more steps of SFT too; and without further questions
# those of the demonstrations are asked again and again. Nothing is chosen by an ablation's outcome.

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
# `ablation` names an entry of `ablations` in `params.yaml`; what it changes is the method that it is `of`, or
# else the study's own.

# %% tags=["parameters"]
backbone = "qwen2"
ablation = "vote"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
section = settings.section(ablation)
print("changed of", settings.ablated(ablation), ":", settings.ablations[ablation])

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, ablation, seed, params_file)

# %%
shown = [name for name in ("pass_rate", "reward_auroc") if any(name in row for row in trained.log)]
figure = plots.training_curves(trained.log, shown or ["loss"])
# %% [markdown]
# ## The record
#
# The policy's samples, and what its reward, if it has one, says of those of others. The tables of notebook 10
# are made from these rows.

# %%
recording.record_run(
    backbone,
    ablation,
    seed,
    settings=settings,
    section=section,
    trained=trained,
    validation=sampling.validate(trained.model, trained.tokenizer, seed, settings),
    seconds=watch.seconds,
)
launch.forget(trained)
if trained.reward_model:
    reward = (trained.reward_model, trained.reward_tokenizer)
    judging.judge(backbone, ablation, seed, *reward, section, settings)

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
# - Blum & Mitchell (1998), *Combining labeled and unlabeled data with co-training*, COLT.
# - Zuo et al. (2025), *TTRL: test-time reinforcement learning*, [arXiv
#   2504.16084](https://arxiv.org/abs/2504.16084).
