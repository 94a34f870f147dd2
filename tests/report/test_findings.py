"""Sentences against tables written by hand; every verdict must follow from the rows."""

import re

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation import rivals
from lib.report import findings, headline, sceptic

NAN = float("nan")


def rows(columns: str, *values) -> pd.DataFrame:
    return pd.DataFrame(values, columns=columns.split())


def test_ablations_are_each_told_beside_the_first_of_their_kind():
    columns = "reference ablation backbone value n_seeds pass_at_1 ci_low ci_high"
    table = rows(
        columns,
        ("airl", "loss", "qwen2", "bce", 2, 0.6, 0.5, 0.7),
        ("airl", "loss", "qwen2", "wgan", 1, 0.3, 0.2, 0.4),
        ("sft", "demonstrations", "llama", "64", 2, 0.5, 0.4, 0.6),
        ("sft", "demonstrations", "llama", "128", 2, 0.7, 0.65, 0.8),
    )
    for name in ("auroc", "hit_at_1"):
        table[name] = table[f"{name}_ci_low"] = table[f"{name}_ci_high"] = NAN
    table.loc[:1, ["auroc", "auroc_ci_low", "auroc_ci_high"]] = [[0.8, 0.7, 0.9], [0.75, 0.7, 0.8]]
    assert findings.ablations(table) == [
        "On qwen2, election (ours) with loss = wgan in the place of bce (1 seed): pass@1 0.30 [0.20, 0.40] "
        "beside 0.60 [0.50, 0.70], AUROC 0.75 [0.70, 0.80] beside 0.80 [0.70, 0.90], hit@1 n/a beside n/a.",
        "On llama, SFT with demonstrations = 128 in the place of 64 (2 seeds): pass@1 0.70 [0.65, 0.80] "
        "beside 0.50 [0.40, 0.60], AUROC n/a beside n/a, hit@1 n/a beside n/a.",
    ]


def test_transfer_tells_of_what_is_away_from_home_alone():
    undefined = (NAN, NAN, NAN)
    table = rows(
        "backbone variant trained_on tested_on n_seeds accuracy_gain ci_low ci_high "
        "auroc_within auroc_within_ci_low auroc_within_ci_high "
        "above_likelihood above_likelihood_ci_low above_likelihood_ci_high",
        ("qwen2", "airl", "1-4 steps", "1-4 steps", 5, 0.2, 0.1, 0.3, 0.8, 0.7, 0.9, *undefined),
        ("qwen2", "airl", "1-4 steps", "5-6 steps", 5, 0.1, 0.01, 0.2, 0.7, 0.6, 0.8, 0.05, 0.01, 0.09),
        ("qwen2", "likelihood", "stock", "trip", 5, 0.1, -0.01, 0.2, 0.6, 0.5, 0.7, *undefined),
        ("llama", "airl", "stock", "trip", 5, 0.0, 0.0, 0.1, *undefined, 0.02, -0.01, 0.05),
    )
    assert findings.transfer(table) == [
        "On qwen2, election (ours) as a reward, trained on 1-4 steps and tested on 5-6 steps, still gains: "
        "accuracy 0.10 [0.01, 0.20] above any sample, AUROC within problems 0.70 [0.60, 0.80], better than "
        "the "
        "SFT log-likelihood (0.050).",
        "On qwen2, SFT log-likelihood as a reward, trained on stock and tested on trip, does not surely "
        "gain: "
        "accuracy 0.10 [-0.01, 0.20] above any sample, AUROC within problems 0.60 [0.50, 0.70].",
        "On llama, election (ours) as a reward, trained on stock and tested on trip, does not surely gain: "
        "accuracy 0.00 [0.00, 0.10] above any sample, AUROC within problems n/a, not surely different from "
        "the "
        "SFT log-likelihood (0.020).",
    ]


GAINS = ("above_sft", "above_likelihood", "above_ttrl", "above_airl", "above_airl_practice", "share_of_grpo")


def gain(backbone: str, temperature: str, method: str = "airl", n_seeds: int = 5, **estimates) -> dict:
    """A row of the table `gains`; what is not given is 0 with an interval around it."""
    row = {"backbone": backbone, "method": method, "temperature": temperature, "n_seeds": n_seeds}
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


