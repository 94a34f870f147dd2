"""What stands in a reward's place without one: each makes the reward of samples from their records."""

import numpy as np
import pandas as pd

RULES = ("length", "base_logprob")  # nothing is trained
LIKELIHOOD = "likelihood"  # the variant whose reward is SFT's log-density: trained, but against no samples


def stands_in(table: pd.DataFrame) -> pd.Series:
    """Whether a row's variant stands in the reward's place."""
    return table["variant"].isin([*RULES, LIKELIHOOD])


def scores(judged: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of `Records.scores` on one policy's samples, with the variants of `RULES`.

    The reward is minus the number of tokens or, on the base policy's samples, its log-probability of its own.
    Both need no training and so have no seed but their samples': a base policy that ran once is one seed.
    They have no `logit` and no `unit_reward`.
    """
    samples = judged.drop_duplicates(["backbone", "sample_seed", "problem", "sample"])
    samples = samples.assign(seed=samples["sample_seed"], logit=np.nan, unit_reward=None, rewards=None)
    of_base = samples[samples["policy"] == "base"]
    return pd.concat(
        [
            samples.assign(variant="length", reward=-samples["n_tokens"].astype(float)),
            of_base.assign(variant="base_logprob", reward=of_base["logprob"].astype(float)),
        ],
        ignore_index=True,
    )
