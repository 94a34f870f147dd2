"""Sentences against tables written by hand; every verdict must follow from the rows."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation import words
from lib.report import findings

NAN = float("nan")


def rows(columns: str, *values) -> pd.DataFrame:
    return pd.DataFrame(values, columns=columns.split())


def test_an_estimate_is_compared_by_value_and_by_interval():
    table = rows(
        "x ci_low ci_high", (0.60, 0.55, 0.65), (0.50, 0.45, 0.54), (0.604, 0.3, 0.9), (NAN, NAN, NAN)
    )
    high, low, same, none = (row for _, row in table.iterrows())
    compare = words.compare
    assert compare(high, low, "x", "SFT") == "0.10 above SFT (0.60 against 0.50; intervals apart)"
    assert compare(low, high, "x", "SFT") == "0.10 below SFT (0.50 against 0.60; intervals apart)"
    assert compare(same, high, "x", "SFT") == "equal to SFT (0.60 against 0.60; intervals overlap)"
    assert compare(none, high, "x", "SFT") == "not comparable with SFT (n/a against 0.60)"


estimates = st.tuples(*[st.integers(0, 100)] * 3).map(sorted)  # hundredths: low, value, high


@given(estimates, estimates)
def test_what_is_said_of_a_pair_follows_from_it(a, b):
    one, other = (pd.Series({"x": v / 100, "ci_low": lo / 100, "ci_high": hi / 100}) for lo, v, hi in (a, b))
    said = words.compare(one, other, "x", "B")
    stands = (
        "equal to" if a[1] == b[1] else f"{abs(a[1] - b[1]) / 100:.2f} {'above' if a[1] > b[1] else 'below'}"
    )
    touching = not set(range(a[0], a[2] + 1)).isdisjoint(range(b[0], b[2] + 1))
    verdict = "overlap" if touching else "apart"
    assert said == f"{stands} B ({a[1] / 100:.2f} against {b[1] / 100:.2f}; intervals {verdict})"


def test_ablations_are_each_told_against_the_first_of_their_kind():
    columns = "reference ablation backbone value n_seeds pass_at_1 ci_low ci_high"
    table = rows(
        columns,
        ("airl", "loss", "qwen2", "bce", 2, 0.6, 0.5, 0.7),
        ("airl", "loss", "qwen2", "wgan", 1, 0.3, 0.2, 0.4),
        ("sft", "demonstrations", "llama", "64", 2, 0.5, 0.4, 0.6),
        ("sft", "demonstrations", "llama", "16", 2, 0.4, 0.3, 0.5),
        ("sft", "demonstrations", "llama", "128", 2, 0.7, 0.65, 0.8),
    )
    for name in ("auroc", "hit_at_1"):
        table[name] = table[f"{name}_ci_low"] = table[f"{name}_ci_high"] = NAN
    table.loc[:1, ["auroc", "auroc_ci_low", "auroc_ci_high"]] = [[0.8, 0.7, 0.9], [0.75, 0.7, 0.8]]
    undefined = "that of 64 (n/a against n/a)"
    rest = f"AUROC not comparable with {undefined}, hit@1 not comparable with {undefined}."
    assert findings.ablations(table) == [
        "On qwen2, loss = wgan (1 seed): pass@1 0.30 below that of bce (0.30 against 0.60; intervals apart), "
        "AUROC 0.05 below that of bce (0.75 against 0.80; intervals overlap), "
        "hit@1 not comparable with that of bce (n/a against n/a).",
        "On llama, demonstrations = 16 (2 seeds): pass@1 0.10 below that of 64 (0.40 against 0.50; "
        f"intervals overlap), {rest}",
        "On llama, demonstrations = 128 (2 seeds): pass@1 0.20 above that of 64 (0.70 against 0.50; "
        f"intervals apart), {rest}",
    ]


def test_transfer_tells_of_what_is_away_from_home_alone():
    table = rows(
        "backbone variant trained_on tested_on accuracy_gain ci_low ci_high "
        "auroc_within auroc_within_ci_low auroc_within_ci_high",
        ("qwen2", "airl", "1-4 steps", "1-4 steps", 0.2, 0.1, 0.3, 0.8, 0.7, 0.9),
        ("qwen2", "airl", "1-4 steps", "5-6 steps", 0.1, 0.01, 0.2, 0.7, 0.6, 0.8),
        ("qwen2", "likelihood", "stock", "trip", 0.1, -0.01, 0.2, 0.6, 0.5, 0.7),
        ("llama", "airl", "stock", "trip", 0.0, 0.0, 0.1, NAN, NAN, NAN),
    )
    assert findings.transfer(table) == [
        "On qwen2, election (ours) as a reward, trained on 1-4 steps and tested on 5-6 steps, still "
        "gains: accuracy "
        "0.10 [0.01, 0.20] above any sample, AUROC within problems 0.70 [0.60, 0.80].",
        "On qwen2, SFT log-likelihood as a reward, trained on stock and tested on trip, does not surely "
        "gain: accuracy "
        "0.10 [-0.01, 0.20] above any sample, AUROC within problems 0.60 [0.50, 0.70].",
        "On llama, election (ours) as a reward, trained on stock and tested on trip, does not surely "
        "gain: accuracy "
        "0.00 [0.00, 0.10] above any sample, AUROC within problems n/a.",
    ]


GAINS = ("above_sft", "above_likelihood", "above_ttrl", "above_airl", "above_airl_practice", "share_of_grpo")


def gain(backbone: str, temperature: str, method: str = "airl", **estimates) -> dict:
    """A row of the table `gains`; what is not given is 0 with an interval around it."""
    row = {"backbone": backbone, "method": method, "temperature": temperature, "n_seeds": 1}
    for name in GAINS:
        prefix = "" if name == "above_sft" else f"{name}_"
        row |= dict(
            zip(
                (name, f"{prefix}ci_low", f"{prefix}ci_high"),
                estimates.get(name, (0.0, -0.1, 0.1)),
                strict=True,
            )
        )
    return row


intervals = st.tuples(*[st.integers(-100, 100)] * 3).map(sorted)  # hundredths: low, value, high


@given(st.tuples(*[intervals] * 14))
def test_nothing_is_called_better_or_worse_where_the_paired_interval_holds_0(drawn):
    """The headline's sentences of the policy: the verdict on every pair follows from its interval."""
    hundredths = [(v / 100, low / 100, high / 100) for low, v, high in drawn]
    gained = pd.DataFrame(
        [
            gain(
                "llama",
                "validation",
                above_sft=hundredths[0],
                above_likelihood=hundredths[1],
                above_ttrl=hundredths[2],
                above_airl_practice=hundredths[11],
            ),
            gain(
                "qwen2",
                "validation",
                above_sft=hundredths[3],
                above_likelihood=hundredths[4],
                above_ttrl=hundredths[5],
                above_airl_practice=hundredths[12],
            ),
            gain("llama", "greedy", above_sft=hundredths[6]),
            gain("qwen2", "greedy", above_sft=hundredths[7]),
            gain("llama", "validation", "airl_updated", above_airl_practice=hundredths[8]),
            gain("llama", "validation", "vote", above_airl=hundredths[9]),
            gain("qwen2", "validation", "one_backbone", above_airl=hundredths[10]),
            gain("llama", "validation", "airl_dense", above_sft=hundredths[13]),
        ]
    )
    said = " ".join(findings.headline({"gains": gained, "rerank": CHOICES, "localisation": FOUND})[:4])
    number = r"-?\d\.\d{3}"
    place = rf"on \w+, by ({number}) \[({number}), ({number})\]"
    verdicts = {
        "better than": lambda low, high: low > 0,
        "worse than": lambda low, high: high < 0,
        "not surely different from": lambda low, high: low <= 0 <= high,
    }
    told = []
    for match in re.finditer(rf"({'|'.join(verdicts)}) [^,.:]*?((?:{place}(?:, and )?)+)", said):
        told += [(match[1], *map(float, found)) for found in re.findall(place, match[2])]
    assert sorted(found[1:] for found in told) == sorted(hundredths)
    assert all(verdicts[said_so](low, high) for said_so, _, low, high in told)