@given(st.tuples(*[intervals] * 20))
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
            gain("llama", "validation", "ttrl", above_sft=hundredths[14]),
            gain("qwen2", "validation", "airl_dense_300", above_sft=hundredths[15]),
            gain("qwen2", "validation", "airl_16", above_sft=hundredths[16]),
            gain("qwen2", "validation", "unlabelled_0", above_airl=hundredths[17], above_sft=hundredths[18]),
            gain("llama", "validation", "sft_256", above_airl=hundredths[19]),
        ]
    )
    tables = TABLES | {"gains": gained, "long": LONG[:0], "costs": COSTS[:2]}
    said = headline.sentences(tables)
    assert [
        sentence.split(":")[0] for sentence in said
    ] == "Policy Rivals Parts Amounts Choice Pointer".split()
    verdicts = {
        "better than": lambda low, high: low > 0,
        "worse than": lambda low, high: high < 0,
        "not surely different from": lambda low, high: low <= 0 <= high,
    }
    told = []
    for match in re.finditer(rf"({'|'.join(verdicts)}) [^,.:(]*\(([^)]*)\)", " ".join(said[:4])):
        told += [(match[1], *place.split()) for place in match[2].split(", ")]
    assert len(told) == len(hundredths)
    shown = headline.table({"": tables})
    cells = shown[shown["of"].isin(["Policy", "Rivals", "Parts", "Amounts"])].iloc[:, 2:].to_numpy().ravel()
    found = [tuple(map(float, re.findall(r"-?\d\.\d{3}", cell))) for cell in cells if cell]
    assert sorted(found) == sorted(hundredths)
    of_verdict = sorted((said_so, float(value)) for said_so, _, value in told)
    expected = sorted(
        (name, value)
        for name, holds in verdicts.items()
        for value, low, high in hundredths
        if holds(low, high)
    )
    assert of_verdict == expected


CHOICES = pd.DataFrame(
    [
        ("qwen2", "sft", variant, selector, 16, accuracy, accuracy - 0.1, accuracy + 0.1)
        for variant, selector, accuracy in (
            ("airl", "reward", 0.7), ("airl", "majority", 0.6), ("likelihood", "reward", 0.5)
        )
    ] + [("qwen2", "base", "airl", "reward", 16, 0.5, 0.4, 0.6)],
    columns="backbone policy variant selector n accuracy ci_low ci_high".split(),
)  # fmt: skip
FOUND = pd.DataFrame(
    [
        ("qwen2", "policy", policy, detector, variant, threshold, hit, hit - 0.1, hit + 0.1)
        for policy, detector, variant, threshold, hit in (
            ("sft", "reward", "airl", "none", 0.3), ("sft", "reward", "airl", "perturbed", 0.6),
            ("sft", "reward", "airl", "oracle", 0.9), ("sft", "chance", "", "none", 0.2),
            ("base", "reward", "airl", "perturbed", 0.55),
        )
    ],
    columns="backbone error_source policy detector variant threshold hit_at_1 ci_low ci_high".split(),
)  # fmt: skip
PAIRED = pd.DataFrame(
    [
        ("choosing", "qwen2", "sft", "", "majority", 0.1, 0.05, 0.15, 5),
        ("choosing", "qwen2", "sft", "", "likelihood", 0.02, -0.01, 0.05, 5),
        ("choosing", "qwen2", "base", "", "majority", -0.1, -0.15, -0.05, 5),
        ("pointing", "qwen2", "sft", "policy", "logprob", 0.1, 0.05, 0.15, 5),
        ("pointing", "qwen2", "sft", "policy", "first_unit", 0.01, -0.01, 0.03, 5),
        ("pointing", "qwen2", "base", "policy", "logprob", 0.0, -0.05, 0.05, 5),
        ("pointing", "qwen2", "base", "perturbed", "logprob", 0.3, 0.2, 0.4, 5),
        ("ranking", "qwen2", "sft", "", "length", 0.4, 0.3, 0.5, 5),
    ],
    columns=rivals.COLUMNS,
)
PASSED = pd.DataFrame(
    [
        ("qwen2", "airl", "perturbed", 0.25, 0.2, 0.3, 0.33, 0.3, 0.4, 0.2, 0.1, 0.3, 5),
        ("qwen2", "airl", "oracle", *[0.9] * 9, 5),
    ],
    columns="backbone variant threshold f1 ci_low ci_high accuracy_erroneous accuracy_erroneous_ci_low "
    "accuracy_erroneous_ci_high accuracy_correct "
    "accuracy_correct_ci_low accuracy_correct_ci_high n_seeds".split(),
)
QUALITY = pd.DataFrame(columns=["backbone", "variant", "auroc_across_style"])  # of data without styles
LONG = pd.DataFrame(
    [
        ("qwen2", "sft", 0.06, 0.03, 0.09, NAN, NAN, NAN, 5),
        ("qwen2", "airl", 0.05, 0.03, 0.07, -0.01, -0.03, 0.01, 5),
    ],
    columns="backbone method pass_at_1 ci_low ci_high above_sft above_sft_ci_low above_sft_ci_high "
    "n_seeds".split(),
)
COSTS = pd.DataFrame(
    [("qwen2", "grpo", 200.0, 1000.0), ("qwen2", "sft", 50.0, NAN), ("qwen2", "airl", 900.0, 1500.0)],
    columns="backbone method seconds samples".split(),
).assign(hardware="2 cores")
TABLES = {
    "rerank": CHOICES, "localisation": FOUND, "rivals": PAIRED, "false_alarms": PASSED,
    "reward_quality": QUALITY, "reward_quality_sft": QUALITY, "long": LONG, "costs": COSTS,
}  # fmt: skip


