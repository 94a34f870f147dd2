"""Figures of what a change does, from the tables of `lib.evaluation.comparisons`."""

import textwrap
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.evaluation.words import judged, label, reward_label
from lib.report.plots import INTERVALS, errors, finish, names, panels
from lib.report.style import BLUE, GREY, ORANGE, colour, styled

MEASURES = {  # column: prefix of its interval, title
    "pass_at_1": ("", "pass@1 of the policy"),
    "auroc": ("auroc_", "reward AUROC"),
    "hit_at_1": ("hit_at_1_", "localisation hit@1"),
}
AMOUNTS = {  # as `comparisons.AMOUNTS`: what it is, and how its values are written
    "demonstrations": ("demonstrations", ".0f"),
    "unlabelled_questions": ("questions without an answer", ",.0f"),
    "wrong_experts": ("demonstrations that end wrong", ".0%"),
}
LABEL_WIDTH = 36  # characters of a line, so that what changed leaves room for its effect


def _interval(rows: pd.DataFrame, measure: str):
    prefix = MEASURES[measure][0]
    return errors(rows, measure, f"{prefix}ci_low", f"{prefix}ci_high")


@styled
def gains(table: pd.DataFrame) -> Figure:
    """pass@1 of each policy above SFT's, both at their validation temperature, paired."""
    rows = table[(table["temperature"] == "validation") & table["above_sft"].notna()]
    said = [label(r.method) + " (1 seed)" * (r.n_seeds == 1) for r in rows.itertuples()]
    rows = rows.assign(panel="", name=said, above=rows["above_sft"])
    return _differences(rows, f"pass@1 above SFT, paired by problem and seed ({INTERVALS})")


@styled
def rivals(table: pd.DataFrame, use: str) -> Figure:
    """What the election's reward has above each of its rivals in a use, paired, a panel whose traces."""
    rows = table[table["use"] == use].fillna({"error_source": ""})
    of = [judged(r.error_source, r.policy) for r in rows.itertuples()]
    rows = rows.assign(panel=of, name=rows["rival"].map(reward_label))
    return _differences(rows, f"The election's reward above each rival, paired ({INTERVALS})")


def _by_backbone(table: pd.DataFrame, backbones: list[str]) -> Iterator[tuple[str, pd.DataFrame, str, float]]:
    """Of each backbone its rows, its colour, and how far beside a line its points stand."""
    for i, backbone in enumerate(backbones):
        beside = 0.24 * (i - (len(backbones) - 1) / 2)
        yield backbone, table[table["backbone"] == backbone], (BLUE, ORANGE)[i % 2], beside


def _differences(table: pd.DataFrame, title: str) -> Figure:
    """A point a `name` and backbone at `above`, a panel each `panel`; right of the line is better."""
    lines, backbones = names(table, "name"), names(table, "backbone")
    of_panels = names(table, "panel") or ["nothing to compare"]
    figure, axes = panels(of_panels, width=3.0, height=1.2 + 0.24 * len(lines))
    for axis, panel in zip(axes[0], of_panels, strict=True):
        of_panel = table[table["panel"] == panel]
        axis.axvline(0, color=GREY, linewidth=1)
        for backbone, rows, paint, beside in _by_backbone(of_panel, backbones):
            at = [lines.index(name) + beside for name in rows["name"]]
            axis.errorbar(rows["above"], at, xerr=errors(rows, "above"), fmt="o",
                          color=paint, capsize=2, markersize=3.5, label=backbone)  # fmt: skip
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel("difference (share, 0 to 1)")
    axes[0, 0].set_yticks(range(len(lines)), lines)
    axes[0, 0].invert_yaxis()
    return finish(figure, title)


@styled
def amounts(table: pd.DataFrame) -> Figure:
    """pass@1 against how much there is to learn from: a column an amount, a row a backbone."""
    backbones, columns = names(table, "backbone"), names(table, "ablation")
    titles = [AMOUNTS[name][0] for name in columns]
    figure, axes = panels(titles, width=3.4, height=2.6, rows=len(backbones))
    for line, backbone in zip(axes, backbones, strict=True):
        for axis, name in zip(line, columns, strict=True):
            of_panel = table[(table["backbone"] == backbone) & (table["ablation"] == name)]
            ticks = sorted(set(of_panel["value"]))
            for i, (reference, rows) in enumerate(of_panel.groupby("reference", sort=False)):
                at = [ticks.index(value) + 0.06 * i for value in rows["value"]]
                axis.errorbar(at, rows["pass_at_1"], _interval(rows, "pass_at_1"), color=colour(reference),
                              label=label(reference), marker="o", capsize=2)  # fmt: skip
            axis.set_xticks(range(len(ticks)), [f"{value:{AMOUNTS[name][1]}}" for value in ticks])
        line[0].set_ylabel(f"{backbone}: pass@1")
    return finish(figure, f"How much there is to learn from ({INTERVALS})")


