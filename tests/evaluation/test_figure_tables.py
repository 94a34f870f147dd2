"""The numbers behind figures, counted again by hand."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation import figure_tables
from lib.report import diagram, style


@given(st.lists(st.tuples(st.booleans(), st.floats(-50, 50)), min_size=1, max_size=60))
def test_a_histogram_counts_every_trace_once(traces):
    scores = pd.DataFrame(traces, columns=["correct", "reward"]).assign(backbone="qwen2")
    table = figure_tables.reward_histogram(scores)
    for answer, right in (("correct", True), ("wrong", False)):
        shares = table.loc[table["answer"] == answer, "share"]
        count = sum(correct == right for correct, _ in traces)
        assert shares.sum() == pytest.approx(float(count > 0))
        counts = shares * count
        assert (counts - counts.round()).abs().max() < 1e-6 if count else len(counts) == 0
    assert (table["low"] < table["high"]).all()


def test_learning_curves_are_mean_and_range_over_seeds():
    logs = pd.DataFrame(
        {
            "backbone": "qwen2", "method": "grpo", "seed": [0, 1, 0, 1], "step": [1, 1, 2, 2],
            "pass_rate": [0.2, 0.4, 0.5, float("nan")],
        }
    )  # fmt: skip
    table = figure_tables.learning_curves(logs)
    assert table[["measure", "step"]].values.tolist() == [["pass_rate", 1], ["pass_rate", 2]]
    values = table[["mean", "low", "high"]].to_numpy().ravel()
    assert values == pytest.approx([0.3, 0.2, 0.4, 0.5, 0.5, 0.5])


def test_correlations_stand_under_each_other():
    matrix = pd.DataFrame([[1.0, 0.5], [0.5, 1.0]], ["a", "b"], ["a", "b"])
    table = figure_tables.correlations({"llama": matrix, "qwen2": -matrix})
    assert table.columns.tolist() == ["backbone", "of", "a", "b"]
    assert table.iloc[3].tolist() == ["qwen2", "b", -0.5, -1.0]


def test_tokens_are_quoted_and_those_of_the_wrong_unit_marked():
    example = {
        "title": "t",
        "tokens": ["=1", "\n", ""],
        "values": [1, 2, 3],
        "returns": [4, 5, 6],
        "wrong": (0, 2),
    }
    table = figure_tables.token_examples([example])
    assert [json.loads(token) for token in table["token"]] == ["=1", "\n", ""]
    assert all(token.startswith('"') for token in table["token"])
    assert table["in_wrong_unit"].tolist() == [True, False, False]
    assert table["discounted_return"].tolist() == [4, 5, 6]


def test_stages_sum_their_runs_and_count_a_backbone_once(settings):
    """Of the profile tiny: `ttrl` would be a variant of GRPO, `family_stock` is an ablation."""
    ran = [
        ("qwen2", "base", 0, 600.0), ("llama", "base", 0, 1200.0), ("qwen2", "sft", 0, 900.0),
        ("qwen2", "grpo", 0, 3600.0), ("llama", "grpo", 0, 1800.0), ("qwen2", "ttrl", 0, 1800.0),
        ("qwen2", "spin", 0, 360.0),
        ("qwen2", "airl", 0, 3600.0), ("qwen2", "likelihood", 0, 1800.0),
        ("qwen2", "family_stock", 0, 36.0), ("qwen2", "sft_16", 0, 72.0),
    ]  # fmt: skip
    recorded = pd.DataFrame(ran, columns=["backbone", "method", "seed", "seconds"])
    table = figure_tables.stages(type("Records", (), {"runs": recorded}), settings).set_index("stage")
    assert table["runs"].to_dict() == {
        "backbone": 2, "sft": 1, "grpo": 3, "spin": 1, "irl": 2, "ablation": 2,
    }  # fmt: skip
    assert table["hours"].to_dict() == {
        "backbone": 0.5, "sft": 0.25, "grpo": 2.0, "spin": 0.1, "irl": 1.5, "ablation": 0.03,
    }  # fmt: skip
    assert table.loc["irl", "mean_seconds"] == 2700 and table.loc["grpo", "mean_seconds"] == 2400


def test_every_method_of_the_study_is_trained_in_a_stage(settings):
    methods = ["base", *settings.methods]
    recorded = pd.DataFrame({"backbone": "qwen2", "method": methods, "seed": 0, "seconds": 1.0})
    table = figure_tables.stages(type("Records", (), {"runs": recorded}), settings)
    assert table["runs"].sum() == len(methods) and len(methods) > 8


def test_the_method_is_drawn_the_same_each_time_and_its_texts_fit_their_boxes(tmp_path):
    files = [style.save(diagram.method(), name, tmp_path).read_bytes() for name in "ab"]
    assert files[0] == files[1]
    figure = diagram.method()
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [patch.get_window_extent() for patch in axis.patches if patch.get_width() == diagram.WIDTH]
    assert len(boxes) == len(diagram.BOXES)
    titles = {title for _, _, _, title, _ in diagram.BOXES.values()}
    for text in axis.texts:
        if text.get_text() in titles:
            place = text.get_window_extent()
            assert any(
                box.x0 < place.x0 and place.x1 < box.x1 and box.y0 < place.y0 < box.y1 for box in boxes
            )


def test_no_examples_make_a_table_that_can_be_read(tmp_path):
    figure_tables.token_examples([]).to_csv(tmp_path / "none.csv", index=False)
    assert pd.read_csv(tmp_path / "none.csv").columns.tolist() == figure_tables.TOKEN_COLUMNS