def test_the_headline_leads_with_what_takes_no_step_labels():
    gained = pd.DataFrame([gain("qwen2", "validation"), gain("qwen2", "greedy")])
    policy, against, choice, pointer = headline.sentences(TABLES | {"gains": gained})
    assert choice == (
        "Choice: Among 16 samples of SFT the reward's choice is right in 0.70 (qwen2): better than the vote "
        "(qwen2 0.100), not surely different from the policy's own SFT log-likelihood (qwen2 0.020). Among "
        "the base "
        "policy's it is right in 0.50 (qwen2): worse than the vote (qwen2 -0.100)."
    )
    assert pointer == (
        "Pointer: Without step labels it finds the first wrong step of SFT's wrong traces in 0.60 (qwen2): "
        "better than log-probability (qwen2 0.100), not surely different from always the first step (qwen2 "
        "0.010). Of the base policy's it finds 0.55 (qwen2): not surely different from log-probability "
        "(qwen2 "
        "0.000). Where it may point at no step, it passes 0.20 (qwen2) of that one's right traces, and finds "
        "0.33 (qwen2) of the first wrong steps: as an alarm it rings for most right traces."
    )
    silent = TABLES | {"gains": gained, "false_alarms": PASSED.assign(accuracy_correct=0.8)}
    assert headline.sentences(silent)[3].endswith("0.33 (qwen2) of the first wrong steps.")
    assert policy.startswith("Policy: ") and policy.endswith(
        "greedily not surely different from SFT (qwen2 0.000). On problems longer than any that it was "
        "trained on, of which SFT greedily solves 0.06 (qwen2), it is not surely different from SFT (qwen2 "
        "-0.010)."
    )
    assert (
        against.startswith("Rivals: ")
        and "vote" in against
        and against.endswith(
            "The election asks its policy for 1.50 (qwen2) times the samples of GRPO and of these rivals, "
            "the second model for as many again, and takes 4.50 (qwen2) times GRPO's time."
        )
    )
    alone = FOUND[FOUND["policy"] == "sft"]  # a study whose base policy is never right
    *_, pointer = headline.sentences(
        TABLES | {"gains": gained, "localisation": alone, "false_alarms": PASSED[:0]}
    )
    assert pointer.endswith("(qwen2 0.010).") and "base" not in pointer
    real = FOUND.assign(error_source="perturbed")  # of real data a rule's errors alone
    *_, last = headline.sentences(
        TABLES | {"gains": gained, "localisation": real, "false_alarms": PASSED[:0]}
    )
    assert last.startswith("Choice")


def test_the_headline_tells_what_each_part_that_was_changed_is_worth():
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation"), gain("qwen2", "greedy"),
            gain("qwen2", "validation", "airl_updated", n_seeds=1, above_airl_practice=(-0.2, -0.3, -0.1)),
            gain("qwen2", "validation", "vote", n_seeds=1, above_airl=(-0.01, -0.02, 0.02)),
        ]
    )  # fmt: skip
    told = headline.sentences(TABLES | {"gains": gained})[2]
    assert told == (
        "Parts: An election without likelihoods to weigh and choose by (1 seed) is not surely different from "
        "the election as it is (qwen2 -0.010). Practice on the vote of an adversary that learns on (1 seed) "
        "is "
        "in one training worse than practice on a stranger's vote (qwen2 -0.200)."
    )


