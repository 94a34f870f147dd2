"""Near misses: a trace made wrong by rule, with the place where it goes wrong.

Works on the text of any trace with arithmetic in it. The paper's three rules (flip_operator,
nearby_answer, corrupt_number) change one place and leave the rest; a change that keeps an equation true,
such as 2 + 2 = 4 into 2 * 2 = 4, is never made. The other rules err as solvers do and carry the error to
the end: what follows is consistent with it.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.text import equations, traces
from lib.text.equations import MARKER, NUMBER, OPERATOR, OPERATORS, Equation


@dataclass(frozen=True)
class Perturbed:
    """A changed trace: which rule made it, and the offset in `text` of the first changed character."""

    text: str
    kind: str
    start: int


_ANSWER = re.compile(r"<answer>([^<>]*)</answer>")
OPTION = re.compile(r"^([A-J])\. ", re.MULTILINE)  # of a multiple-choice question


# --- the paper's: one place changed ---


def flip_operator(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Replace one operator between two numbers of the steps by another; None if there is none."""
    places = [m.span(1) for a, b in traces.step_spans(trace) for m in OPERATOR.finditer(trace, a, b)]
    edits = [(a, b, new) for a, b in places for new in OPERATORS if new != equations.plain(trace[a:b])]
    return _first_false(trace, edits, "flip_operator", rng)


