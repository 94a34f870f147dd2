"""Figures: the same bytes each time, one colour a name, and nothing lost of what they are given."""

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lib.evaluation import comparisons
from lib.evaluation.records import METHOD_ORDER
from lib.report import comparison_plots, plots, style, viewer

MAIN = pd.DataFrame(
    [
        (backbone, method, temperature, k, mean, mean - 0.05, mean + 0.05, 3)
        for backbone in ("llama", "qwen2")
        for method in ("base", "a_new_variant")
        for temperature, factor in (("validation", 0.1), ("greedy", 0.2), ("1.0", 0.3))
        for k in (1, 3)
        for mean in (factor * k,)
    ],
    columns=["backbone", "method", "temperature", "k", "pass_at_k", "ci_low", "ci_high", "n_seeds"],
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


def test_nothing_that_is_written_is_cut_off(tmp_path):
    """Long names beside two columns of panels, of which the first has none above it to make room."""
    main = MAIN.assign(temperature="validation", k=1, method="airl_practice")
    chosen = MAIN.assign(n=16, selector="reward", variant="airl_practice", policy="sft", accuracy=0.5)
    located = MAIN.assign(
        error_source="policy", policy="sft", threshold="perturbed", variant="airl_practice",
        detector="reward", hit_at_1=0.5,
    )  # fmt: skip
    both = pd.concat([chosen, chosen.assign(policy="base")])
    figure = plots.uses(main, both, located)
    seen = [axis for axis in figure.axes if axis.axison]
    assert len({axis.get_title() for axis in seen}) == len(seen) == 4  # none of the base policy's errors
    assert all(axis.containers for axis in seen)
    path = style.save(figure, "uses", tmp_path)
    figure.set_dpi(style.STYLE["savefig.dpi"])
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.x1 <= whole.width and drawn.y0 >= 0 and drawn.y1 <= whole.height
    assert Image.open(path).width == pytest.approx(whole.width * style.STYLE["savefig.dpi"], abs=1)


def test_error_bars_are_the_intervals():
    figure = plots.pass_at_k(MAIN)
    bars = figure.axes[0].containers[0]
    assert list(bars.lines[0].get_ydata()) == pytest.approx([0.1, 0.3])
    segments = bars.lines[2][0].get_segments()
    assert [tuple(s[:, 1]) for s in segments] == [pytest.approx((0.05, 0.15)), pytest.approx((0.25, 0.35))]


def test_known_names_differ_in_colour_and_unknown_ones_keep_theirs():
    assert len({style.colour(name) for name in METHOD_ORDER}) == len(METHOD_ORDER)
    assert style.colour("a_new_variant") == style.colour("a_new_variant")


def test_an_undefined_correlation_is_written_so():
    matrix = pd.DataFrame(
        [[1.0, float("nan")], [float("nan"), 1.0]], ["reward", "correct"], ["reward", "correct"]
    )
    texts = [t.get_text() for t in plots.correlations({"qwen2": matrix}).axes[0].texts]
    assert texts == ["1.00", "n/a", "n/a", "1.00"]


def test_what_stands_in_the_rewards_place_has_its_own_line_of_choices():
    key = {"backbone": "qwen2", "policy": "base", "selector": "reward", "ci_low": 0.0, "ci_high": 1.0}
    rows = [
        {**key, "variant": variant, "n": n, "accuracy": accuracy}
        for variant, accuracy in (("airl", 0.75), ("length", 0.25), ("base_logprob", 0.5))
        for n in (1, 2)
    ]
    (axis,) = plots.rerank(pd.DataFrame(rows), "base").axes
    drawn = {bars.get_label(): set(bars.lines[0].get_ydata()) for bars in axis.containers}
    assert drawn == {"reward": {0.75}, "minus the length": {0.25}}


def test_learning_curves_cope_with_a_metric_never_logged():
    logs = pd.DataFrame({"backbone": "qwen2", "method": "grpo", "step": [1, 2], "pass_rate": [0.2, 0.4]})
    axes = plots.learning_curves(logs).axes
    assert [len(axis.lines) for axis in axes] == [1, 0, 0]


def test_a_long_learning_curve_is_drawn_in_means_of_as_many_steps():
    steps = range(1, 2 * plots.MOST_POINTS + 1)
    logs = pd.DataFrame(
        {"backbone": "qwen2", "method": "grpo", "step": steps, "pass_rate": [s % 2 for s in steps]}
    )
    line = plots.learning_curves(logs).axes[0].lines[0]
    assert set(line.get_ydata()) == {0.5} and len(line.get_xdata()) == plots.MOST_POINTS
    assert line.get_xdata()[0] == 1.5 / steps[-1]


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


# What a change does


def compared(**columns) -> pd.DataFrame:
    """Rows of a table of comparisons; the i-th row's estimates are near i/10."""
    table = pd.DataFrame(columns)
    for name, prefix in (("pass_at_1", ""), ("auroc", "auroc_"), ("auroc_within", "auroc_within_"),
                         ("hit_at_1", "hit_at_1_"), ("accuracy_gain", "")):  # fmt: skip
        table[name] = [0.1 * i for i in range(len(table))]
        table[f"{prefix}ci_low"], table[f"{prefix}ci_high"] = table[name] - 0.02, table[name] + 0.03
    return table


def points(axis) -> list[tuple[str, list, list, list]]:
    """What an axis's error bars show: label, x, y, and the ends of the bars."""
    found = []
    for bar in axis.containers:
        line, _, (segments,) = bar.lines
        ends = [tuple(sorted(map(tuple, segment.round(6)))) for segment in segments.get_segments()]
        found.append((bar.get_label(), list(line.get_xdata()), list(line.get_ydata()), ends))
    return found


def test_every_amount_has_its_place_and_its_bar():
    table = compared(
        ablation=["demonstrations", "demonstrations", "wrong_experts", "demonstrations"],
        value=[16.0, 256.0, 0.25, 16.0],
        reference=["sft", "sft", "airl", "airl"],
        backbone="llama",
    )
    first, second = comparison_plots.amounts(table).axes
    (sft, airl), (wrong,) = points(first), points(second)
    assert sft[:2] == ("SFT", [0, 1]) and sft[2] == pytest.approx([0.0, 0.1])
    assert (
        airl[0] == "election (ours)" and airl[2] == pytest.approx([0.3]) and wrong[2] == pytest.approx([0.2])
    )
    assert [end[0][1] for end in sft[3]] == pytest.approx([-0.02, 0.08])
    assert [t.get_text() for t in first.get_xticklabels()] == ["16", "256"]
    assert [t.get_text() for t in second.get_xticklabels()] == ["25%"]
    assert set(comparison_plots.AMOUNTS) == set(comparisons.AMOUNTS)


def test_every_ablation_has_its_line_and_its_references_value():
    table = compared(
        ablation=["loss"] * 4 + ["labels", "labels"],
        value=["bce", "wgan", "bce", "wgan", "a", "b"],
        method=["ref", "wgan", "ref", "wgan", "paper", "b"],
        reference=["ref"] * 4 + ["paper", "paper"],
        backbone=["llama", "llama", "qwen2", "qwen2", "llama", "llama"],
    )
    axes = comparison_plots.ablations(table).axes
    for axis, measure in zip(axes, ("pass_at_1", "auroc", "hit_at_1"), strict=True):
        (_, xs, ys, _), (_, xs_other, ys_other, _) = points(axis)
        assert ys == pytest.approx([-0.12, 0.88, 1.88, 2.88]) and ys_other == pytest.approx([0.12, 1.12])
        assert [*xs[:2], *xs_other, *xs[2:]] == list(table[measure])
        dotted = [c for c in axis.collections if c.get_linestyle()[0][1]]
        assert [c.get_segments()[0][0][0] for c in dotted] == pytest.approx([0.0, 0.4, 0.2])
    written = [t.get_text() for t in axes[0].get_yticklabels()]
    assert written == ["loss = bce", "loss = wgan", "labels = a", "labels = b"]


def test_a_legend_has_what_any_of_the_axes_shows():
    table = compared(
        ablation=["wrong_experts", "demonstrations"],
        value=[0.25, 16.0],
        reference=["airl", "sft"],
        backbone="llama",
    )
    legend = comparison_plots.amounts(table).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["election (ours)", "SFT"]


def test_differences_stand_with_their_intervals_in_the_panel_of_their_traces():
    table = pd.DataFrame(
        {
            "use": ["pointing", "pointing", "pointing", "choosing"],
            "backbone": ["llama", "qwen2", "qwen2", "llama"],
            "policy": ["base", "base", "sft", "base"],
            "error_source": ["perturbed", "perturbed", "policy", None],
            "rival": ["chance", "chance", "likelihood", "chance"],
            "above": [0.6, 0.5, -0.1, 0.3],
            "ci_low": [0.5, 0.4, -0.2, 0.2],
            "ci_high": [0.7, 0.6, 0.0, 0.4],
        }
    )
    figure = comparison_plots.rivals(table, "pointing")
    assert figure.get_suptitle().startswith("The election's reward above each rival, paired (")
    made, own = figure.axes
    assert [made.get_title(), own.get_title()] == ["rule-perturbed experts", "errors of SFT"]
    assert [(x, y) for _, xs, ys, _ in points(made) for x, y in zip(xs, ys, strict=True)] == [
        (0.6, pytest.approx(-0.12)),
        (0.5, pytest.approx(0.12)),
    ]
    ((_, xs, ys, bars),) = [p for p in points(own) if len(p[1])]
    assert list(xs) == [-0.1] and ys == pytest.approx([1.12])
    assert [x for x, _ in bars[0]] == pytest.approx([-0.2, 0.0])
    assert [t.get_text() for t in made.get_yticklabels()] == ["chance", "SFT log-likelihood"]
    (empty,) = comparison_plots.rivals(table, "ranking").axes
    assert empty.get_title() == "nothing to compare" and not points(empty)


def test_one_training_is_marked_among_gains():
    table = pd.DataFrame(
        {
            "backbone": "llama",
            "method": ["sft", "airl", "vote", "airl"],
            "temperature": ["validation", "validation", "validation", "greedy"],
            "above_sft": [float("nan"), 0.06, 0.02, 0.05],
            "ci_low": [float("nan"), 0.04, 0.0, 0.03],
            "ci_high": [float("nan"), 0.08, 0.04, 0.07],
            "n_seeds": [5, 5, 1, 5],
        }
    )
    (axis,) = comparison_plots.gains(table).axes
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "election (ours)", "election without weights (1 seed)",
    ]  # fmt: skip
    assert [list(xs) for _, xs, _, _ in points(axis)] == [[0.06, 0.02]]