def test_an_election_with_other_demonstrations_is_told_beside_sft_on_as_many():
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation"), gain("qwen2", "greedy"),
            gain("qwen2", "validation", "airl_16", n_seeds=2, above_sft=(0.04, 0.01, 0.07)),
            gain(
                "qwen2", "validation", "unlabelled_0", n_seeds=2,
                above_airl=(-0.05, -0.08, -0.02), above_sft=(0.01, -0.02, 0.04),
            ),
            gain("qwen2", "validation", "sft_256", n_seeds=2, above_airl=(0.03, 0.01, 0.05)),
        ]
    )  # fmt: skip
    assert headline.sentences(TABLES | {"gains": gained})[2] == (
        "Amounts: An election with 16 demonstrations (2 seeds) is better than SFT on as many (qwen2 0.040). "
        "An election without further questions (2 seeds) is worse than the election as it is (qwen2 -0.050). "
        "An election without further questions (2 seeds) is not surely different from SFT (qwen2 0.010). "
        "SFT on 256 demonstrations (2 seeds) is better than the election with its fewer (qwen2 0.030)."
    )


def test_the_headlines_numbers_stand_side_by_side_with_another_studys():
    """Each once, with the seeds of its study; where only one has it the other's place is empty."""
    gained = pd.DataFrame(
        [gain("qwen2", "validation", above_sft=(0.05, 0.01, 0.09)), gain("qwen2", "greedy")]
    )
    fewer = TABLES | {"gains": gained.assign(n_seeds=1), "false_alarms": PASSED[:0]}
    fewer = {name: table.assign(backbone="small") for name, table in fewer.items()}
    shown = headline.table({"": TABLES | {"gains": gained}, "other": fewer}).set_index(["of", "what"])
    assert list(shown) == ["qwen2, 5 seeds", "small of other, 1 seed"]
    alike = headline.table({"": TABLES | {"gains": gained}, "other": TABLES | {"gains": gained}})
    assert list(alike)[2:] == ["qwen2, 5 seeds", "qwen2 of other, 5 seeds"]
    assert list(shown.loc[("Policy", "pass@1 above SFT")]) == ["0.050 [0.010, 0.090]"] * 2
    assert list(shown.loc[("Pointer", "base's right traces passed")]) == ["0.20 [0.10, 0.30]", ""]
    assert shown.index.is_unique


def test_the_headline_tells_what_the_vote_and_the_likelihood_are_worth():
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation"), gain("qwen2", "greedy"),
            gain("qwen2", "validation", "ttrl", above_sft=(0.01, -0.02, 0.04)),
            gain("qwen2", "validation", "likelihood", above_sft=(0.02, 0.01, 0.03)),
        ]
    )  # fmt: skip
    assert (
        " Practice on the plain vote is not surely different from SFT (qwen2 0.010); practice on "
        "its "
        "own likelihood is better than SFT (qwen2 0.020). The election asks"
    ) in headline.sentences(TABLES | {"gains": gained})[1]


def test_policies_are_told_in_groups_by_verdict_and_one_seed_is_called_so():
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation", "airl", above_sft=(0.06, 0.04, 0.08), share_of_grpo=(0.9, 0.8, 1.0)),
            gain("qwen2", "validation", "sft", above_sft=(NAN, NAN, NAN), share_of_grpo=(0.6, 0.5, 0.7)),
            gain("qwen2", "validation", "spin", above_sft=(0.01, -0.02, 0.04)),
            gain("qwen2", "validation", "ttrl", above_sft=(0.05, 0.01, 0.08)),
            gain("qwen2", "validation", "vote", n_seeds=1, above_sft=(-0.05, -0.08, -0.01)),
            gain("qwen2", "greedy", "ttrl", above_sft=(-0.5, -0.6, -0.4)),
        ]
    )
    assert findings.gains(gained) == [
        "On qwen2, better than SFT: election (ours), TTRL (vote); in one training worse than SFT: election "
        "without weights; not surely different from SFT: SPIN.",
        "On qwen2, election (ours) has 0.90 [0.80, 1.00] of GRPO's gain over the base policy, SFT alone "
        "0.60 [0.50, 0.70].",
    ]


