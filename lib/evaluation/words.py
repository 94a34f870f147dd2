"""Names and numbers as readers see them."""

import math
from collections.abc import Iterable

import pandas as pd

LABELS = {
    "base": "base",
    "sft": "SFT",
    "grpo": "GRPO (true answers)",
    "airl": "election (ours)",
    "airl_practice": "practice on a stranger's vote",
    "airl_updated": "practice on an adversary's vote",
    "reference": "what changes nothing",
    "vote": "election without weights",
    "one_backbone": "election without a stranger",
    "airl_16": "election, 16 demonstrations",
    "airl_256": "election, 256 demonstrations",
    "unlabelled_0": "election, no further questions",
    "unlabelled_1000": "election, 1,000 further questions",
    "wrong_experts_10": "election, a tenth of the experts wrong",
    "wrong_experts_25": "election, a quarter of the experts wrong",
    "sft_16": "SFT, 16 demonstrations",
    "sft_256": "SFT, 256 demonstrations",
    "ttrl_16": "TTRL, 16 demonstrations",
    "ttrl_256": "TTRL, 256 demonstrations",
    "airl_dense": "AIRL dense (paper)",
    "airl_dense_300": "AIRL dense, 300 steps (paper)",
    "airl_no_perturbation": "AIRL dense, no perturbations",
    "airl_step": "AIRL by steps (paper)",
    "airl_interval": "AIRL by intervals (paper)",
    "ttrl": "TTRL (vote)",
    "spin": "SPIN",
    "grpo_demonstrations": "GRPO (demonstrations' answers)",
    "outcome_labels": "outcome reward (true answers)",
    "step_labels": "step reward (true steps)",
    "reward_weighted_majority": "reward-weighted majority",
    "logprob": "log-probability",
    "length": "minus the length",
    "style": "an expert's style",
    "base_logprob": "log-probability by the base policy",
    "likelihood": "practice on its own likelihood",
    "perturbed": "rule-perturbed expert",
    "first_unit": "always the first step",
    "policy": "policy's own errors",
}
REWARDS = {  # of methods that practise on one
    "likelihood": "SFT log-likelihood",
    "airl_practice": "stranger's SFT log-likelihood",
}


def label(name: str) -> str:
    """The name of a method as readers see it."""
    return LABELS.get(name, name.replace("_", " "))


def reward_label(name: str) -> str:
    """The name of a reward, selector or detector as readers see it."""
    return REWARDS.get(name) or label(name)


def named(column: str, value: object) -> object:
    """What stands in a column, as readers see it; a text there is a method's name or a reward's."""
    if not isinstance(value, str):
        return value
    return label(value) if column in ("method", "reference") else reward_label(value)


def number(value: float, digits: int = 2) -> str:
    """A number as readers see it; an undefined one is n/a."""
    return "n/a" if math.isnan(value) else f"{value:.{digits}f}"


def stands(row: pd.Series, name: str, prefix: str = "") -> str:
    """What a paired difference shows: "better" or "worse" only where its interval leaves 0 out.

    With one seed an interval knows of no other training, and the words say so.
    """
    if math.isnan(row[name]):
        return "not comparable with"
    surely = sign(row, prefix)
    if not surely:
        return "not surely different from"
    one = "in one training " if row["n_seeds"] == 1 else ""
    return one + ("better than" if surely > 0 else "worse than")


def sign(row: pd.Series, prefix: str = "") -> int:
    """1 or -1 where a difference's interval leaves 0 out."""
    return int(row[f"{prefix}ci_low"] > 0) - int(row[f"{prefix}ci_high"] < 0)


def paired(row: pd.Series, name: str, prefix: str = "") -> str:
    """A difference with its interval, such as `0.061 [0.045, 0.077]`."""
    if math.isnan(row[name]):
        return "n/a"
    return f"{row[name]:.3f} [{row[f'{prefix}ci_low']:.3f}, {row[f'{prefix}ci_high']:.3f}]"


def briefly(rows: dict[str, pd.Series], name: str, than: str, prefix: str = "") -> str:
    """The verdict on each backbone, said once for all that have the same: `better than SFT (llama 0.061,
    qwen2 0.067)`."""
    said = _together(
        (stands(row, name, prefix), f"{backbone} {number(row[name], 3)}") for backbone, row in rows.items()
    )
    return listed(f"{what} {than} ({', '.join(places)})" for what, places in said.items())


def shares(rows: dict[str, pd.Series], name: str) -> str:
    """A share on each backbone: `0.82 (llama) and 0.83 (qwen2)`."""
    return listed(f"{number(row[name])} ({backbone})" for backbone, row in rows.items())


def grouped(rows: Iterable[tuple[str, pd.Series]], name: str, than: str = "") -> str:
    """Names by what their paired differences show: `better than A, B; not surely different from C`."""
    said = _together((stands(row, name), what) for what, row in rows)
    return "; ".join(f"{what}{than} {', '.join(items)}" for what, items in sorted(said.items()))


def judged(source: str, policy: str) -> str:
    """Whose traces: samples of a policy or, of wrong ones, its errors or those that a rule made."""
    return {"": label(policy), "policy": f"errors of {label(policy)}"}.get(source, f"{label(source)}s")


def _together(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What is said, each once, and of what."""
    said: dict[str, list[str]] = {}
    for what, of in pairs:
        said.setdefault(what, []).append(of)
    return said


def listed(parts: Iterable[str]) -> str:
    """The parts joined; where there are none, nothing was measured."""
    return " and ".join(parts) or "n/a"


def seeds(rows: Iterable[pd.Series]) -> str:
    """How many seeds the rows have, the fewest of them."""
    fewest = min(int(row["n_seeds"]) for row in rows)
    return f"{fewest} seed{'s' * (fewest > 1)}"


def interval(row: pd.Series, name: str, prefix: str = "") -> str:
    """An estimate with its interval, such as `0.48 [0.45, 0.51]`."""
    if math.isnan(row[name]):
        return "n/a"
    return f"{row[name]:.2f} [{number(row[f'{prefix}ci_low'])}, {number(row[f'{prefix}ci_high'])}]"
