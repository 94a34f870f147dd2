"""The trace format: `<think>` steps, then `<answer>`; rendering, parsing and units.

A trace is judged in *units*: each non-empty line between the think tags is one, and whatever
follows the last step (closing tag and answer) is the final one.
"""

import re
from dataclasses import dataclass

THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE = "<think>", "</think>", "<answer>", "</answer>"
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)

_WELL_FORMED = re.compile(
    r"\A<think>\n(?P<steps>.+)\n</think>\n<answer>(?P<answer>[^<>\n]+)</answer>\s*\Z", re.DOTALL
)
_ANSWER = re.compile(r"<answer>([^<>]*)</answer>")


@dataclass(frozen=True)
class Trace:
    """What could be read from a text: its steps, its answer (None without tags), its format."""

    steps: list[str]
    answer: str | None
    well_formed: bool


def render(steps: list[str], answer: str) -> str:
    """The canonical text of a trace."""
    body = "\n".join(steps)
    return f"{THINK_OPEN}\n{body}\n{THINK_CLOSE}\n{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"


def normalised(text: str) -> str:
    """A text as it is read from outside: lines end in LF, and no white space is left at its end.

    Both would be tokens, which no demonstration has there: to a reward that learned from demonstrations a
    final line break is as wrong as a false step. What a policy samples is never changed.
    """
    return re.sub(r"\r+\n", "\n", text).rstrip()


def step_spans(text: str) -> list[tuple[int, int]]:
    """Character spans `[start, end)` of the reasoning steps, the line break excluded.

    Works on any text: the steps end at `</think>`, else at `<answer>`, else at the end.
    """
    start = text.find(THINK_OPEN)
    start = 0 if start < 0 else start + len(THINK_OPEN)
    ends = [text.find(tag, start) for tag in (THINK_CLOSE, ANSWER_OPEN)]
    end = min([e for e in ends if e >= 0], default=len(text))
    return [
        (start + line.start(), start + line.end())
        for line in re.finditer(r"[^\n]+", text[start:end])
        if line.group().strip()
    ]


def unit_spans(text: str) -> list[tuple[int, int]]:
    """The step spans and, last, the answer's unit: from the end of the last step to the end."""
    steps = step_spans(text)
    return [*steps, (steps[-1][1] if steps else 0, len(text))]


def parse(text: str) -> Trace:
    """Read any text as a trace; never raises."""
    answers = _ANSWER.findall(text)
    return Trace(
        steps=[text[a:b].strip() for a, b in step_spans(text)],
        answer=answers[-1].strip() if answers else None,
        well_formed=_WELL_FORMED.match(text) is not None,
    )
