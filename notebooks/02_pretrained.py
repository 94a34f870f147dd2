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
# # 2b. Pretrained backbones: a policy's start from published weights
#
# With published weights nothing is trained from scratch: the policy starts from an instruct model of the hub,
# of a directory or of a GGUF file, and is told the trace format by its prompt. A small model may not follow
# it, and then has no right answer that can be read. This notebook takes the place of notebook 2 for every
# backbone of `pretrained`, and asks the same of it: how often is it right before anything is learned?

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from transformers import AutoTokenizer, set_seed

from lib import runs
from lib.data import splits
from lib.models import pretrained
from lib.study import params, recording
from lib.study.training import launch, sampling
from lib.text import chat

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
launch.require(settings)
source = settings.pretrained[backbone]
source

# %% [markdown]
# ## Its directory
#
# Everything later finds a backbone under `results/backbones`. Of a pretrained one that directory holds the
# tokenizer and says where the weights are. The tokenizer is made fit for training first: a chat template that
# prints today's date prints a fixed one, the end token is that which the template writes, and a template that
# would change a trace is refused.

# %%
directory = runs.backbone_dir(backbone)
pretrained.write_pretrained(directory, source)
tokenizer = AutoTokenizer.from_pretrained(directory)
problems = splits.split("validation")
print(chat.prompt_text(tokenizer, problems[0].question, settings.sampling.system_prompt))

# %% [markdown]
# Nothing cuts a prompt. Of every split, how many leave no room for a whole completion?

# %%
watch = runs.Stopwatch()
model = pretrained.load_policy(directory)
limit, longest = model.config.max_position_embeddings, settings.sampling.max_new_tokens
for split in ("demonstrations", "train", "validation", "test", "test_long"):
    questions = [row.question for row in splits.split(split)]
    prompts = chat.questions_ids(tokenizer, questions, settings.sampling.system_prompt)
    count = chat.without_room(prompts, longest, limit)
    print(f"{split}: {count} of {len(prompts)} prompts, at {longest} tokens of {limit}")

# %% [markdown]
# ## Is it a fair start?

# %%
set_seed(settings.seeds[0])
start = sampling.validate(model, tokenizer, 0, settings)
start

# %% [markdown]
# ## The record
#
# Its samples of the test questions are the `base` row of every table.

# %%
recording.record_base(backbone, model, tokenizer, settings, source, start, [], watch.seconds)

# %% [markdown]
# ## Try it
#
# Change `sampling.system_prompt`, and print a few samples: how many replies can be parsed without the form
# that it asks for, and how many with it? A reply that cannot be parsed is wrong, whatever the model knows.
#
# ## Next
#
# Notebook 3 imitates the experts.
#
# ## References
#
# - Dettmers et al. (2023), *QLoRA: efficient finetuning of quantized LLMs*, [arXiv
#   2305.14314](https://arxiv.org/abs/2305.14314).
# - Cobbe et al. (2021), *Training verifiers to solve math word problems*, [arXiv
#   2110.14168](https://arxiv.org/abs/2110.14168).
