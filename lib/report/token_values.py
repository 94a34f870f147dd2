"""What the viewer shows: recorded traces token by token, as rewards and policies see them.

The values of a token, all from records, in hundredths to keep the page small:

- `logprob`: of the policy that wrote it, nats.
- `reward`: the reward at the token. Where a reward accumulates over the trace (credit `telescoped`,
  `stepwise` or `elected`), its increment there: those of a step's tokens sum to the step's reward.
- `advantage`: what training would give it, with the problem's samples as the group (`lib.airl.credit`).
- `ratio`: log-ratio of expert and policy, nats. Of a reward that is a log-density, that minus the policy's
  log-probability; of one that is a logit, an estimate of the ratio of the trace so far, its increment.
"""

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from lib import runs
from lib.airl import credit
from lib.data.demonstrations import Demonstration
from lib.evaluation.records import KEY, Records
from lib.evaluation.words import label, reward_label
from lib.grading import answers
from lib.report import viewer
from lib.reward.falls import first_above, reward_drops
from lib.schema import Airl, Params
from lib.text import alignment, traces

SHOWN = 3  # right traces of a problem, policy and seed, and as many wrong ones
BUDGET = 3_000_000  # characters of JSON; problems beyond it, but never the first, are left out


def collect(
    records: Records,
    problems: Sequence[Demonstration],
    settings: Params,
    watched: Sequence[Demonstration] = (),
) -> dict:
    """The traces and values of the first problems, as the viewer reads them.

    After those of the test split come the `watched` ones, on which policies wrote while they were trained.

    `tokens` is the table that traces index; `labels` and `rewards` say what policies and rewards are called;
    `problems` have a question, the expert's trace, and `traces[backbone][policy][seed]`, a list. A trace
    has its `sample` number, `right`, `expert` (whether it is the expert's, letter by letter), `wrong`
    (its first wrong unit or None), `tokens`, `units` (the tokens [first, end) of each), `logprob`,
    `named` (the unit that each detector names, of a wrong trace), and `rewards[variant]` with `score`,
    `reward`, `advantage` and `ratio`; of a watched problem also the training `step` before which it was
    written, and the reward is as it was then.
    """
    table: dict[str, int] = {}
    thresholds = _thresholds(records)
    rewards = _rewards(records)
    policies = runs.JUDGED
    rows = records.tokens
    rows = rows[rows["backbone"].isin(settings.policies) & rows["method"].isin(policies)]
    shown, size = [], 0
    for problem, of_problem in rows.groupby("problem"):
        expert = problems[problem]
        entry = {"question": expert.question, "expert": expert.trace, "traces": {}}
        for key, group in of_problem.groupby(KEY, sort=False):
            backbone, policy, seed = key
            judged = {
                variant: rewards[(*key, variant, problem)]
                for variant in settings.variants
                if (*key, variant, problem) in rewards
            }
            entry["traces"].setdefault(backbone, {}).setdefault(policy, {})[str(seed)] = _shown(
                group, judged, expert.trace, key, thresholds, table, settings
            )
        size += len(json.dumps(entry))
        if shown and size > BUDGET:
            break
        shown.append(entry)
    shown += _watched(records.watched, watched, settings, table)
    names = dict.fromkeys([*policies, *settings.variants])
    return {
        "tokens": list(table),
        "labels": {name: label(name) for name in names},
        "rewards": {name: reward_label(name) for name in settings.variants},
        "problems": shown,
    }


def _watched(rows: pd.DataFrame, problems: Sequence[Demonstration], settings: Params, table: dict) -> list:
    """Entries of the problems that were written on in training, their traces in order of the steps."""
    rows = rows[rows["backbone"].isin(settings.policies) & (rows["problem"] < len(problems))]
    entries = []
    for problem, of_problem in rows.groupby("problem"):
        expert = problems[problem]
        entry = {"question": expert.question, "expert": expert.trace, "watched": True, "traces": {}}
        for (*key, step), group in of_problem.groupby([*KEY, "step"], sort=False):
            backbone, variant, seed = key
            judged = {variant: {row.sample: row for row in group.itertuples()}}
            written = entry["traces"].setdefault(backbone, {}).setdefault(variant, {})
            shown = _shown(group, judged, expert.trace, key, {}, table, settings)
            written.setdefault(str(seed), []).extend(trace | {"step": step} for trace in shown)
        entries.append(entry)
    return entries


def _shown(
    group: pd.DataFrame,
    judged: dict[str, dict],
    expert: str,
    key: tuple,
    thresholds: dict,
    table: dict[str, int],
    settings: Params,
) -> list[dict]:
    """The chosen traces of a policy's samples of one problem, with what the rewards in `judged` say."""
    group = list(group.sort_values("sample").itertuples())
    values = _values(group, judged, settings)
    return [_trace(row, values[row.sample], expert, key, thresholds, table) for row in _chosen(group, expert)]


def _rewards(records: Records) -> dict:
    """Score rows with token rewards by backbone, policy, seed, variant and problem, then by sample."""
    scores = records.scores
    scores = scores[(scores["seed"] == scores["sample_seed"]) & scores["rewards"].notna()]
    found: dict = {}
    for row in scores.itertuples():
        key = (row.backbone, row.policy, row.seed, row.variant, row.problem)
        found.setdefault(key, {})[row.sample] = row
    return found


def _thresholds(records: Records) -> dict:
    """The threshold of each detector, of perturbed experts, by backbone, policy, detector, variant and seed.

    Those that need no reward, where one was set for the policy's first seed alone, serve its others.
    """
    rows = records.localisation
    rows = rows[rows["source"] == "policy"]
    keys = ["backbone", "policy", "detector", "variant", "seed"]
    rows = rows.assign(threshold=[of_row["perturbed"] for of_row in rows["thresholds"]])
    return rows.groupby(keys)["threshold"].first().to_dict()


