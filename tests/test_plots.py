"""Figures: the same bytes each time, one colour a name, and nothing lost of what they are given."""

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import plots, style, viewer

MAIN = pd.DataFrame(
    [
        (backbone, method, k, 0.1 * k, 0.1 * k - 0.05, 0.1 * k + 0.05, 3)
        for backbone in ("llama", "qwen2")
        for method in ("base", "a_new_variant")
        for k in (1, 3)
    ],
    columns=["backbone", "method", "k", "pass_at_k", "ci_low", "ci_high", "n_seeds"],
)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        path = style.save(plots.pass_at_k(MAIN), "figure", tmp_path / name)
        assert path == tmp_path / name / "figure.png"
    for suffix in ("svg", "png"):
        first, second = ((tmp_path / name / f"figure.{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second
        assert b"Date" not in first and b"Matplotlib" not in first
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_a_callers_style_changes_nothing(tmp_path):
    style.save(plots.pass_at_k(MAIN), "plain", tmp_path)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.hashsalt": "other"}):
        style.save(plots.pass_at_k(MAIN), "styled", tmp_path)
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "styled.svg").read_bytes()


def test_error_bars_are_the_intervals():
    figure = plots.pass_at_k(MAIN)
    bars = figure.axes[0].containers[0]
    assert list(bars.lines[0].get_ydata()) == pytest.approx([0.1, 0.3])
    segments = bars.lines[2][0].get_segments()
    assert [tuple(s[:, 1]) for s in segments] == [pytest.approx((0.05, 0.15)), pytest.approx((0.25, 0.35))]


def test_known_names_differ_in_colour_and_unknown_ones_keep_theirs():
    methods = ["base", "sft", "grpo", "airl_dense", "airl_no_perturbation", "airl"]
    assert len({style.colour(name) for name in methods}) == len(methods)
    assert style.colour("a_new_variant") == style.colour("a_new_variant")


def test_an_undefined_correlation_is_written_so():
    matrix = pd.DataFrame(
        [[1.0, float("nan")], [float("nan"), 1.0]], ["reward", "correct"], ["reward", "correct"]
    )
    texts = [t.get_text() for t in plots.correlations({"qwen2": matrix}).axes[0].texts]
    assert texts == ["1.00", "n/a", "n/a", "1.00"]


def test_learning_curves_cope_with_a_metric_never_logged():
    logs = pd.DataFrame({"backbone": "qwen2", "method": "grpo", "step": [1, 2], "pass_rate": [0.2, 0.4]})
    axes = plots.learning_curves(logs).axes
    assert [len(axis.lines) for axis in axes] == [1, 0, 0]


def test_one_class_of_traces_can_be_drawn(tmp_path):
    scores = pd.DataFrame({"backbone": "qwen2", "correct": [True, True], "reward": [1.0, 1.0]})
    style.save(plots.reward_distributions(scores), "one", tmp_path)


@pytest.mark.parametrize("text", ["$x_1$ \\frac", "\x00\u202e\u4e2d", "<b>&amp;"])
def test_token_figures_draw_any_text(tmp_path, text):
    example = {
        "title": "t",
        "tokens": [text, "\n"],
        "values": [1.0, -1.0],
        "wrong": (0, 1),
        "returns": [0.0, 1.0],
    }
    for figure in (viewer.token_heatmaps([example]), viewer.reward_along_trace([example], 0.9)):
        assert isinstance(figure, Figure)
        style.save(figure, "any", tmp_path)