CHOICES = pd.DataFrame(
    [
        ("qwen2", "sft", variant, selector, 16, accuracy, accuracy - 0.1, accuracy + 0.1)
        for variant, selector, accuracy in (
            ("airl", "reward", 0.7), ("airl", "majority", 0.6), ("likelihood", "reward", 0.5)
        )
    ],
    columns="backbone policy variant selector n accuracy ci_low ci_high".split(),
)  # fmt: skip
FOUND = pd.DataFrame(
    [
        ("qwen2", "policy", "sft", detector, variant, threshold, hit, hit - 0.1, hit + 0.1)
        for detector, variant, threshold, hit in (
            ("reward", "airl", "none", 0.3), ("reward", "airl", "perturbed", 0.6),
            ("reward", "airl", "oracle", 0.9), ("chance", "", "none", 0.2),
            ("likelihood", "likelihood", "perturbed", 0.4), ("logprob", "", "perturbed", 0.5),
        )
    ],
    columns="backbone error_source policy detector variant threshold hit_at_1 ci_low ci_high".split(),
)  # fmt: skip


def test_the_headline_leads_with_what_takes_no_step_labels():
    gained = pd.DataFrame([gain("qwen2", "validation"), gain("qwen2", "greedy")])
    above_sft, above_rivals, choice, pointer = findings.headline(
        {"gains": gained, "rerank": CHOICES, "localisation": FOUND}
    )
    assert choice == (
        "Among 16 samples of SFT the reward's choice is right in 0.70 [0.60, 0.80] on qwen2; that of the "
        "policy's own SFT log-likelihood in 0.50 [0.40, 0.60] on qwen2, the vote in 0.60 [0.50, 0.70] on "
        "qwen2. Among the base policy's it is right in n/a, the vote in n/a."
    )
    assert "0.60 [0.50, 0.70] on qwen2" in pointer and "chance finds 0.20" in pointer
    assert "0.90" not in pointer
    assert "greedily" in above_sft and "vote" in above_rivals


