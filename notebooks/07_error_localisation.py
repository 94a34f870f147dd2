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
# # 7. The reward as a pointer: where is the first wrong step?
#
# A dense reward should fall where a trace goes wrong: the detector points at the unit with the
# largest drop $f_{k-1} - f_k$. It is asked about two kinds of wrong traces: perturbed experts, and the
# base policy's own wrong samples. Two detectors that need no reward are asked on the same units: the
# least likely token (log-probability) and the least certain one (entropy), both under the base policy.
# No slack: a hit is the exact first wrong unit.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import pandas as pd

from lib import metrics, params, scoring, study, training

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
model, tokenizer = training.load_backbone(study.backbone_dir(backbone))
problems = study.split("test")

# %% [markdown]
# ## The wrong traces
#
# One perturbed expert a test problem, of which the rule knows where it struck, and the base policy's
# wrong samples of the first seed, of which the checker knows.

# %%
wrong = scoring.wrong_traces(problems, study.samples(backbone, "base", settings.seeds[0]), settings.data.seed)
pd.DataFrame(wrong).groupby(["source", "kind"]).size()

# %% [markdown]
# ## The detectors

# %%
first = settings.seeds[0]
rows = [
    {**row, "variant": "", "seed": first}
    for row in scoring.detect_by_likelihood(model, tokenizer, problems, wrong, settings)
]
for variant in settings.variants:
    for seed in settings.seeds:
        reward_model = scoring.load_discriminator(backbone, variant, seed, settings)
        detected = scoring.detect_by_reward(
            reward_model, tokenizer, problems, wrong, settings.airl_variant(variant), settings
        )
        rows += [{**row, "variant": variant, "seed": seed} for row in detected]
scoring.write_localisation(backbone, rows)

# %% [markdown]
# ## Hits
#
# The fraction of traces in which the detector points at the first wrong unit, beside chance.

# %%
table = pd.DataFrame(rows)
table["hit_at_1"] = metrics.localisation_hits(table["unit_scores"], table["first_wrong_unit"])
table["chance"] = metrics.chance(table["unit_scores"])
table.groupby(["source", "detector", "variant"])[["hit_at_1", "chance"]].mean().round(3)
