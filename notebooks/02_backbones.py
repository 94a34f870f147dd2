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
# # 2. Backbones: what the policy starts from
#
# Every method starts from a pretrained model. Here it is a causal LM of a real architecture (Qwen2
# or Llama), trained from scratch on worked solutions by the unreliable solvers of notebook 1, with
# the usual loss $-\sum_t \log p(y_t \mid x, y_{<t})$. It inherits their misconceptions, each at its own
# rate. This notebook trains one and asks whether it is a fair start: often wrong, never hopeless.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import random

import torch

from lib import runs
from lib.models import pretrained, scratch
from lib.report import plots
from lib.study import params, recording
from lib.study.training import backbones, sampling

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
shape = settings.backbone(backbone)
shape

# %% [markdown]
# ## Tokenizer and model
#
# A byte-level BPE. Of the world each word and each small number is one token; of another dataset, whose
# demonstrations are then all there is to learn from, frequent words and single digits. It is saved
# beside the weights, so that `AutoTokenizer` and `AutoModelForCausalLM` load the directory as they
# would one from the hub.

# %%
tokenizer = backbones.tokenizer(settings)
torch.manual_seed(settings.pretraining.seed)
model = scratch.build(shape.architecture, shape.hidden, shape.layers, shape.heads, tokenizer)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")

# %%
question, solution = next(backbones.corpus(settings, random.Random(0)))
print(tokenizer.tokenize(question + scratch.SEPARATOR + solution + scratch.END))

# %% [markdown]
# ## Training
#
# Muon for the matrices, AdamW for the rest.

# %%
watch = runs.Stopwatch()
rng = random.Random(settings.pretraining.seed)
batches = scratch.corpus(tokenizer, backbones.corpus(settings, rng), rng, settings.pretraining.batch_size)
losses = scratch.pretrain(
    model, batches, settings.pretraining.steps, settings.pretraining.lr_matrices, settings.pretraining.lr_rest
)

# %%
figure = plots.training_curves([{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)], ["loss"])
# %% [markdown]
# ## Save
#
# The directory loads like any model of the hub. Its weights are kept in bfloat16, and from here on the model
# is what they say.

# %%
model.to(torch.bfloat16).save_pretrained(runs.backbone_dir(backbone))
tokenizer.save_pretrained(runs.backbone_dir(backbone))
model, tokenizer = pretrained.load_backbone(runs.backbone_dir(backbone))

# %% [markdown]
# ## Is it a fair start?
#
# On the validation split. A fair start is right a third to half of the time, its majority vote is beatable,
# and a right answer is mostly among its samples (`pass_at_n`). `temperature` is the one at which it is right
# most often with one sample: it takes no training to be better than at temperature 1.

# %%
start = sampling.validate(model, tokenizer, 0, settings)
start

# %% [markdown]
# ## The record
#
# Its samples of the test questions are the `base` row of every table.

# %%
section = settings.pretraining
recording.record_base(backbone, model, tokenizer, settings, section, start, losses, watch.seconds)

# %% [markdown]
# ## Try it
#
# Set `pretraining.steps` in `params.yaml` to a tenth. The loss ends higher and the start is weaker:
# fewer questions have a right answer among their samples, so there is less for practice to find. With
# `pretraining.malformed: 0.0` more of its samples can be graded, and more are right. Try it in a study
# of its own, as the profile `tiny` is (`make tiny`), for every later notebook starts from these weights.
#
# ## Next
#
# Notebook 3 imitates the experts.
#
# ## References
#
# - Touvron et al. (2023), *LLaMA: open and efficient foundation language models*, [arXiv
#   2302.13971](https://arxiv.org/abs/2302.13971).
# - Yang et al. (2024), *Qwen2 technical report*, [arXiv 2407.10671](https://arxiv.org/abs/2407.10671).
# - Loshchilov & Hutter (2019), *Decoupled weight decay regularization*, [arXiv
#   1711.05101](https://arxiv.org/abs/1711.05101).
# - Jordan et al. (2024), *Muon: an optimizer for hidden layers in neural networks*,
#   [kellerjordan.github.io/posts/muon](https://kellerjordan.github.io/posts/muon/).
