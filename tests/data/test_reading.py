import random
import re
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import reading, wording, world
from lib.data.wording import Style
from lib.text import traces

seeds = st.integers(0, 10**9)
styles = st.sampled_from(wording.STYLES)


def draw(seed):
    rng = random.Random(seed)
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 6))
    return problem, world.expert(problem)[0], rng


def exact(expression):
    """An independent calculator."""
    return eval(re.sub(r"\d+", lambda m: f"Fraction({m.group()})", expression), {"Fraction": Fraction})


@settings(max_examples=400)
@given(seeds, styles)
def test_the_right_derivation_is_right_in_every_style(seed, style):
    problem, expert, rng = draw(seed)
    text, _ = world.solve(problem, [False] * len(problem.right), style, rng)
    assert reading.first_wrong_unit(text, expert) is None


@settings(max_examples=400)
@given(seeds, styles, st.booleans())
def test_a_style_is_read_as_one_that_would_write_the_same(seed, style, all_right):
    problem, expert, rng = draw(seed)
    misread = [not all_right and rng.random() < 0.5 for _ in problem.right]
    text, _ = world.solve(problem, misread, style, random.Random(seed))
    read = reading.style_of(text, expert)
    assert world.solve(problem, misread, read, random.Random(seed))[0] == text


def with_error(problem, k, kind, rng):
    """The problem's steps with an error in the k-th, carried on; and whether that changes its quantity.

    The error is an operand (the quantity or another), an operator, the misreading, or a slip in the result.
    """
    v, steps, changed = problem.start, [], None
    for i, template in enumerate(problem.right):
        expression, right = template.format(v=v), exact(template.format(v=v))
        if i == k and kind == "quantity":
            expression = template.replace("{v}", str(v + rng.randint(1, 5)), 1).format(v=v)
        if i == k and kind == "operand":
            a, b = rng.choice([m.span() for m in re.finditer(r"\d+", template)])
            expression = f"{template[:a]}{int(template[a:b]) + rng.randint(1, 5)}{template[b:]}".format(v=v)
        if i == k and kind == "operator":
            sign = rng.choice([s for s in "+-*" if s != template[3]])
            expression = (template[:3] + sign + template[4:]).format(v=v)
        if i == k and kind == "misread":
            expression = problem.wrong[k].format(v=v)
        if i == k:
            changed = exact(expression) != right
        v = reading.evaluate(expression, round_down=True)
        if i == k and kind == "slip":
            v, changed = v + rng.randint(1, 9), True
        if v < 0:
            return None
        steps.append((expression, v))
    return steps, changed


@settings(max_examples=1500)
@given(seeds, styles, st.sampled_from(["quantity", "operand", "operator", "misread", "slip"]))
def test_the_first_wrong_unit_is_the_one_with_the_error(seed, style, kind):
    problem, expert, rng = draw(seed)
    k = rng.randrange(len(problem.right))
    erred = with_error(problem, k, kind, rng)
    if erred is None:  # quantities are never negative
        return
    steps, changed = erred
    lines = wording.write(problem.start, steps, problem.unit, style, rng)
    found = reading.first_wrong_unit(traces.render(lines, str(steps[-1][1])), expert)
    if changed:
        assert found == (k // 2 if style.paired else k)
    elif kind != "quantity":  # another way to the same quantity: what is said is right
        assert found is None


EXPERT = traces.render(["10+5=15 beads", "15-3=12 beads", "12*2=24 beads"], "24")


def located(steps, answer="24"):
    return reading.first_wrong_unit(traces.render(steps, answer), EXPERT)


def test_right_traces_by_hand():
    assert located(["10+5-3=12", "so 12 + 12 = 24"]) is None  # by value, however it is written
    assert located(["5+10-3 = 12 beads; 12×2 = 24 beads, so 24"]) is None
    assert located(["1. from 10: 5 plus 10 is 15", "2. 15 minus 3 is 12", "3. 2 times 12 is 24"]) is None
    assert located(["(10+5-3)*2=24"]) is None  # all at once


def test_wrong_traces_by_hand():
    assert located(["10-5=5", "5-3=2", "2*2=4"], "4") == 0  # a misreading, then consistent
    assert located(["10+5=15", "15-3=11", "11*2=22"], "22") == 1
    assert located(["10+2=12", "12*2=24"]) == 0  # hits upon a later quantity
    assert located(["12+3=15", "15-3=12", "12*2=24"]) == 0  # not from the quantity so far
    assert located(["10+5=15; 15-2=13", "13*2=26"], "26") == 0
    assert located(["10+5=15", "from 14: 15-3=12", "12*2=24"]) == 1
    assert located(["10+5=15, so 16", "15-3=12", "12*2=24"]) == 0
    assert located(["10+5=15", "15-3=12", "12*2=24"], "25") == 3
    assert located(["10+5-3=12"], "12") == 1  # an operation is missing: the answer's unit
    assert located(["10+5=15", "15-3=12", "12*2=24", "24+0=24"]) == 3  # a step too many
    assert located(["no equation", "12*2=24"]) == 0
    assert reading.first_wrong_unit("", EXPERT) == 0
    assert reading.first_wrong_unit(EXPERT.replace("<answer>", ""), EXPERT) == 3


def test_a_quantity_that_occurs_twice_is_followed_both_ways():
    expert = traces.render(["10+5=15", "15-5=10", "10*2=20"], "20")
    assert reading.first_wrong_unit(traces.render(["10+5=15", "15-5=10", "10*2=20"], "20"), expert) is None
    assert reading.first_wrong_unit(traces.render(["10*2=20"], "20"), expert) == 0
    assert reading.first_wrong_unit(traces.render(["10+5-5=10", "10*2=20"], "20"), expert) is None


def test_styles_by_hand():
    def style(*steps):
        return reading.style_of(traces.render(list(steps), "24"), EXPERT)

    assert style("10+5=15", "15-3=12") == Style()
    assert style("5+10=15", "15-3=12") == Style(commuted=True)
    assert style("Then 10 + 5 = 15 beads") == Style("spaced", "connective", units=True)
    assert style("1. 10 plus 5 minus 3 is 12, so 12") == Style("words", "numbered", "after", paired=True)
    assert style("from 10: 10+5 = 15; 15−3 = 12") == Style("signs", restated="before", paired=True)
    assert style("nothing to read") is None


@settings(max_examples=300)
@given(st.one_of(st.text(), st.text("<think>/answer0123456789+-*=() \n;,.", max_size=200)))
def test_any_text_can_be_read(text):
    wrong = reading.first_wrong_unit(text, EXPERT)
    assert wrong is None or 0 <= wrong < len(traces.unit_spans(text))
    reading.style_of(text, EXPERT)
