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
# # 11. An external check: the reward on real text
#
# Everything so far was judged on samples of the study's own policies. Here other people's solutions, which
# say of themselves whether they are right, are put before a trained reward $R$. Does it rank a right
# solution above a wrong one,
# $$\mathrm{AUROC} = P(R(\tau^+) > R(\tau^-)) + \tfrac12 P(R(\tau^+) = R(\tau^-)),$$
# choose the right one of several, and fall where a solution goes wrong? A reward learned on one kind of
# problem owes us nothing on another: without any transfer the AUROC is a half, and its choice is as good as
# any.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import pandas as pd

from lib import runs
from lib.data import splits
from lib.evaluation import external
from lib.report import plots
from lib.study import params

# %matplotlib inline

# %% [markdown]
# `name` is an entry of `external` in `params.yaml`: the file of solutions, and the run whose reward, or which
# policy, is asked. There is none until one is added; README shows how.

# %% tags=["parameters"]
name = "gsm8k"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
asked = settings.external[name]
asked

# %% [markdown]
# ## The solutions
#
# How many each source wrote, which share of them is right, and of which share no answer could be read.

# %%
labelled = external.solutions(asked.solutions)
shown = pd.DataFrame(labelled)
shown["unreadable"] = shown["answer"].isna()
shown.groupby("source", sort=False).agg(
    solutions=("is_correct", "size"), right=("is_correct", "mean"), unreadable=("unreadable", "mean")
).round(3)

# %%
print(labelled[0]["question"], labelled[0]["text"], f"correct: {labelled[0]['is_correct']}", sep="\n\n")

# %% [markdown]
# ## Scoring
#
# The reward of a whole solution, and at the end of each of its steps. Where the file tells first wrong steps,
# a step is called wrong that the reward falls over by more than a threshold. The file's own labels must not
# choose it: it is the one that best tells the validation experts' near misses from the experts themselves.
# In the place of a reward a policy may be asked (`variant: base` or `sft`): how likely it finds a step as a
# whole, its least likely token, and how certain it is at its least certain one.

# %%
rows = external.judge(asked, labelled, splits.split("validation"), settings)
runs.write_rows(runs.RESULTS / "external" / f"{name}.jsonl.xz", rows)
sorted({(external.detector(row), row.get("threshold")) for row in rows})

# %% [markdown]
# Were the reward, or the policy's log-likelihood, a perfect judge, the two colours would not overlap.

# %%
first = pd.DataFrame(rows).drop_duplicates(["problem", "sample"]).rename(columns={"is_correct": "correct"})
plots.reward_distributions(first)

# %% [markdown]
# ## Right from wrong, the choice of one, the first error
#
# Best of $N$ takes the solution of a problem with the highest reward; beside it any solution, and the
# answer that most of them give. Harder problems have longer solutions and fewer right ones, so length alone
# tells something: a judge that calls the shorter solution right stands beside the reward, and the AUROC is
# given among the solutions of one problem too. The first wrong step, where the file tells it, is looked for
# in two ways. In a wrong solution it is the one over which the reward falls most. With the threshold a
# solution may have none: on ProcessBench's terms there is the accuracy on erroneous solutions, $a_e$ (the
# first wrong step is named), that on correct ones, $a_c$ (none is), and
# $$F_1 = \frac{2\, a_e\, a_c}{a_e + a_c}.$$
# Intervals are over problems.

# %%
checked = external.check(name, rows, settings.evaluation.bootstrap)
checked

# %% [markdown]
# ## What it means
#
# An interval that holds the value of chance or of a random choice shows no use of the reward here.

# %%
print(*external.sentences(checked), sep="\n")

# %% [markdown]
# ## Try it
#
# Write ten solutions of your own as JSON lines, half of them wrong in a step that you mark with
# `first_wrong_step` (-1 in the right ones), and name the file in `external`. First in the style of the
# world's experts, then in other words: how much of the AUROC is left?
#
# ## Next
#
# Notebook 12 trains rewards that are told the truth. `CONTRIBUTING.md` shows how to add a perturbation, a
# dataset, a backbone or a credit rule.
#
# ## References
#
# - Cobbe et al. (2021), *Training verifiers to solve math word problems*, [arXiv
#   2110.14168](https://arxiv.org/abs/2110.14168).
# - Zheng et al. (2024), *ProcessBench: identifying process errors in mathematical reasoning*, [arXiv
#   2412.06559](https://arxiv.org/abs/2412.06559).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
