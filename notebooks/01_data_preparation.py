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
# # 1. Data: questions, expert traces, and solvers with misconceptions
#
# Can a reward for reasoning be learned from a few expert demonstrations? To measure an answer we
# need questions with known answers, expert traces, and, rarer, the truth about *which step* of a
# wrong trace is the first wrong one. Published datasets have the first two. The embedded world
# writes its problems by program, so it knows all three. This notebook makes the splits that every
# later notebook reads.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import random
from collections import Counter

import matplotlib.pyplot as plt

from lib import runs
from lib.data import demonstrations, problems, reading, splits, world
from lib.grading import answers, equations
from lib.study import params
from lib.text import traces

# %% [markdown]
# What is made is set in `params.yaml`, section `data`.

# %% tags=["parameters"]
params_file = "params.yaml"

# %%
settings = params.load(params_file)
settings.data

# %% [markdown]
# ## The splits
#
# Train (questions for on-policy training), demonstrations, validation and test never share a
# question. Hyper-parameters are chosen on validation; the test split is read by the evaluation
# alone.

# %%
made = splits.make_splits(settings)
for name, rows in made.items():
    demonstrations.write_jsonl(runs.DATA / f"{name}.jsonl", rows)
    print(f"{name:15s} {len(rows):5d} questions", dict(Counter(row.family for row in rows)))

# %% [markdown]
# The files are plain JSON lines in the schema of every dataset: question, trace, answer.
#
# ## A problem and its expert
#
# The expert writes one step a line between `<think>` tags, then the answer. In the embedded world a problem
# is a chain of operations on one quantity, one sentence each, and a step is one equation. A trace can be
# written in many *styles* (`8+7=15`, `8 plus 7 is 15`, ..): experts use a few of them, other solvers all, so
# that style tells nothing of being right.

# %%
shown = made["demonstrations"][0]
print(shown.question, shown.trace, sep="\n\n")

# %% [markdown]
# ## Are the experts right?
#
# A demonstration ends in the right answer, yet may state a false equation on the way; the reward is taught
# that it is right. These are named here, by the split and the row (counted from 0) that a demonstration's
# `id` tells. An equation is read whole or not at all, so what is not counted is not proved right.

# %%
read = [(row.id, equation) for row in made["demonstrations"] for equation in equations.find(row.trace)]
false = [(where, equation) for where, equation in read if not equations.holds(equation)]
print(f"{len(read)} equations read; {len({where for where, _ in false})} experts state a false one")
for where, equation in false:
    print(f"{where}: {equation.expression} = {equation.result}")

# %% [markdown]
# ## In the embedded world: a solver with misconceptions
#
# The rest is about the world alone. Most text in it is not by experts. Its authors misread
# *operations*, each in its own systematic way and with its own probability: "a third are eaten"
# leaves a third, a score is ten. They also lose a tag now and then. The backbones are trained on
# this mixture, as real models are on the web. The checker names the first wrong unit, where each
# step is a unit and the answer is the last.

# %%
rng = random.Random(settings.data.seed)
if settings.data.dataset == "world":
    problem = world.generate(rng, next(iter(world.FAMILIES)), 3)
    expert, answer = world.expert(problem)
    unreliable = world.unreliable(problem, rng, settings.pretraining.malformed)
    print(problem.question, expert, unreliable, sep="\n\n")
    print("\nfirst wrong unit:", reading.first_wrong_unit(unreliable, expert))

# %% [markdown]
# How often is such a solver right, by the number of steps? Errors compound along the chain.

# %%
rates = {}
for n_steps in settings.data.steps if settings.data.dataset == "world" else ():
    right = 0
    for _ in range(300):
        problem = world.generate(rng, rng.choice(list(world.FAMILIES)), n_steps)
        text = world.unreliable(problem, rng, settings.pretraining.malformed)
        right += answers.is_correct(traces.parse(text).answer, world.expert(problem)[1])
    rates[n_steps] = right / 300

if settings.data.dataset == "world":
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.bar([str(n) for n in rates], list(rates.values()), color="0.5")
    axes.set(xlabel="steps of the problem", ylabel="fraction of traces with the right answer", ylim=(0, 1))

# %% [markdown]
# How much do the demonstrations that SFT and AIRL read show of each operation? Each seed draws its own; these
# are the first one's. Rare operations appear a few times or not at all: that is what makes learning from few
# experts hard.

# %%
if settings.data.dataset == "world":
    used = splits.demonstrations_of(settings.seeds[0])[: settings.sft.demonstrations]
    operations = {
        operation.sentence: sum(problems.mentions(row.question, operation) for row in used)
        for family in world.FAMILIES.values()
        for operation in family.operations
    }
    counts = sorted(operations.values(), reverse=True)
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.bar(range(len(counts)), counts, color="0.5")
    axes.set(xlabel="operation, by rank", ylabel="demonstrations that show it")
    print(f"{sum(c == 0 for c in counts)} of {len(counts)} operations are shown by no demonstration")

# %% [markdown]
# ## Try it
#
# In the cell of the solver set `settings.pretraining.malformed` aside and pass `0.0`: every trace has
# its tags, and a few more are right. In the last cell let `used` be all of `made["demonstrations"]`:
# fewer operations are shown by none. Cells that only show something can be changed freely; what a
# notebook writes goes into `results`, where `git checkout results` brings the committed files back.
#
# ## Next
#
# Notebook 2 trains the backbones on what such solvers write.
#
# ## References
#
# - Cobbe et al. (2021), *Training verifiers to solve math word problems*, [arXiv
#   2110.14168](https://arxiv.org/abs/2110.14168).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
