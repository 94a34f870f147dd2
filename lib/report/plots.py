"""The study's figures: each function takes tables or records and returns a figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from lib.evaluation import baselines, figure_tables
from lib.evaluation.records import METHOD_ORDER
from lib.evaluation.tables import MAIN_VARIANT
from lib.evaluation.words import label, named, reward_label
from lib.report.style import BLUE, GREY, ORANGE, colour, styled

INTERVALS = "bars: 95% interval over problems and seeds"
MOST_POINTS = 60  # of a learning curve
FEW_STEPS = 10  # of a learning curve, whose points are marked
WITHOUT_REWARD = "chance first_unit majority length logprob base_logprob entropy".split()  # lead in `uses`


def panels(
    titles: list[str], width: float = 3.9, height: float = 3.3, rows: int = 1, sharey: bool | str = True
):
    """A figure, at least wide enough for its title, and its axes, shape (rows, names)."""
    figure = Figure(figsize=(max(width * len(titles), 6.2), height * rows))
    axes = figure.subplots(rows, len(titles), squeeze=False, sharey=sharey)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return figure, axes


def finish(figure: Figure, title: str, *, columns: int = 3) -> Figure:
    """A title above the whole figure, and below it one legend of what its axes show."""
    figure.suptitle(title, fontsize=9)
    shown = {}
    for axis in figure.axes:
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True):
            shown.setdefault(text, handle)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=columns)
    return figure


def names(table: pd.DataFrame, column: str) -> list[str]:
    """The distinct values of a column, in the table's order."""
    return list(dict.fromkeys(table[column]))


def errors(rows: pd.DataFrame, value: str, low: str = "ci_low", high: str = "ci_high") -> np.ndarray:
    """(2, n) lengths of the error bars below and above the values."""
    return np.array([rows[value] - rows[low], rows[high] - rows[value]], dtype=float).clip(min=0)


def _curves(table: pd.DataFrame, hue: str, y: str, x: str, x_label: str, y_label: str, title: str) -> Figure:
    """One line with error bars a `hue`, one panel a backbone, over ordered categories of `x`."""
    hues = names(table, hue)
    figure, axes = panels(names(table, "backbone"), height=2.8 + 0.13 * len(hues))  # the legend's too
    ticks = sorted(table[x].unique())
    for axis, (_, panel) in zip(axes[0], table.groupby("backbone", sort=False), strict=True):
        for i, name in enumerate(hues):
            rows = panel[panel[hue] == name].sort_values(x)
            # a small shift keeps the error bars of different methods apart
            position = [ticks.index(v) + 0.05 * (i - (len(hues) - 1) / 2) for v in rows[x]]
            look = {"color": colour(name), "marker": "o", "capsize": 2, "elinewidth": 0.9}
            axis.errorbar(position, rows[y], errors(rows, y), label=named(hue, name), **look)
        axis.set_xticks(range(len(ticks)), [str(t) for t in ticks])
        axis.set_xlabel(x_label)
    axes[0, 0].set_ylabel(y_label)
    return finish(figure, f"{title} ({INTERVALS})")


@styled
def pass_at_k(main: pd.DataFrame) -> Figure:
    """Pass@k of every method at the temperature that suits it, from the table `main`; a panel a backbone."""
    labels = ("k (samples a problem)", "pass@k (share of problems)")
    title = "Pass@k on the test problems, each at its validation temperature"
    return _curves(main[main["temperature"] == "validation"], "method", "pass_at_k", "k", *labels, title)


UNREADING = ("chance", "first_unit")  # detectors that look at no trace


def _in_use(method: str) -> int:
    """The place of a method in `uses`: what has no reward, the methods in their order, what reads answers."""
    order = [*WITHOUT_REWARD, *METHOD_ORDER]
    return order.index(method) if method in order else len(order) + (method == "oracle")