def test_each_use_is_told_against_its_own_rivals():
    assert findings.choices(PAIRED) == [
        "On qwen2, the choice of the election's reward among samples of SFT is better than majority; not "
        "surely different from SFT log-likelihood.",
        "On qwen2, the choice of the election's reward among samples of base is worse than majority.",
    ]
    assert findings.ranking(PAIRED) == [
        "On qwen2, among samples of one problem by SFT, AUROC of the election's reward is better than minus "
        "the length."
    ]
    told = findings.pointing(PAIRED)
    assert len(told) == 3 and told[2].startswith("On qwen2, of rule-perturbed experts, the election's reward")
    assert findings.alarms(PASSED) == [
        "On qwen2, with the same threshold, the election's reward points at nothing in 0.20 [0.10, 0.30] of "
        "the base policy's right traces (F1 0.25 [0.20, 0.30])."
    ]


def quality(**estimates) -> pd.DataFrame:
    """A row of `reward_quality` of the main variant; what is not given is 0.7 with an interval around it."""
    names = "auroc_within auroc_across_style corr_correct corr_format corr_style".split()
    row = {"backbone": "qwen2", "variant": "airl"}
    for name in names:
        row |= dict(
            zip(
                (name, f"{name}_ci_low", f"{name}_ci_high"), estimates.get(name, (0.7, 0.6, 0.8)), strict=True
            )
        )
    return pd.DataFrame([row])


def test_a_reward_of_style_is_told_beside_the_free_rule():
    across = quality(auroc_across_style=(0.3, 0.2, 0.4))
    free = quality(auroc_across_style=(0.6, 0.55, 0.65)).assign(variant="base_logprob")
    even, story = quality(auroc_across_style=(0.5, 0.45, 0.55)), headline.Story()
    headline._style(story, pd.concat([across, free]), even)
    ((told,),) = story.paragraphs.values()
    assert told.endswith(
        "it prefers the right one in 0.30 (qwen2) among the base policy's (the base policy's own "
        "log-probability in 0.60 (qwen2)); in 0.50 (qwen2) among SFT's."
    )
    cells = ["0.30 [0.20, 0.40]", "0.60 [0.55, 0.65]", "0.50 [0.45, 0.55]"]
    assert [row.cells["qwen2"] for row in story.findings] == cells
    answers = sceptic._of_judges("Style?", "preferred", across, "auroc_across_style")
    assert [answer[1:] for answer in answers if answer.cells] == [
        ("preferred: election (ours)", {"qwen2": "0.30 [0.20, 0.40]"})
    ]
    undefined, empty = quality(auroc_across_style=(NAN, NAN, NAN)), headline.Story()  # data without styles
    headline._style(empty, undefined, undefined)
    assert not empty.findings and not empty.paragraphs


def test_a_base_policy_that_is_never_right_has_no_choice_to_tell_of():
    gained = pd.DataFrame([gain("qwen2", "validation"), gain("qwen2", "greedy")])
    for accuracy, there in ((0.5, True), (0.0, False)):
        chosen = CHOICES.assign(accuracy=CHOICES["accuracy"].where(CHOICES["policy"] == "sft", accuracy))
        shown = headline.table({"": TABLES | {"gains": gained, "rerank": chosen}}).set_index("what")
        assert ("choice among all samples of base above the vote" in shown.index) == there
        assert ("first wrong step of base's traces" in shown.index) == there


def test_what_a_reward_goes_with_is_told_in_numbers_alone():
    (told,) = findings.reward_quality(quality(corr_correct=(-0.1, -0.2, 0.0)))
    assert told == (
        "On qwen2, the reward of election (ours) correlates -0.10 [-0.20, 0.00] with a right answer, 0.70 "
        "[0.60, "
        "0.80] with a well-formed trace, 0.70 [0.60, 0.80] with an expert's style."
    )


def test_a_sceptic_is_told_of_temperatures_and_questions():
    trainings = pd.DataFrame({"backbone": "qwen2", "temperature": [0.3, 0.3, 0.5]})
    main = rows(
        "backbone method temperature k pass_at_k ci_low ci_high",
        *[("qwen2", "sft", name, 1, 0.5, 0.4, 0.6) for name in ("1.0", "validation", "greedy")],
    )
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation", above_sft=(0.06, 0.04, 0.08)) | {"n_problems": 555},
            gain("qwen2", "1.0"),
        ]
    )
    answers = list(sceptic._sharpening(main, gained, trainings))
    assert [answer.cells.get("qwen2") for answer in answers] == [
        *["0.50 [0.40, 0.60]"] * 3, "0.000 [-0.100, 0.100]", "0.060 [0.040, 0.080]", None, "2 of 3",
    ]  # fmt: skip
    assert "temperature 0.3" in answers[-1].what
    (questions,) = sceptic._alike(gained)
    assert "on the 555 that" in questions.what and questions.cells == {"qwen2": "0.060 [0.040, 0.080]"}
    assert not list(sceptic._alike(gained[:0]))


