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
# A dense reward should fall where a trace goes wrong: the detector points at the first unit over which it
# falls by more than a threshold, $r_{k-1} - r_k > \tau$. (The largest fall may be of a second error.) It is
# asked about two kinds of wrong traces: perturbed experts, and the own wrong samples of the base policy and
# of the SFT policy. Two detectors that need no reward are asked on the same units: the least likely token
# (log-probability) and the least certain one (entropy), both under the policy that erred. Each detector's
# threshold is the one that finds most known errors of the same source on validation problems: perturbed
# experts for the one, wrong samples of the same policy for the other. No slack: a hit is the exact first
# wrong unit.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import pandas as pd
from tqdm.auto import tqdm
from transformers import AutoTokenizer, set_seed

from lib import runs
from lib.data import splits
from lib.evaluation import localisation, metrics, tables
from lib.models import pretrained
from lib.reward import recorded
from lib.study import params
from lib.study.training import sampling

# %% tags=["parameters"]
backbone = "qwen2"
params_file = "params.yaml"

# %%
settings = params.load(params_file)
model = pretrained.load_policy(runs.backbone_dir(backbone))
tokenizer = AutoTokenizer.from_pretrained(runs.backbone_dir(backbone))
problems = splits.split("test")

# %% [markdown]
# ## The wrong traces
#
# Two perturbed experts a test problem, of which the rule knows where it struck, and the wrong samples of
# two policies' first seed, of which the checker knows. A misreading is a true equation that is not the
# problem's; the world also makes mistakes of arithmetic.

# %%
first = settings.seeds[0]
wrong_of = {
    policy: localisation.wrong_traces(near, runs.samples(backbone, policy, first), settings.data.seed)
    for policy, near in (("base", problems), ("sft", []))
}
wrong_of = {policy: wrong for policy, wrong in wrong_of.items() if wrong}  # of real data no one can tell
counts = {policy: pd.DataFrame(rows).groupby(["source", "kind"]).size() for policy, rows in wrong_of.items()}
pd.DataFrame(counts).fillna(0).astype(int)

# %% [markdown]
# ## The detectors
#
# The errors known on validation, from which the thresholds come, are of the same two sources.

# %%
validation = splits.split("validation")
set_seed(settings.data.seed)
known_of, rows = {}, []
for policy, wrong in wrong_of.items():
    if policy == "sft":
        adapter = runs.run_dir(backbone, policy, first) / "adapter"
        model = pretrained.load_policy(runs.backbone_dir(backbone), adapter)
    samples = sampling.sample(model, tokenizer, validation[:50], settings)
    known_of[policy] = localisation.wrong_traces(
        validation if policy == "base" else [], samples, settings.data.seed
    )
    known = localisation.detect_by_likelihood(model, tokenizer, validation, known_of[policy], settings)
    detected = localisation.detect_by_likelihood(model, tokenizer, problems, wrong, settings)
    detected = localisation.calibrated(detected, known)
    rows += [{**row, "policy": policy, "variant": "", "seed": first} for row in detected]

# %%
for variant in settings.variants:
    airl = settings.airl_variant(variant)
    for seed in tqdm(settings.seeds, desc=variant):
        reward_model = recorded.load_discriminator(backbone, variant, seed, settings)
        for policy, wrong in wrong_of.items():
            known, detected = (
                localisation.detect_by_reward(reward_model, tokenizer, of_split, traces, airl, settings)
                for of_split, traces in ((validation, known_of[policy]), (problems, wrong))
            )
            detected = localisation.calibrated(detected, known)
            rows += [{**row, "policy": policy, "variant": variant, "seed": seed} for row in detected]
runs.write_rows(runs.RESULTS / "localisation" / f"{backbone}.jsonl.gz", rows)

# %% [markdown]
# ## Hits
#
# The fraction of traces in which the detector points at the first wrong unit, beside the largest score
# without a threshold, and chance.

# %%
table = pd.DataFrame(rows)
table["hit_at_1"] = tables.hits(table)
table["largest"] = metrics.localisation_hits(table["unit_scores"], table["first_wrong_unit"])
table["chance"] = metrics.chance(table["unit_scores"])
table.groupby(["source", "policy", "detector", "variant"])[["hit_at_1", "largest", "chance"]].mean().round(3)

# %% [markdown]
# ## Try it
#
# Choose the thresholds on fewer known errors: `validation[:10]` in place of `validation[:50]`. The hits
# on the policy's own errors should become less steady; those on perturbed experts do not change, for
# their thresholds come from elsewhere. In the last cell add `"kind"` to the `groupby`: which errors does
# the reward see that the log-probability does not?
#
# ## Next
#
# Notebook 8 takes the recipe apart.
#
# ## References
#
# - Lightman et al. (2023), *Let's verify step by step*, [arXiv
#   2305.20050](https://arxiv.org/abs/2305.20050).
# - Uesato et al. (2022), *Solving math word problems with process- and outcome-based feedback*, [arXiv
#   2211.14275](https://arxiv.org/abs/2211.14275).
# - Zheng et al. (2024), *ProcessBench: identifying process errors in mathematical reasoning*, [arXiv
#   2412.06559](https://arxiv.org/abs/2412.06559).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