def test_the_headline_tells_what_each_part_that_was_changed_is_worth():
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation"), gain("qwen2", "greedy"),
            gain("qwen2", "validation", "airl_updated", above_airl_practice=(-0.2, -0.3, -0.1)),
            gain("qwen2", "validation", "vote", above_airl=(-0.01, -0.02, 0.02)),
        ]
    )  # fmt: skip
    told = findings.headline({"gains": gained, "rerank": CHOICES, "localisation": FOUND})[2]
    assert told == (
        "Without likelihoods to weigh and choose by, the election (1 seed) is not surely different from that "
        "with them on qwen2, by -0.010 [-0.020, 0.020]. With an adversary that learns on, practice on a "
        "stranger's vote (1 seed) is worse than that without one on qwen2, by -0.200 [-0.300, -0.100]."
    )


@pytest.mark.parametrize(
    "correct, low, form, verdict",
    [
        (0.3, 0.1, 0.2, "so it follows correctness more than format."),
        (0.2, 0.1, -0.3, "so it follows format at least as much as correctness."),
        (-0.3, -0.4, 0.1, "so it does not surely follow correctness."),
        (0.3, 0.0, 0.2, "so it does not surely follow correctness."),
        (NAN, NAN, 0.2, "which cannot be compared."),
    ],
)
def test_a_reward_is_said_to_follow_what_it_correlates_with_more(correct, low, form, verdict):
    table = rows(
        "backbone variant auroc ci_low ci_high ece corr_correct corr_correct_ci_low corr_format",
        ("qwen2", "airl_dense", 0.8, 0.7, 0.9, 0.1, correct, low, form),
    )
    (sentence,) = findings.reward_quality(table)
    assert sentence.startswith(
        "On qwen2, AIRL dense (paper): AUROC 0.80 [0.70, 0.90], calibration error 0.10;"
    )
    assert sentence.endswith(verdict)


