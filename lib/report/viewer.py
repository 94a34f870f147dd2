"""The tokens of a trace with a value each: as static HTML, as coloured text in a figure, as a curve.

The HTML is spans with the value as a tooltip: notebook viewers do not run scripts, and a token is
a model's output, so everything is escaped.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.report import rendering
from lib.report.style import BLACK, BLUE, RED, styled
from lib.text import traces

POSITIVE, NEGATIVE = "0, 114, 178", "213, 94, 0"  # blue and vermillion, for colour-blind readers too
COLUMNS = 42  # characters a line of a figure
WRONG = "text-decoration: underline wavy; text-decoration-thickness: 2px"


def tokens(text: str, ends: list[int]) -> list[str]:
    """Cut a text at the character ends of its tokens; a token may be empty (the end of sequence)."""
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def examples(scores: pd.DataFrame, count: int) -> list[dict]:
    """The first `count` right and `count` wrong traces with token rewards, in turn; fewer if need be.

    Well-formed ones come before others, and each is of another problem. `scores` are rows of one
    reward on one policy (see `lib.evaluation.records`). Each example has title, tokens, values (the rewards)
    and wrong, the character span of the first wrong unit or None.
    """
    scores = scores[scores["rewards"].notna()].sort_values("well_formed", ascending=False, kind="stable")
    right = scores[scores["first_wrong_unit"].isna()].drop_duplicates("problem").head(count)
    wrong = scores[scores["first_wrong_unit"].notna()].drop_duplicates("problem").head(count)
    both = pd.concat([rows.assign(place=range(len(rows))) for rows in (right, wrong)])
    return [_example(row) for row in both.sort_values("place", kind="stable").itertuples()]


def _example(row) -> dict:
    is_wrong = not np.isnan(row.first_wrong_unit)
    return {
        "title": f"{'wrong' if is_wrong else 'right'} trace, problem {row.problem}, reward {row.reward:+.2f}",
        "tokens": tokens(row.text, row.ends),
        "values": row.rewards,
        "wrong": traces.unit_spans(row.text)[int(row.first_wrong_unit)] if is_wrong else None,
    }


def overlaps(pieces: list[str], span: tuple[int, int] | None) -> list[bool]:
    """For each token, whether any of its characters lies in the span `[start, end)` of the joined text."""
    start, end = span or (0, 0)
    marks, position = [], 0
    for piece in pieces:
        marks.append(position < end and position + len(piece) > start)
        position += len(piece)
    return marks


def heatmap_html(
    pieces: list[str], values: list[float], title: str, wrong: tuple[int, int] | None = None
) -> str:
    """One trace as coloured tokens with a legend; blue is positive, vermillion negative.

    `values` has one number a token. `wrong` is the character span of the first wrong unit, which is
    underlined. The scale is symmetric, to the largest absolute value.
    Raises ValueError if the numbers of tokens and values differ.
    """
    if len(pieces) != len(values):
        raise ValueError(f"{title}: {len(pieces)} tokens but {len(values)} values")
    limit = max((abs(v) for v in values), default=0.0) or 1.0
    return rendering.render(
        "heatmap.html",
        title=title,
        legend=[(_style(share, False), f"{share * limit:+.2f}") for share in (-1.0, -0.5, 0.0, 0.5, 1.0)],
        tokens=[
            (_style(value / limit, is_wrong), f"{value:+.3f}", piece)
            for piece, value, is_wrong in zip(pieces, values, overlaps(pieces, wrong), strict=True)
        ],
        has_wrong=wrong is not None,
        wrong_style=WRONG,
    )


def _style(share: float, marked: bool) -> str:
    """A token's style: opacity is the value's share of the scale, so it works on light and dark pages."""
    colour = POSITIVE if share >= 0 else NEGATIVE
    background = f"background: rgba({colour}, {0.75 * min(abs(share), 1.0):.2f})"
    return f"{background}; {WRONG}" if marked else background


@styled
def reward_along_trace(examples: list[dict], gamma: float) -> Figure:
    """Reward and discounted return at each token, a panel an example; the tokens stand on the x axis.

    An example has `returns`, one a token, beside what `examples` gives.
    """
    if not examples:
        return _nothing_to_show()
    longest = max(len(example["tokens"]) for example in examples)
    figure = Figure(figsize=(max(7.0, 0.19 * longest), 2.9 * len(examples)))
    for axis, example in zip(figure.subplots(len(examples), squeeze=False)[:, 0], examples, strict=True):
        x = np.arange(len(example["tokens"]))
        for token in x[overlaps(example["tokens"], example["wrong"])]:
            axis.axvspan(token - 0.5, token + 0.5, color=RED, alpha=0.10, linewidth=0)
        axis.axhline(0, color=BLACK, linewidth=0.8)
        axis.plot(x, example["values"], marker="o", color=BLUE, label="reward at the token")
        label = f"discounted return from the token on (γ = {gamma:g})"
        axis.plot(x, example["returns"], marker="s", color=RED, label=label)
        names = [_printable(piece.replace("\n", "⏎").strip()) or "end" for piece in example["tokens"]]
        axis.set_xticks(x, names, rotation=90, fontsize=7, parse_math=False)
        axis.set_xlim(-0.7, longest - 0.3)
        axis.grid(axis="x", visible=False)
        axis.set_ylabel("reward (logit)")
        axis.set_title(example["title"])
    axis.set_xlabel("token (shaded: the first wrong unit)")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


@styled
def token_heatmaps(examples: list[dict]) -> Figure:
    """Traces as coloured text, two a row; `examples` is as the function of that name gives it.

    Every trace has its own symmetric scale, given in its title; the first wrong unit is underlined.
    """
    if not examples:
        return _nothing_to_show()
    layouts = [_layout(trace["tokens"]) for trace in examples]
    rows = [layouts[i : i + 2] for i in range(0, len(layouts), 2)]
    heights = [max(1 + max(line for line, _ in layout) for layout in row) + 1.5 for row in rows]
    figure = Figure(figsize=(8.2, 0.19 * sum(heights) + 0.3))
    axes = figure.subplots(len(rows), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    size = 0.45 * 8.2 * 72 / COLUMNS / 0.602  # DejaVu Sans Mono is 0.602 em wide
    for axis in axes.flat:
        axis.axis("off")
    for axis, trace, layout, height in zip(axes.flat, examples, layouts, np.repeat(heights, 2), strict=False):
        values = trace["values"]
        limit = max((abs(v) for v in values), default=0.0) or 1.0
        axis.set(xlim=(0, COLUMNS), ylim=(height - 1.0, -0.5))
        axis.set_title(f"{trace['title']} (colour: ±{limit:.2f})", loc="left", fontsize=8)
        marks = overlaps(trace["tokens"], trace["wrong"])
        for piece, value, mark, (line, column) in zip(trace["tokens"], values, marks, layout, strict=True):
            text = _printable(piece.replace("\n", "⏎"))
            shade = (BLUE if value >= 0 else RED, 0.75 * abs(value) / limit)
            axis.add_patch(Rectangle((column, line - 0.45), len(text), 0.9, color=shade, linewidth=0))
            axis.text(
                column, line, text, family="DejaVu Sans Mono", fontsize=size, va="center", parse_math=False
            )
            if mark:
                axis.plot([column, column + len(text)], [line + 0.45] * 2, color=BLACK, linewidth=1.1)
    figure.suptitle(
        "Reward at each token: blue positive, vermillion negative; underlined: first wrong unit", fontsize=9
    )
    return figure


def _nothing_to_show() -> Figure:
    figure = Figure(figsize=(6.2, 0.6))
    figure.text(0.5, 0.5, "There is no trace with a reward at each token.", ha="center", va="center")
    return figure


def _layout(pieces: list[str]) -> list[tuple[int, int]]:
    """(line, column) of each token: lines break after a line break, and where the next token does not fit."""
    line, column, places = 0, 0, []
    for piece in pieces:
        if column and column + len(piece) > COLUMNS:
            line, column = line + 1, 0
        places.append((line, column))
        column += len(piece)
        if piece.endswith("\n"):
            line, column = line + 1, 0
    return places


def _printable(text: str) -> str:
    """The text with what the figures' fonts cannot show replaced by a dot."""
    return "".join(c if c.isascii() and c.isprintable() or c in "⏎·" else "·" for c in text)
