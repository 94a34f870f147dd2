"""One look for every figure: a style, one colour and one label for a name wherever it appears, `save`.

The bytes written depend on the numbers alone: no date, no random identifiers, a font that comes with
matplotlib.
"""

import io
import zlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from lib import files, images

STYLE = {
    "svg.hashsalt": "study",
    "svg.fonttype": "none",  # text as text: half the bytes, and a reader can search it
    "font.family": "sans-serif",  # what a reader without the next has
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 80,  # in notebooks
    "savefig.dpi": 110,
}
GREY, BLACK = "#7f7f7f", "#222222"
# Okabe and Ito's palette
BLUE, SKY, GREEN, ORANGE, RED, PINK = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
COLOURS = {
    "base": GREY,
    "sft": ORANGE,
    "grpo": GREEN,
    "airl_dense": BLUE,
    "airl_dense_300": "#88CCEE",  # Tol's cyan
    "airl_no_perturbation": "#7570B3",  # of ColorBrewer's Dark2
    "airl_step": "#332288",  # Tol's indigo and wine, where that palette ends
    "airl_interval": "#882255",
    "ttrl": PINK,
    "spin": BLACK,
    "grpo_demonstrations": "#999933",
    "airl": RED,
    "airl_practice": "#44AA99",
    "airl_updated": "#AA4499",
    "outcome_labels": "#117733",
    "step_labels": "#6699CC",
    "reference": RED,  # the same in the ablations' shorter runs
    "random": GREY,
    "majority": ORANGE,
    "logprob": PINK,
    "reward": RED,  # the main method's
    "reward_weighted_majority": SKY,
    "oracle": GREEN,
    "length": BLACK,
    "likelihood": "#6B3E00",
    "entropy": ORANGE,
    "chance": GREY,
    "first_unit": "#444444",
    "correct": BLUE,
    "wrong": RED,
}


def colour(name: str) -> str:
    """The colour of a method, selector or detector; an unlisted name always gets the same one."""
    return COLOURS.get(name) or (PINK, BLACK, RED)[zlib.crc32(name.encode()) % 3]


def save(figure: Figure, name: str, directory: str | Path) -> Path:
    """Write `name`.svg and `name`.png, each whole or not at all; returns the path of the PNG."""
    with matplotlib.rc_context(STYLE):
        _settle(figure)
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(buffer, format=suffix, metadata=metadata)
        drawn = buffer.getvalue()
        small = images.with_few_colours(drawn) if suffix == "png" else drawn
        path = files.write_bytes(Path(directory) / f"{name}.{suffix}", small)
    return path


def _settle(figure: Figure) -> None:
    """Lay the figure out once, as it is saved, and round the result: the solver's last digits differ from run
    to run, and text is wider at one resolution than at another."""
    figure.set_dpi(STYLE["savefig.dpi"])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        axis.set_position([round(x, 5) for x in axis.get_position(original=True).bounds])


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a drawing function use the study's style, whatever the caller's is."""

    @wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper
