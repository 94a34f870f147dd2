"""Near misses: a trace made wrong by rule, with the place where it goes wrong.

Works on the text of any trace with arithmetic in it. The paper's three rules (flip_operator,
nearby_answer, corrupt_number) change one place and leave the rest; a change that keeps an equation true,
such as 2 + 2 = 4 into 2 * 2 = 4, is never made. The other rules err as solvers do and carry the error to
the end: what follows is consistent with it.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lib.grading import equations
from lib.grading.equations import NUMBER, OPERATOR, OPERATORS, Equation
from lib.text import traces


@dataclass(frozen=True)
class Perturbed:
    """A changed trace: which rule made it, and the offset in `text` of the first changed character."""

    text: str
    kind: str
    start: int


_ANSWER = re.compile(r"<answer>([^<>]*)</answer>")
_OPTION = re.compile(r"^\(?([A-J])[.:)]+ *(.*\S)", re.MULTILINE)  # of a multiple-choice question
_CHOICE = re.compile(r"\(?(?P<letter>[A-J])(?:[.:)]+\s*(?P<text>.*\S)?)?\s*", re.DOTALL)
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}


# --- the paper's: one place changed ---


def flip_operator(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Replace one operator between two numbers of the steps by another; None if there is none."""
    places = [m.span(1) for a, b in traces.step_spans(trace) for m in OPERATOR.finditer(trace, a, b)]
    edits = [(a, b, new) for a, b in places for new in OPERATORS if new != equations.plain(trace[a:b])]
    return _first_false(trace, edits, "flip_operator", rng)


def nearby_answer(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge a number inside the last `<answer>` tags, take another of the question's options, or say no for
    yes and false for true.

    None if the answer is none of these; of an option that the question does not list nothing is known.
    """
    answers = list(_ANSWER.finditer(trace))
    if not answers:
        return None
    (start, end), said = answers[-1].span(1), answers[-1][1]
    if choice := _CHOICE.fullmatch(said.lstrip()):
        edits = [(start, end, other) for other in _other_options(question, choice)]
    elif opposite := _OPPOSITES.get(said.strip().lower()):
        edits = [(start, end, opposite.capitalize() if said.strip()[0].isupper() else opposite)]
    else:
        nudges = equations.nudges(NUMBER.finditer(trace, start, end))
        value, changed = equations.value(said), lambda a, b, new: trace[start:a] + new + trace[b:end]
        edits = [edit for edit in nudges if value is None or equations.value(changed(*edit)) != value]
    return _first_false(trace, edits, "nearby_answer", rng)


def _other_options(question: str, choice: re.Match) -> list[str]:
    """The question's other options as `choice` is written; none where it is no option of the question."""
    options = dict(_OPTION.findall(question))
    letter, text, said = choice["letter"], choice["text"], choice.group()
    others = [other for other in options if letter in options and other != letter]
    if text is None:
        return [said.replace(letter, other, 1) for other in others]
    return [said[: choice.start("text")].replace(letter, other, 1) + options[other] for other in others]


def corrupt_number(question: str, trace: str, rng: random.Random) -> Perturbed | None:
    """Nudge one number of the steps, labels such as "Step 1:" apart; None if there is none."""
    numbers = [m for span in traces.step_spans(trace) for m in equations.numbers(trace, *span)]
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
    given = sorted({m.group() for m in equations.numbers(question, 0, len(question))})

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
    slips = [
        (e, new)
        for e in _steps(trace)
        for *_, new in equations.nudges(NUMBER.finditer(e.result))
        if not equations.holds(replace(e, result=new))  # a false equation is not mended
    ]
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
        return equations.replace(trace[:a] + m.group() + trace[b:], first, expression, result, second.start)

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
    """`count` near misses of a trace, each by a rule drawn among those of `kinds` that apply; none if no
    rule does."""
    perturbed = []
    for _ in range(count):
        applicable = [p for kind in kinds if (p := KINDS[kind](question, trace, rng)) is not None]
        if not applicable:
            break
        perturbed.append(rng.choice(applicable))
    return perturbed


def applies(question: str, trace: str, kinds: Sequence[str]) -> bool:
    """Whether some rule of `kinds` makes a near miss of a trace; what is drawn has no influence on it."""
    return any(KINDS[kind](question, trace, random.Random(0)) for kind in kinds)


def _steps(trace: str) -> list[Equation]:
    """The equations that begin inside the reasoning steps and state a number, links of a chain apart."""
    spans, found = traces.step_spans(trace), equations.find(trace)
    continued = {e.result_start for e in found}
    return [
        e
        for e in found
        if NUMBER.fullmatch(e.result) and e.start not in continued and any(a <= e.start < b for a, b in spans)
    ]


def _misread(
    trace: str, edits: Callable[[str], list[str]], kind: str, rng: random.Random
) -> Perturbed | None:
    """Calculate a step with one of the edited expressions whose value is another."""
    misreadings = [(step, edited) for step in _steps(trace) for edited in edits(step.expression)]

    def text(step: Equation, expression: str) -> str | None:
        result = equations.written(equations.value(expression), trace)
        if result is None or equations.value(result) in map(equations.value, (step.expression, step.result)):
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
            return Perturbed(text, kind, _first_wrong(trace, text, start))
    return None


def _first_changed(trace: str, texts, kind: str) -> Perturbed | None:
    """The first of the texts that could be made and differs from the trace."""
    for text in texts:
        if text is not None and (start := _first_difference(trace, text)) < len(text):
            return Perturbed(text, kind, _first_wrong(trace, text, start))
    return None


def _first_wrong(trace: str, text: str, start: int) -> int:
    """The first difference, or the digit before it where that is the last of a number that was cut short."""
    before, there, here = text[:start][-1:], trace[start : start + 1], text[start : start + 1]
    cut_short = there.isdigit() and before.isdigit() and not here.isdigit()
    return start - cut_short


def _first_difference(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