def test_a_sceptic_is_told_how_many_adversaries_surely_help():
    """One is surely better on one backbone alone, one worse than what it starts from, one neither."""
    gained = pd.DataFrame(
        [
            gain("qwen2", "validation", "airl_dense", above_sft=(0.06, 0.04, 0.08)),
            gain("llama", "validation", "airl_dense"),
            gain("qwen2", "validation", "airl_step", above_sft=(-0.06, -0.08, -0.04)),
            gain(
                "qwen2", "validation", "airl_updated", 1,
                above_sft=(0.06, 0.04, 0.08), above_airl_practice=(-0.06, -0.08, -0.04),
            ),
        ]
    )  # fmt: skip
    assert sceptic.sentences({"gains": gained}) == [
        "Of 3 methods whose discriminator learns against the policy 1 is on any backbone surely better than "
        "what stands beside it below, SFT or the same without updates; 1 surely worse; in the one training "
        "that it had none is better, 1 worse."
    ]
    wins = gained[3:].assign(above_airl_practice_ci_low=0.04, above_airl_practice_ci_high=0.08)
    assert sceptic.sentences({"gains": wins})[0].endswith("that it had 1 is better, none worse.")
    (told,) = sceptic.sentences({"gains": gained[1:2]})
    assert "none is on any backbone surely better" in told and "none surely worse" in told


def test_real_models_are_told_of_apart_from_the_world():
    table = rows(
        "measure method above study backbone value ci_low ci_high n_seeds",
        ("SFT, pass@1", None, None, "smollm2", "smollm2", 0.4, 0.3, 0.5, 1),  # no difference of two methods
        ("a", "GRPO (true answers)", "SFT", "world", "qwen2", 0.3, 0.2, 0.4, 3),
        ("a", "GRPO (true answers)", "SFT", "smollm2", "smollm2", 0.1, 0.05, 0.15, 1),
        ("b", "election (ours)", "SFT, greedily", "smollm2", "smollm2", 0.02, -0.01, 0.05, 1),
    )
    assert findings.real(table)[0] == (
        "Pretrained weights, smollm2 (1 seed): GRPO (true answers) is in one training better than "
        "SFT (0.100); election (ours) is not surely different from SFT, greedily (0.020)."
    )


def test_real_models_are_told_beside_the_world():
    """By the signs of what is sure: in the world on which backbones, here on the one there is."""
    sure, unsure, worse = (0.05, 0.15), (-0.05, 0.15), (-0.25, -0.15)
    asked = {
        "as in the world": (sure, {"p": sure, "q": sure}, "above"),
        "as on q alone": (worse, {"p": unsure, "q": worse}, "below"),
        "sure in the world and not here": (unsure, {"p": worse}, "below"),
        "sure on p alone and not here": (unsure, {"p": sure, "q": unsure}, "above"),
        "the other way round in the world": (worse, {"p": sure}, "below"),
        "sure both ways in the world": (sure, {"p": sure, "q": worse}, "above"),
        "sure both ways in the world and not here": (unsure, {"p": sure, "q": worse}, "above"),
        "sure here and not in the world": (worse, {"p": unsure}, "below"),
        "sure nowhere": (unsure, {"p": unsure}, "above"),
    }
    table = pd.DataFrame(
        [
            (f"{i} above SFT", "a", "b", study, backbone, 0.1, low, high, 1)
            for i, (here, there, _) in enumerate(asked.values())
            for study, backbone, (low, high) in [
                ("small", "small", here), *(("world", backbone, of) for backbone, of in there.items())
            ]
        ],
        columns="measure method above study backbone value ci_low ci_high n_seeds".split(),
    )  # fmt: skip
    told = "; ".join(f"{how}: {i} {which} SFT" for i, (how, (*_, which)) in enumerate(asked.items()))
    assert findings.real(table)[1] == f"Beside the embedded world, small: {told}."