def test_transfer_has_a_line_for_each_place():
    table = compared(
        backbone=["qwen2", "llama", "qwen2"],
        variant=["airl", "airl", "likelihood"],
        trained_on=["a", "a", "a"],
        tested_on=["a", "b", "c"],
    )
    gain, auroc = comparison_plots.transfer(table).axes
    assert [(name, ys) for name, _, ys, _ in points(gain)] == [("qwen2", [0, 2]), ("llama", [1])]
    assert [x for _, xs, _, _ in points(auroc) for x in xs] == pytest.approx([0.0, 0.2, 0.1])
    assert [t.get_text() for t in gain.get_yticklabels()] == [
        "election (ours): a → a",
        "election (ours): a → b",
        "SFT log-likelihood: a → c",
    ]


def test_localisation_by_kind_has_a_panel_a_source_and_a_point_a_detector():
    table = compared(
        error_source=["perturbed", "perturbed", "policy"],
        kind=["wrong_result", "wrong_result", "misreading"],
        detector=["reward", "entropy", "reward"],
    )
    table[["ci_low", "ci_high"]] = table[["hit_at_1_ci_low", "hit_at_1_ci_high"]]
    first, second = comparison_plots.localisation_by_kind(table).axes
    assert [axis.get_title() for axis in (first, second)] == ["rule-perturbed expert", "policy's own errors"]
    assert {name: y for name, _, y, _ in points(first)} == {"reward": [0.0], "entropy": [0.1]}
    assert [y for name, _, y, _ in points(second) if name == "reward"] == [[0.2]]
    assert [t.get_text() for t in first.get_xticklabels()] == ["wrong result"]


def test_figures_of_comparisons_are_the_same_bytes_each_time(tmp_path):
    table = compared(
        backbone=["qwen2"] * 2, variant=["airl"] * 2, trained_on=["a", "a"], tested_on=["a", "b"]
    )
    written = [style.save(comparison_plots.transfer(table), name, tmp_path).read_bytes() for name in "ab"]
    assert written[0] == written[1]