@styled
def ablations(table: pd.DataFrame) -> Figure:
    """A line a changed setting, with each backbone's reference (dotted), a panel a measure."""
    changed = [textwrap.fill(f"{r.ablation} = {r.value}", LABEL_WIDTH) for r in table.itertuples()]
    table = table.assign(line=list(zip(table["reference"], changed, strict=True)))
    lines, backbones = names(table, "line"), names(table, "backbone")
    at = {line: i for i, line in enumerate(lines)}
    most = max(text.count("\n") + 1 for _, text in lines)
    titles = [title for _, title in MEASURES.values()]
    figure, axes = panels(titles, width=3.0, height=1.2 + 0.21 * most * len(lines))
    for axis, measure in zip(axes[0], MEASURES, strict=True):
        for backbone, rows, paint, beside in _by_backbone(table, backbones):
            places = rows["line"].map(at) + beside
            axis.errorbar(rows[measure], places, xerr=_interval(rows, measure), fmt="o", color=paint,
                          capsize=2, markersize=3.5, elinewidth=0.9, label=backbone)  # fmt: skip
            for reference, of in rows.groupby("reference", sort=False):
                first, own = of[of["method"] == reference], of["line"].map(at)
                if len(first):
                    axis.vlines(first[measure].iloc[0], own.min() - 0.4, own.max() + 0.4, colors=paint,
                                linestyles=":", linewidth=1)  # fmt: skip
        axis.set_xlabel("share (0 to 1)")
    axes[0, 0].set_yticks(range(len(lines)), [text for _, text in lines])
    axes[0, 0].invert_yaxis()
    return finish(figure, f"Changed settings ({INTERVALS}; dotted: the reference)")


@styled
def transfer(table: pd.DataFrame) -> Figure:
    """Gain of choosing by the reward, and its AUROC within problems, at home and away."""
    table = table.reset_index(drop=True)
    figure, axes = panels(["accuracy gained by choosing", "AUROC within problems"], width=4.4,
                          height=1.0 + 0.22 * len(table))  # fmt: skip
    for axis, measure, prefix in zip(
        axes[0], ("accuracy_gain", "auroc_within"), ("", "auroc_within_"), strict=True
    ):
        for backbone, rows, paint, _ in _by_backbone(table, names(table, "backbone")):
            axis.errorbar(rows[measure], rows.index,
                          xerr=errors(rows, measure, f"{prefix}ci_low", f"{prefix}ci_high"), fmt="o",
                          color=paint, capsize=2, markersize=4, label=backbone)  # fmt: skip
        axis.set_xlabel("share (0 to 1)")
    axes[0, 0].axvline(0, color=GREY, linewidth=1)
    lines = [f"{reward_label(r.variant)}: {r.trained_on} → {r.tested_on}" for r in table.itertuples()]
    axes[0, 0].set_yticks(range(len(table)), lines)
    axes[0, 0].invert_yaxis()
    return finish(figure, f"Reward: trained on → tested on ({INTERVALS})")


@styled
def localisation_by_kind(table: pd.DataFrame) -> Figure:
    """Hit@1 of each detector by kind of error, a panel a source; `table` is of one backbone."""
    sources = names(table, "error_source")
    figure, axes = panels([label(source) for source in sources], width=4.4, height=3.6, sharey=True)
    detectors = names(table, "detector")
    for axis, source in zip(axes[0], sources, strict=True):
        rows = table[table["error_source"] == source]
        kinds = names(rows, "kind")
        for i, detector in enumerate(detectors):
            found = rows[rows["detector"] == detector]
            x = [kinds.index(kind) + 0.16 * (i - (len(detectors) - 1) / 2) for kind in found["kind"]]
            axis.errorbar(x, found["hit_at_1"], errors(found, "hit_at_1"), fmt="o", capsize=2,
                          color=colour(detector), label=reward_label(detector))  # fmt: skip
        axis.set_xticks(
            range(len(kinds)), [kind.replace("_", " ") for kind in kinds], rotation=40, ha="right"
        )
        axis.set_ylim(0, 1.02)
    axes[0, 0].set_ylabel("hit@1 (share of wrong traces)")
    return finish(figure, f"First wrong unit found, by kind of error ({INTERVALS})")