def nearby_answer(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge a number inside the last `<answer>` tags, or take another of the question's options.

    None if the answer is neither.
    """
    answers = list(_ANSWER.finditer(trace))
    if not answers:
        return None
    answer, options = answers[-1], OPTION.findall(question)
    edits = equations.nudges(NUMBER.finditer(trace, *answer.span(1)))
    if answer[1] in options:
        edits = [(*answer.span(1), option) for option in options if option != answer[1]]
    return _first_false(trace, edits, "nearby_answer", rng)


def corrupt_number(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge one number of the steps, list markers apart; None if there is none."""
    numbers = []
    for a, b in traces.step_spans(trace):
        marker = MARKER.match(trace, a, b)
        numbers += NUMBER.finditer(trace, marker.end() if marker else a, b)
    return _first_false(trace, equations.nudges(numbers), "corrupt_number", rng)


# --- carried to the end ---


def wrong_operator(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Replace an operator of a step and calculate with it; None if no other result can be had so."""

    def edits(expression: str) -> list[str]:
        places = [m.span(1) for m in OPERATOR.finditer(expression)]
        return [expression[:a] + sign + expression[b:] for a, b in places for sign in OPERATORS]

    return _misread(trace, edits, "wrong_operator", rng)


def copied_operand(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Take another number of the question for an operand, but a step's first; None if there is none."""
    given = sorted({m.group() for m in NUMBER.finditer(question)})

    def edits(expression: str) -> list[str]:
        places = [m.span() for m in NUMBER.finditer(expression)][1:]
        return [expression[:a] + number + expression[b:] for a, b in places for number in given]

    return _misread(trace, edits, "copied_operand", rng)


def nudged_operand(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Move an operand, but a step's first, by a little and calculate with it; None if there is none."""

    def edits(expression: str) -> list[str]:
        nudges = equations.nudges(list(NUMBER.finditer(expression))[1:])
        return [expression[:a] + number + expression[b:] for a, b, number in nudges]

    return _misread(trace, edits, "nudged_operand", rng)


def miscounted_terms(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Leave out a step's first or last term, or count one more or less; None if there is no step."""

    def edits(expression: str) -> list[str]:
        places = [m.span(1) for m in OPERATOR.finditer(expression)]
        one_off = [f"{expression.rstrip()}{sign}1" for sign in "+-"]
        if len(places) < 2:
            return one_off
        return [expression[places[0][1] :].lstrip(), expression[: places[-1][0]].rstrip(), *one_off]

    return _misread(trace, edits, "miscounted_terms", rng)


def wrong_result(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge the result of a step and go on with it; None if there is no step."""
    slips = [(e, new) for e in _steps(trace) for *_, new in equations.nudges(NUMBER.finditer(e.result))]
    texts = (equations.replace(trace, e, e.expression, new) for e, new in rng.sample(slips, len(slips)))
    return _first_changed(trace, texts, "wrong_result")


def skipped_step(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Leave out a step's line and go on from the number it began with; None if there is but one step."""
    steps = _steps(trace)

    def without(step: Equation) -> str | None:
        text = equations.replace(trace, step, step.expression, NUMBER.search(step.expression).group())
        if text is None:
            return None
        line_start, line_end = trace.rfind("\n", 0, step.start) + 1, text.find("\n", step.start) + 1
        text = text[:line_start] + text[line_end:]
        now = next((e for e in equations.find(text) if e.start >= line_start), None)
        return None if now and now.result == step.result else text  # the next step may say the same

    texts = (without(step) for step in rng.sample(steps, len(steps)) if len(steps) > 1)
    return _first_changed(trace, texts, "skipped_step")


def swapped_numbers(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Exchange an operand of one step with one of a later step; None if that changes nothing."""
    operands = [(e, m) for e in _steps(trace) for m in list(NUMBER.finditer(e.expression))[1:]]
    pairs = [
        (*a, *b)
        for a in operands
        for b in operands
        if a[0].start < b[0].start and a[1].group() != b[1].group()
    ]

    def swap(first: Equation, m: re.Match, second: Equation, n: re.Match) -> str | None:
        expression = first.expression[: m.start()] + n.group() + first.expression[m.end() :]
        result = equations.written(equations.value(expression), trace)
        if result is None:
            return None
        a, b = second.start + n.start(), second.start + n.end()
        return equations.replace(trace[:a] + m.group() + trace[b:], first, expression, result)

    texts = (swap(*pair) for pair in rng.sample(pairs, len(pairs)))
    return _first_changed(trace, texts, "swapped_numbers")


KINDS: dict[str, Callable[[str, str, random.Random], Perturbed | None]] = {
    "flip_operator": flip_operator,
    "nearby_answer": nearby_answer,
    "corrupt_number": corrupt_number,
    "wrong_operator": wrong_operator,
    "copied_operand": copied_operand,
    "nudged_operand": nudged_operand,
    "miscounted_terms": miscounted_terms,
    "wrong_result": wrong_result,
    "skipped_step": skipped_step,
    "swapped_numbers": swapped_numbers,
}

PAPER = ("flip_operator", "nearby_answer", "corrupt_number")
CARRIED = tuple(kind for kind in KINDS if kind not in PAPER)
SETS = {"paper": PAPER, "carried": CARRIED, "all": tuple(KINDS)}


def perturb(
    question: str, trace: str, rng: random.Random, count: int, kinds: Sequence[str]
) -> list[Perturbed]:
    """`count` near misses of a trace, each by a rule drawn among those of `kinds` that apply.

    Raises ValueError if no rule applies: an unchanged trace must never pass for a wrong one.
    """
    perturbed = []
    for _ in range(count):
        applicable = [p for kind in kinds if (p := KINDS[kind](question, trace, rng)) is not None]
        if not applicable:
            raise ValueError(f"no rule of {', '.join(kinds)} applies to the trace {trace[:60]!r}")
        perturbed.append(rng.choice(applicable))
    return perturbed


def _steps(trace: str) -> list[Equation]:
    """The equations that begin inside the reasoning steps."""
    spans = traces.step_spans(trace)
    return [e for e in equations.find(trace) if any(a <= e.start < b for a, b in spans)]


def _misread(
    trace: str, edits: Callable[[str], list[str]], kind: str, rng: random.Random
) -> Perturbed | None:
    """Calculate a step with one of the edited expressions whose value is another."""
    misreadings = [(step, edited) for step in _steps(trace) for edited in edits(step.expression)]

    def text(step: Equation, expression: str) -> str | None:
        result = equations.written(equations.value(expression), trace)
        if result is None or equations.value(result) == equations.value(step.expression):
            return None
        return equations.replace(trace, step, expression, result)

    texts = (text(*misreading) for misreading in rng.sample(misreadings, len(misreadings)))
    return _first_changed(trace, texts, kind)


def _first_false(
    trace: str, edits: list[tuple[int, int, str]], kind: str, rng: random.Random
) -> Perturbed | None:
    """Make the first of the shuffled edits (start, end, new text) that does not leave a true equation."""
    for a, b, new in rng.sample(edits, len(edits)):
        text = trace[:a] + new + trace[b:]
        start = _first_difference(trace, text)
        if start < len(text) and not equations.holds_at(text, start):
            return Perturbed(text, kind, start)
    return None


def _first_changed(trace: str, texts, kind: str) -> Perturbed | None:
    """The first of the texts that could be made and differs from the trace."""
    for text in texts:
        if text is not None and (start := _first_difference(trace, text)) < len(text):
            return Perturbed(text, kind, start)
    return None


def _first_difference(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