def _values(group: list, judged: dict[str, dict], settings: Params) -> dict[int, dict]:
    """By sample: `logprob`, and `rewards[variant]`."""
    values = {row.sample: {"logprob": row.logprobs, "rewards": {}} for row in group}
    for variant, scored in judged.items():
        airl = settings.airl_variant(variant)
        of_samples = [scored[row.sample].rewards for row in group]
        advantages = advantages_of(of_samples, [(row.text, row.ends) for row in group], airl)
        for row, rewards, advantage in zip(group, of_samples, advantages, strict=True):
            own, ratio = reward_and_ratio(rewards, row.logprobs, airl)
            values[row.sample]["rewards"][variant] = {
                "score": scored[row.sample].reward,
                "drops": reward_drops(scored[row.sample].unit_reward),
                "reward": own,
                "advantage": advantage,
                "ratio": ratio,
            }
    return values


def reward_and_ratio(
    rewards: list[float], logprobs: list[float], airl: Airl
) -> tuple[list[float], list[float]]:
    """The reward at each token and its log-ratio, see the module."""
    increments = np.diff(rewards, prepend=0.0)
    own = increments if airl.score_gamma is None else np.array(rewards)
    ratio = increments - logprobs if airl.reward == "log_density" else increments
    return own.tolist(), ratio.tolist()


def advantages_of(
    rewards: list[list[float]], samples: list[tuple[str, list[int]]], airl: Airl
) -> list[list[float]]:
    """The advantage of every token of a group; `samples` are texts and their tokens' ends.

    A group of fewer than two has nothing to be compared with: all are 0.
    """
    if len(rewards) < 2:
        return [[0.0] * len(row) for row in rewards]
    units = [
        alignment.unit_of_token(text, [*ends, len(text)][: len(row)])
        for row, (text, ends) in zip(rewards, samples, strict=True)
    ]
    width_t = max(map(len, rewards))
    mask_BT, _, step_ends_BT = alignment.unit_masks(units, width_t)
    boundaries_BT = credit.boundaries(airl.boundaries, mask_BT, airl.interval, step_ends_BT)
    rewards_BT = torch.tensor([row + [0.0] * (width_t - len(row)) for row in rewards])
    advantages_BT = credit.advantages(
        rewards_BT,
        boundaries_BT,
        mask_BT,
        credit=airl.credit,
        gamma=airl.gamma,
        group_size=len(rewards),
        clip=airl.reward_clip,
        answers_B=answers.classes([traces.parse(text).answer for text, _ in samples]),
    )
    return [advantages_BT[b, : len(row)].tolist() for b, row in enumerate(rewards)]


def _chosen(group: list, expert: str) -> list:
    """`SHOWN` right and `SHOWN` wrong samples of different texts, by sample; the expert's own comes first."""
    seen, chosen = set(), []
    count = {True: 0, False: 0}
    for row in sorted(group, key=lambda row: (row.text != expert, row.sample)):
        if row.text not in seen and count[row.correct] < SHOWN:
            seen.add(row.text)
            count[row.correct] += 1
            chosen.append(row)
    return sorted(chosen, key=lambda row: row.sample)


def _trace(row, values: dict, expert: str, key: tuple, thresholds: dict, table: dict[str, int]) -> dict:
    pieces = viewer.tokens(row.text, row.ends)
    marks = [viewer.overlaps(pieces, span) for span in traces.unit_spans(row.text)]
    wrong = None if np.isnan(row.first_wrong_unit) else int(row.first_wrong_unit)
    rewards = {
        variant: {"score": round(of["score"], 2)}
        | {name: hundredths(of[name]) for name in ("reward", "advantage", "ratio")}
        for variant, of in values["rewards"].items()
    }
    return {
        "sample": row.sample,
        "right": bool(row.correct),
        "expert": row.text == expert,
        "wrong": wrong,
        "tokens": [table.setdefault(piece, len(table)) for piece in pieces],
        "units": [_range(marked) for marked in marks],
        "logprob": hundredths(values["logprob"]),
        "named": {} if wrong is None else _named(row, values["rewards"], key, thresholds),
        "rewards": rewards,
    }


def _named(row, rewards: dict, key: tuple, thresholds: dict) -> dict[str, int]:
    """The unit that each detector names that has a threshold for this policy: of rewards by variant."""
    backbone, policy, seed = key
    scores = {
        ("logprob", ""): -np.array(row.unit_logprob),
        ("entropy", ""): np.array(row.unit_entropy),
        **{("reward", variant): of["drops"] for variant, of in rewards.items()},
    }
    named = {}
    for (detector, variant), unit_scores in scores.items():
        seeds = [s for b, p, d, v, s in thresholds if (b, p, d, v) == (backbone, policy, detector, variant)]
        of_seed = seed if variant else min(seeds, default=None)
        threshold = thresholds.get((backbone, policy, detector, variant, of_seed))
        if threshold is not None:
            named[variant or detector] = int(first_above(unit_scores, threshold).argmax())
    return named


def _range(marked: list[bool]) -> list[int]:
    """The marked tokens, which are neighbours, as [first, end); [0, 0] if there is none."""
    places = np.flatnonzero(marked)
    return [int(places[0]), int(places[-1]) + 1] if len(places) else [0, 0]


def hundredths(values: Iterable[float]) -> list[int]:
    """Each value times 100, rounded to a whole number."""
    return [round(100 * v) for v in values]