def test_the_main_reward_is_told_against_what_stands_in_its_place_within_problems():
    columns = "backbone variant auroc ci_low ci_high ece corr_correct corr_format"
    table = rows(
        f"{columns} auroc_within auroc_within_ci_low auroc_within_ci_high",
        ("llama", "airl_dense", 0.8, 0.7, 0.9, 0.1, 0.3, 0.2, 0.7, 0.6, 0.8),
        ("llama", "length", 0.6, 0.5, 0.7, NAN, 0.3, 0.2, 0.6, 0.5, 0.7),
        ("qwen2", "length", 0.6, 0.5, 0.7, NAN, 0.3, 0.2, 0.95, 0.93, 0.97),
        ("qwen2", "airl", 0.8, 0.7, 0.9, 0.1, 0.3, 0.2, 0.9, 0.88, 0.92),
        ("qwen2", "base_logprob", 0.6, 0.5, 0.7, NAN, 0.3, 0.2, 0.89, 0.86, 0.9),
    )
    dense, ours, within = findings.reward_quality(table.assign(corr_correct_ci_low=0.1))
    assert dense.startswith("On llama, AIRL dense (paper):") and ours.startswith("On qwen2, election (ours):")
    assert within == (
        "On qwen2, right against wrong samples of the same problem: AUROC of election (ours) is "
        "0.05 below minus the length (0.90 against 0.95; intervals apart), 0.01 above log-probability by the "
        "base policy (0.90 against 0.89; intervals overlap)."
    )


def test_the_choice_of_a_stand_in_is_not_taken_for_the_rewards():
    table = rows(
        "backbone policy variant selector n accuracy ci_low ci_high",
        *[
            ("qwen2", "base", "airl", selector, 4, 0.5, 0.4, 0.6)
            for selector in ("random", "majority", "logprob", "oracle")
        ],
        ("qwen2", "base", "airl", "reward", 4, 0.7, 0.65, 0.75),
        ("qwen2", "base", "length", "reward", 4, 0.1, 0.0, 0.2),
    )
    (sentence,) = findings.rerank(table, "base")
    assert "the reward's choice is 0.20 above random (0.70 against 0.50; intervals apart)" in sentence


def test_localisation_is_told_by_the_threshold_that_took_no_labels():
    assert findings.localisation(FOUND) == [
        "On qwen2, errors of SFT: hit@1 of the reward is 0.40 above chance (0.60 against 0.20; intervals "
        "apart) and 0.20 above SFT log-likelihood (0.60 against 0.40; intervals overlap) and 0.10 above "
        "log-probability (0.60 against 0.50; intervals overlap)."
    ]


def test_real_models_are_told_of_apart_from_the_world():
    table = rows(
        "measure method above study backbone value ci_low ci_high n_seeds",
        ("SFT, pass@1", None, None, "smollm2", "smollm2", 0.4, 0.3, 0.5, 1),  # no difference of two methods
        ("a", "GRPO (true answers)", "SFT", "world", "qwen2", 0.3, 0.2, 0.4, 3),
        ("a", "GRPO (true answers)", "SFT", "smollm2", "smollm2", 0.1, 0.05, 0.15, 1),
        ("b", "election (ours)", "SFT, greedily", "smollm2", "smollm2", 0.02, -0.01, 0.05, 1),
    )
    assert findings.real(table) == [
        "Pretrained weights, smollm2 (smollm2, 1 seed): GRPO (true answers) is better than SFT, by 0.100 "
        "[0.050, 0.150]; election (ours) is not surely different from SFT, greedily, by 0.020 "
        "[-0.010, 0.050]."
    ]
