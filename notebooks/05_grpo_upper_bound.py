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
# # 5. Practice without a learned reward: the upper bound, and the rivals
#
# What could practice reach if every answer could be checked? GRPO samples a group of $G$ completions
# a question, rewards the right ones, and gives every token of a completion the advantage
# $$A_i = \frac{r_i - \mathrm{mean}(r)}{\mathrm{std}(r)}.$$
# `policies.train_grpo` is `trl.GRPOTrainer` with $r_i$ by `policies.correct`; `credit.group` is the
# same formula, against which the rules of notebook 4 are tested.
# It reads the answers of all training questions, which no demonstrations-only method may, and is what the
# paper takes as the upper bound. A bound it is not by necessity: what imitates better traces can pass it.
#
# The rivals learn no reward either, and start from SFT on 64 demonstrations: `ttrl` calls right what most of
# a group answer, on the questions without answers that notebook 4 has (Zuo et al. 2025);
# `grpo_demonstrations` is GRPO on the answers of the demonstrations alone; `spin` prefers, by DPO, the
# expert's trace to the policy's own, on the same demonstrations (Chen et al. 2024).

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
from lib.study.training import launch, sampling

# %% [markdown]
# `method` is an entry of `grpo_variants` in `params.yaml`, or `spin`.

# %% tags=["parameters"]
backbone = "qwen2"
method = "grpo"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
section = settings.section(method)
section

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, method, seed, params_file)

# %% [markdown]
# The pass rate of the policy's own samples while it trains: what `grpo` and `grpo_demonstrations` learn from,
# and what is logged of `ttrl` alone to look at; of `spin`, which does not sample while it learns, the loss.

# %%
figure = plots.training_curves(trained.log, ["loss" if method == "spin" else "pass_rate"])
# %%
validation = sampling.validate(trained.model, trained.tokenizer, seed, settings)
validation

# %% [markdown]
# ## The record

# %%
recording.record_run(
    backbone,
    method,
    seed,
    settings=settings,
    section=section,
    trained=trained,
    validation=validation,
    seconds=watch.seconds,
)
launch.forget(trained)

# %% [markdown]
# ## Try it
#
# Set `grpo.group_size` to 2 and a `seed` that has no record. In more groups all samples are right or all
# are wrong; such a group has no advantage to give, and the curve should rise more slowly and less
# smoothly. With `grpo.steps` halved it has not levelled off. How many demonstrations' answers would
# `grpo_demonstrations` need to reach `grpo`? Each has as many as `grpo.demonstrations` says.
#
# ## Next
#
# Notebook 6 takes the learned reward to where no policy is trained at all.
#
# ## References
#
# - Shao et al. (2024), *DeepSeekMath: pushing the limits of mathematical reasoning in open language
#   models*, [arXiv 2402.03300](https://arxiv.org/abs/2402.03300).
# - Schulman et al. (2017), *Proximal policy optimization algorithms*, [arXiv
#   1707.06347](https://arxiv.org/abs/1707.06347).
# - Williams (1992), *Simple statistical gradient-following algorithms for connectionist reinforcement
#   learning*, Machine Learning 8.
# - Zuo et al. (2025), *TTRL: test-time reinforcement learning*, [arXiv
#   2504.16084](https://arxiv.org/abs/2504.16084).
# - Chen et al. (2024), *Self-play fine-tuning converts weak language models to strong language models*,
#   [arXiv 2401.01335](https://arxiv.org/abs/2401.01335).
