"""What was aimed at: each verdict from the numbers by hand."""

import pandas as pd

from lib.evaluation import tables as study
from lib.report import targets


def empty(*columns):
    return pd.DataFrame(columns=list(columns))


def gains(**values):
    row = {"backbone": "llama", "temperature": "validation", "n_seeds": 5, "ci_low": 0.01, "ci_high": 0.2}
    for name in ("likelihood", "ttrl", "airl_practice"):
        row |= dict.fromkeys((f"above_{name}{of}" for of in ("", "_ci_low", "_ci_high")), float("nan"))
    row |= {"share_of_grpo": 0.9, "share_of_grpo_ci_low": 0.8, "share_of_grpo_ci_high": 1.0}
    return pd.DataFrame([row | values])


def verdicts(gained, **others):
    nothing = {
        "main": empty("backbone", "method", "temperature", "k", "pass_at_k"),
        "gains": gained,
        "reward_quality": empty("backbone", "variant"),
        "reward_quality_sft": empty("backbone", "variant"),
        "rivals": empty("backbone", "use", "policy", "rival"),
        "localisation": empty("backbone", "variant", "error_source", "policy", "threshold"),
        "transfer": empty("backbone", "variant", "trained_on", "tested_on", "above_likelihood"),
        "costs": empty("backbone", "method", "seconds", "samples", "hardware"),
    }
    found = targets.table(nothing | others)
    return dict(zip(found["what"], found["llama"], strict=True))


def test_a_difference_is_reached_missed_or_not_sure():
    def said(above, low, method="airl"):
        row = gains(method=method, above_sft=above, ci_low=low)
        return verdicts(row)["pass@1 above SFT"]

    assert said(0.0504, 0.01) == "0.050 [0.010, 0.200], reached"
    assert said(0.0496, 0.01) == "0.050 [0.010, 0.200], missed by less than 0.001"
    assert said(0.0489, 0.01).endswith(", missed by 0.001")
    assert said(0.07, -0.01).endswith(", reached, not surely above 0")
    both = pd.concat([gains(method="airl", above_sft=0.07), gains(method="sft", share_of_grpo=0.6)])
    what = "share of GRPO's gain over base, of which SFT alone has 0.60 (llama)"
    assert verdicts(both)[what].endswith("reached")


def test_costs_are_to_be_small_and_pass_at_10_no_lower_than_sfts():
    costs = pd.DataFrame(
        [("llama", "airl", 850.0, 24000.0), ("llama", "grpo", 200.0, 15000.0)],
        columns=["backbone", "method", "seconds", "samples"],
    ).assign(hardware="2 cores")
    interval = {"temperature": "validation", "k": 10, "ci_low": 0.7, "ci_high": 0.9, "backbone": "llama"}
    main = pd.DataFrame(
        [interval | {"method": "sft", "pass_at_k": 0.84}, interval | {"method": "airl", "pass_at_k": 0.80}]
    )
    found = verdicts(gains(method="airl", above_sft=0.07), costs=costs, main=main)
    assert found["policy samples (a stranger's apart) of a training, times GRPO's"] == "1.60, reached"
    assert found["time of a training, times GRPO's"] == "4.25, missed by 2.25"
    assert found["pass@10"] == "0.80 [0.70, 0.90], missed by 0.04"
    costs.loc[0, "hardware"] = "16 cores"  # whose seconds are others
    found = verdicts(gains(method="airl", above_sft=0.07), costs=costs, main=main)
    assert "time of a training, times GRPO's" not in found
    assert found["policy samples (a stranger's apart) of a training, times GRPO's"] == "1.60, reached"


def test_the_samples_of_a_training_are_counted():
    parameters = {"steps": 120, "prompts_per_step": 16, "group_size": 8}
    runs = pd.DataFrame(
        [
            {"method": "grpo", "seed": 0, "seconds": 10.0, "parameters": parameters},
            {"method": "grpo", "seed": 1, "seconds": 20.0, "parameters": parameters},
            {"method": "sft", "seed": 0, "seconds": 5.0, "parameters": {"epochs": 2}},
        ]
    ).assign(backbone="llama", peak_memory_mib=1.0, hardware=["2 cores", "1 core", "2 cores"])
    nothing = [None] * (len(study.Records._fields) - 1)
    costs = study.costs(study.Records(runs, *nothing)).set_index("method")
    assert costs.loc["grpo", "samples"] == 120 * 16 * 8 and costs.loc["grpo", "seconds"] == 15
    assert pd.isna(costs.loc["sft", "samples"]) and costs.loc["grpo", "hardware"] == "1 core and 2 cores"
