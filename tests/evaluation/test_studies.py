"""The world beside other profiles' studies: which number stands where, by hand."""

import pandas as pd
import pytest

from lib.evaluation import studies


def of(scale: float, backbone: str, **changes) -> dict[str, pd.DataFrame]:
    """A study's tables of one backbone; its estimates are `scale` times what is written here."""

    def table(*rows: dict, **shared) -> pd.DataFrame:
        return pd.DataFrame([{"backbone": backbone, "n_seeds": 1} | shared | row for row in rows])

    gains = table(
        {"method": "grpo", "temperature": "validation", "above_sft": 0.3},
        {"method": "airl", "temperature": "validation", "above_sft": 0.2},
        {"method": "airl", "temperature": "greedy", "above_sft": 0.1},
    )
    gains["above_sft"] *= scale
    gains["ci_low"], gains["ci_high"] = gains["above_sft"] - 0.05, gains["above_sft"] + 0.05
    gains["above_ttrl"], gains["above_ttrl_ci_low"], gains["above_ttrl_ci_high"] = scale * 0.07, 0.06, 0.08
    gains["above_likelihood"] = float("nan")
    interval = {"ci_low": 0.0, "ci_high": 1.0}
    located = {"error_source": "policy", "policy": "sft", "variant": "", "threshold": "none", **interval}
    return {
        "main": table(
            {"method": "sft", "temperature": "validation", "k": 1, "pass_at_k": scale * 0.4}, **interval
        ),
        "gains": gains,
        "rerank": table(
            *({"n": n, "accuracy": scale * n / 10} for n in (1, 2)),
            policy="sft", variant="airl", selector="reward", **interval,
        ),
        "reward_quality": table(
            {"variant": "length", "auroc_within": scale * 0.5},
            auroc_within_ci_low=0.4, auroc_within_ci_high=0.6, **interval,
        ),
        "reward_quality_sft": table(
            {"variant": "length", "auroc_within": scale * 0.45},
            auroc_within_ci_low=0.4, auroc_within_ci_high=0.6, **interval,
        ),
        "localisation": table({"detector": "chance", "hit_at_1": scale * 0.25}, **located),
        "rivals": table({"rival": "length"}),  # these hold nothing that stands side by side
        "false_alarms": table({"variant": "airl"}),
        "long": table({"method": "sft"}),
        "costs": table({"method": "sft"}),
    } | changes  # fmt: skip


def test_each_measure_of_each_study_by_hand():
    found = studies.side_by_side({"world": of(1, "qwen2"), "real": of(0.5, "real")})
    cells = {(row.measure, row.study): row for row in found.itertuples()}
    expected = {
        "SFT, pass@1": 0.4,
        "GRPO (true answers) above SFT": 0.3,
        "election (ours) above SFT": 0.2,
        "election (ours) above SFT, greedily": 0.1,
        "election (ours) above TTRL (vote)": 0.07,
        "AUROC within SFT's problems, minus the length": 0.45,
        "choice among SFT's samples, election (ours)": 0.2,  # of the most samples
        "first error of SFT, chance": 0.25,
    }
    assert {measure for measure, _ in cells} == set(expected)  # what no study has has no row
    for measure, value in expected.items():
        for study, scale in (("world", 1), ("real", 0.5)):
            assert cells[measure, study].value == pytest.approx(scale * value), measure
    ttrl, length = (cells[m, "real"] for m in list(expected)[4:6])
    assert (ttrl.ci_low, ttrl.ci_high) == (0.06, 0.08) and (length.ci_low, length.ci_high) == (0.4, 0.6)
    assert cells["election (ours) above SFT", "world"].ci_low == pytest.approx(0.15)
    told = cells["election (ours) above SFT, greedily", "real"]
    assert (told.method, told.above) == ("election (ours)", "SFT, greedily") and length.above == ""


def test_only_whole_studies_are_read(tmp_path):
    assert studies.tables(tmp_path) == {}
    for name, table in of(1, "small").items():
        (tmp_path / "small" / "tables").mkdir(parents=True, exist_ok=True)
        table.to_csv(tmp_path / "small" / "tables" / f"{name}.csv", index=False)
    found = studies.tables(tmp_path)
    assert list(found) == ["small"] and set(found["small"]) == set(studies.TABLES)
    assert (found["small"]["localisation"]["variant"] == "").all()
    (tmp_path / "small" / "tables" / "gains.csv").unlink()
    with pytest.raises(ValueError, match="gains.csv"):
        studies.tables(tmp_path)