@styled
def uses(main: pd.DataFrame, rerank: pd.DataFrame, located: pd.DataFrame) -> Figure:
    """The three uses of each reward: its policy, its choice among samples, the first wrong step.

    Beside them stand what needs no reward, and what reads true answers.
    """
    n = rerank["n"].max()
    choice = rerank[(rerank["n"] == n) & rerank["selector"].isin(["reward", "majority", "oracle"])]
    choice = choice.assign(method=choice["variant"].where(choice["selector"] == "reward", choice["selector"]))
    found = located[located["error_source"] == "policy"]
    found = found[(found["threshold"] == "perturbed") | found["detector"].isin(UNREADING)]
    found = found.assign(method=found["variant"].where(found["variant"] != "", found["detector"]))
    shown = {
        "policy: pass@1 at its best temperature": (
            main[(main["k"] == 1) & (main["temperature"] == "validation")],
            "pass_at_k",
        ),
        f"choice: best of {n} SFT samples": (choice[choice["policy"] == "sft"], "accuracy"),
        f"choice: best of {n} base samples": (choice[choice["policy"] == "base"], "accuracy"),
        "pointer: first wrong step of SFT's errors": (found[found["policy"] == "sft"], "hit_at_1"),
        "pointer: first wrong step of base errors": (found[found["policy"] == "base"], "hit_at_1"),
    }
    shown = {title: given for title, given in shown.items() if len(given[0])}
    most = max(table["method"].nunique() for table, _ in shown.values())
    figure = Figure(figsize=(9.6, 3.0 + 0.63 * most))
    axes = list(figure.subplots(3, 2).flat)
    for unused in axes[len(shown) :]:
        unused.axis("off")
    for axis, (title, (table, value)) in zip(axes, shown.items(), strict=False):
        methods = sorted(names(table, "method"), key=_in_use)[::-1]
        backbones = names(table, "backbone")
        for i, (backbone, rows) in enumerate(table.groupby("backbone", sort=False)):
            shift = 0.24 * ((len(backbones) - 1) / 2 - i)
            places = [methods.index(method) + shift for method in rows["method"]]
            axis.errorbar(rows[value], places, xerr=errors(rows, value), fmt="os"[i % 2], capsize=2,
                          color=(BLUE, ORANGE)[i % 2], markersize=4, label=backbone)  # fmt: skip
        column = "method" if axis is axes[0] else "variant"
        axis.set_yticks(range(len(methods)), [named(column, method) for method in methods])
        axis.set(title=title, xlabel="share (0 to 1)", xlim=(0, 1))
    return finish(figure, f"What the rewards are good for ({INTERVALS})")


@styled
def rerank(table: pd.DataFrame, policy: str) -> Figure:
    """Accuracy of one answer chosen from n samples by each selector, one panel a backbone.

    The main reward's line is the selector's, another's and what stands in a reward's place has its own name.
    """
    table = table[(table["policy"] == policy) & (table["variant"] != "base_logprob")]
    other = (table["selector"] == "reward") & (table["variant"] != MAIN_VARIANT)
    table = table.assign(selector=table["variant"].where(other, table["selector"]))
    labels = ("n (samples to choose from)", "accuracy of the chosen answer")
    return _curves(
        table, "selector", "accuracy", "n", *labels, f"Best of n, samples of policy: {label(policy)}"
    )


@styled
def reranked_pass_at_k(table: pd.DataFrame, policy: str) -> Figure:
    """Share of problems with a right answer among the k samples ranked first, one panel a backbone."""
    table = table[table["policy"] == policy]
    labels = ("k (samples kept)", "reranked pass@k (share of problems)")
    title = f"Reranked pass@k, samples of policy: {label(policy)}"
    return _curves(table, "selector", "pass_at_k", "k", *labels, title)


@styled
def reward_distributions(scores: pd.DataFrame) -> Figure:
    """Histograms of the reward of right and wrong traces; `scores` has backbone, correct and reward."""
    table = figure_tables.reward_histogram(scores)
    figure, axes = panels(names(table, "backbone"), sharey=False)
    for axis, (_, rows) in zip(axes[0], table.groupby("backbone", sort=False), strict=True):
        for name, bins in rows.groupby("answer", sort=False):
            width, title = bins["high"] - bins["low"], f"{name} answer"
            axis.bar(
                bins["low"], bins["share"], width, align="edge", color=colour(name), alpha=0.55, label=title
            )
        axis.set_xlabel("reward of the trace")
    axes[0, 0].set_ylabel("share of the class's traces")
    return finish(figure, "Learned reward of right and wrong traces (outer 1% drawn at the edge)")


@styled
def correlations(matrices: dict[str, pd.DataFrame]) -> Figure:
    """Correlation matrices, one panel a backbone; an undefined correlation is written n/a."""
    figure, axes = panels(list(matrices), height=3.8, sharey=False)
    for axis, matrix in zip(axes[0], matrices.values(), strict=True):
        columns = [reward_label(c) for c in matrix.columns]
        written = matrix.map(lambda value: "n/a" if np.isnan(value) else f"{value:.2f}")
        seaborn.heatmap(
            matrix.fillna(0.0), vmin=-1, vmax=1, cmap="RdBu", annot=written, fmt="", ax=axis,
            square=True, cbar=False, xticklabels=columns, yticklabels=columns,
        )  # fmt: skip
        axis.set_xticklabels(columns, rotation=40, ha="right")
    image = axes[0, -1].collections[0]
    figure.colorbar(image, ax=axes[0].tolist(), label="Pearson correlation over traces", shrink=0.8)
    return figure


