"""What stands in a reward's place without one: each makes the reward of samples from their records."""

import numpy as np
import pandas as pd

# Nothing is trained. Minus the number of tokens; of the base policy's samples, its own log-probability.
RULES = {
    "length": lambda samples: -samples["n_tokens"].astype(float),
    "base_logprob": lambda samples: samples["logprob"].astype(float),
}
OF_BASE = ("base_logprob",)  # said of the base policy's samples alone, which it wrote
LIKELIHOOD = "likelihood"  # the variant whose reward is SFT's log-density: trained, but against no samples


def scores(judged: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of `Records.scores`, with the variants of `RULES`.

    Rules need no training and so have no seed but their samples': a base policy that ran once is one seed.
    They have no `logit` and no `unit_reward`.
    """
    samples = judged.drop_duplicates(["backbone", "policy", "sample_seed", "problem", "sample"])
    samples = samples.assign(seed=samples["sample_seed"], logit=np.nan, unit_reward=None, rewards=None)
    of_base = samples[samples["policy"] == "base"]
    scored = [
        (of_base if name in OF_BASE else samples).assign(variant=name, reward=lambda of, rule=rule: rule(of))
        for name, rule in RULES.items()
    ]
    return pd.concat(scored, ignore_index=True)
