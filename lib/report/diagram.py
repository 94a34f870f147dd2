"""The method as one figure: what the reward is learned from, and what it is used for."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lib.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, styled

WIDTH, HEIGHT = 2.2, 1.0  # of a box
# name: centre x, centre y, colour, title, what it is
BOXES = {
    "experts": (1.2, 4.1, ORANGE, "expert demonstrations", "question and trace,\nno graded answers"),
    "misses": (1.2, 2.6, RED, "near misses", "the experts' traces with\na step made wrong by rule"),
    "samples": (1.2, 1.1, GREY, "policy samples", "traces that the policy\nwrites in training"),
    "discriminator": (
        4.3,
        2.6,
        BLUE,
        "discriminator",
        "a logit at every token,\nhigh where it is the expert's",
    ),
    "reward": (7.2, 2.6, BLUE, "token reward", "the logit, or the log-density\nof the expert model"),
    "train": (10.2, 1.1, GREEN, "train the policy", "GRPO, with advantages\nfrom the learned reward"),
    "rerank": (10.2, 4.1, GREEN, "choose a sample", "of many, the one with\nthe highest reward"),
    "locate": (10.2, 2.6, GREEN, "find the first wrong step", "where the reward falls"),
}
ARROWS = (
    ("experts", "discriminator", "to be high"),
    ("misses", "discriminator", "to be low"),
    ("samples", "discriminator", "to be low"),
    ("discriminator", "reward", ""),
    ("reward", "rerank", ""),
    ("reward", "locate", ""),
    ("reward", "train", ""),
)


@styled
def method() -> Figure:
    """Demonstrations, near misses and samples make a discriminator; its reward has three uses."""
    figure = Figure(figsize=(9.2, 3.9))
    axis = figure.subplots()
    axis.set(xlim=(-0.1, 11.5), ylim=(-0.1, 4.75))
    axis.axis("off")
    for x, y, colour, title, text in BOXES.values():
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        look = {"boxstyle": "round,pad=0,rounding_size=0.12", "linewidth": 1.4, "edgecolor": colour}
        axis.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, facecolor=(colour, 0.1), **look))
        axis.text(x, y + 0.28, title, ha="center", va="center", fontsize=8.5, weight="bold", color=BLACK)
        axis.text(x, y - 0.17, text, ha="center", va="center", fontsize=7.5, color=BLACK)
    arrow = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 2}
    for start, end, text in ARROWS:
        (x0, y0, *_), (x1, y1, *_) = BOXES[start], BOXES[end]
        tail, head = (x0 + WIDTH / 2, y0), (x1 - WIDTH / 2, y1 + 0.12 * (y0 - y1))
        axis.annotate("", head, tail, arrowprops=arrow)
        middle = ((tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2)
        on_white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axis.text(*middle, text, ha="center", va="center", fontsize=7.5, bbox=on_white if text else None)
    (x0, y0, *_), (x1, y1, *_) = BOXES["train"], BOXES["samples"]
    low, bottom = y0 - HEIGHT / 2, 0.2
    axis.plot([x0, x0, x1], [low, bottom, bottom], color=BLACK, linewidth=1.2, solid_capstyle="butt")
    axis.annotate("", (x1, y1 - HEIGHT / 2), (x1, bottom), arrowprops=arrow)
    axis.text((x0 + x1) / 2, bottom + 0.12, "the policy writes new samples", ha="center", fontsize=7.5)
    return figure
