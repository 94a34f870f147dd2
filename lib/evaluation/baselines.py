"""What stands in a reward's place without one: each makes the reward of the base policy's samples from their
records."""

import numpy as np
import pandas as pd

RULES = ("length", "base_logprob")  # nothing is trained
LIKELIHOOD = "likelihood"  # the variant whose reward is SFT's log-density: trained, but against no samples


def stands_in(table: pd.DataFrame) -> pd.Series:
    """Whether a row's variant stands in the reward's place."""
    return table["variant"].isin([*RULES, LIKELIHOOD])


def scores(on_base: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of `Records.scores` on the base policy's samples, with the variants of `RULES`.

    The reward is minus the number of tokens, or the base policy's log-probability of its own sample. Both
    need no training and so have no seed but their samples': a base policy that ran once is one seed. They
    have no `logit` and no `unit_reward`.
    """
    samples = on_base.drop_duplicates(["backbone", "sample_seed", "problem", "sample"])
    samples = samples.assign(seed=samples["sample_seed"], logit=np.nan, unit_reward=None, rewards=None)
    by_rule = {"length": -samples["n_tokens"], "base_logprob": samples["logprob"]}
    return pd.concat(
        [samples.assign(variant=rule, reward=by_rule[rule].astype(float)) for rule in RULES],
        ignore_index=True,
    )