@styled
def learning_curves(logs: pd.DataFrame) -> Figure:
    """Pass rate, reward AUROC and discriminator loss on the way: seed mean, and range over seeds.

    Steps of practice and of imitation are not the same; a training is drawn from its start to its end, with
    at most `MOST_POINTS`, each the mean of as many steps.
    """
    table, last = figure_tables.learning_curves(logs), logs.groupby("method")["step"].max()
    measures = {
        "pass_rate": "pass rate of the policy's samples",
        "reward_auroc": "reward AUROC (monitor)",
        "disc_loss": "discriminator loss (nats)",
    }
    backbones = names(table, "backbone")
    figure, axes = panels(list(measures.values()), width=3.3, height=2.7, rows=len(backbones), sharey="col")
    for row, backbone in zip(axes, backbones, strict=True):
        for axis, measure in zip(row, measures, strict=True):
            here = table[(table["backbone"] == backbone) & (table["measure"] == measure)]
            for method, steps in here.groupby("method", sort=False):
                look = {"color": colour(method)}
                together = np.arange(len(steps)) // -(-len(steps) // MOST_POINTS)
                steps = steps[["step", "mean", "low", "high"]].groupby(together).mean()
                marker, done = "o" if len(steps) < FEW_STEPS else "", steps["step"] / last[method]
                axis.plot(done, steps["mean"], marker=marker, label=label(method), **look)
                axis.fill_between(done, steps["low"], steps["high"], alpha=0.18, linewidth=0, **look)
            axis.set_xlabel("share of the training's steps")
        row[0].set_ylabel(backbone)
    return finish(figure, "Learning curves (line: mean of the seeds; band: their range)")


@styled
def training_curves(log: list[dict], measures: list[str]) -> Figure:
    """One run's logged values against the step, a panel a name, shown at once in a notebook."""
    figure, axes = plt.subplots(1, len(measures), figsize=(3.1 * len(measures), 2.5), squeeze=False)
    for axis, name in zip(axes[0], measures, strict=True):
        rows = [row for row in log if name in row]
        axis.plot([row["step"] for row in rows], [row[name] for row in rows], color=BLUE)
        axis.set(xlabel="training step", title=label(name))
    return figure


@styled
def localisation(table: pd.DataFrame) -> Figure:
    """Hit@1 of each detector by backbone and source of error, beside chance on the same units.

    Detectors with the threshold of perturbed experts; of the rewards the main one and the SFT likelihood.
    """
    kept = table["variant"].isin(["", MAIN_VARIANT, baselines.LIKELIHOOD])
    table = table[kept & ((table["threshold"] == "perturbed") | table["detector"].isin(UNREADING))]
    table = table.assign(error_source=table["error_source"].where(
        table["error_source"] == "perturbed", "errors of " + table["policy"].map(label)))  # fmt: skip
    sources, detectors = names(table, "error_source"), names(table, "detector")
    backbones = names(table, "backbone")
    figure, axes = panels([label(s) for s in sources])
    for axis, source in zip(axes[0], sources, strict=True):
        for i, detector in enumerate(detectors):
            rows = table[(table["error_source"] == source) & (table["detector"] == detector)]
            x = [backbones.index(b) + 0.16 * (i - (len(detectors) - 1) / 2) for b in rows["backbone"]]
            axis.bar(
                x,
                rows["hit_at_1"],
                0.15,
                yerr=errors(rows, "hit_at_1"),
                color=colour(detector),
                capsize=2,
                label=reward_label(detector),
                hatch="//" if detector in UNREADING else None,
            )
        axis.set_xticks(range(len(backbones)), backbones)
        axis.set_ylim(0, 1)
        axis.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("hit@1 (share of wrong traces)")
    return finish(figure, f"First wrong unit found ({INTERVALS})", columns=4)


@styled
def calibration(bins: pd.DataFrame) -> Figure:
    """Reliability of sigmoid(last logit): share right against predicted, dot area by traces in the bin."""
    figure, axes = panels(names(bins, "backbone"))
    for axis, (_, panel) in zip(axes[0], bins.groupby("backbone", sort=False), strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
        for variant, rows in panel.groupby("variant", sort=False):
            axis.plot(rows["predicted"], rows["observed"], color=colour(variant), label=reward_label(variant))
            area = 8 + 160 * rows["n"] / panel["n"].max()
            axis.scatter(
                rows["predicted"], rows["observed"], area, color=colour(variant), alpha=0.6, linewidth=0
            )
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axis.set_xlabel("sigmoid of the last logit (probability)")
    axes[0, 0].set_ylabel("share of right answers")
    return finish(figure, "Calibration of the reward (dot area: traces in the bin)")
