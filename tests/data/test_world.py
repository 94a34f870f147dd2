import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import world
from lib.text import traces

seeds = st.integers(0, 10**9)


def draw(seed, n_steps=None):
    rng = random.Random(seed)
    return world.generate(rng, rng.choice(list(world.FAMILIES)), n_steps or rng.randint(1, 6)), rng


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_expert_traces_are_right_and_within_range(seed):
    problem, _ = draw(seed)
    trace, answer = world.expert(problem)
    read = traces.parse(trace)
    assert read.well_formed and read.answer == answer and len(read.steps) == len(problem.right)
    assert world.first_wrong_unit(trace, trace) is None
    previous = problem.start
    for step in read.steps:
        expression, result = step.split("=")
        value = int(result.split()[0])
        assert eval(expression) == value  # an independent calculator
        assert 2 <= value <= world.LARGEST and expression.lstrip("(").startswith(str(previous))
        previous = value
    assert int(answer) == previous


def test_generation_depends_on_the_seed_alone():
    assert draw(5)[0] == draw(5)[0]
    assert len({draw(s, 3)[0].question for s in range(50)}) == 50


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 5), st.integers(-5, 5).filter(bool))
def test_a_changed_result_is_located_at_its_unit(seed, which, change):
    trace, answer = world.expert(draw(seed)[0])
    steps = traces.parse(trace).steps
    i = which % len(steps)
    left, right = steps[i].split("=")
    value, unit = right.split(" ")
    steps[i] = f"{left}={int(value) + change} {unit}"
    assert world.first_wrong_unit(traces.render(steps, answer), trace) == i


def test_other_wrong_traces_by_hand():
    expert = traces.render(["10 + 5 = 15 beads", "15 * 2 = 30 beads"], "30")

    def located(steps, answer="30"):
        return world.first_wrong_unit(traces.render(steps, answer), expert)

    assert located(["5 + 10 = 15", "so 15 + 15 = 30 beads"]) is None  # by value, however it is written
    assert located(["10 - 5 = 5 beads", "5 * 2 = 10 beads"], "10") == 0  # a misreading, then consistent
    assert located(["10 + 5 = 15 beads", "15 + 2 = 17 beads"], "17") == 1
    assert located(["10 + 5 = 15 beads", "15 * 2 = 30 beads"], "31") == 2
    assert located(["10 + 5 = 15 beads"]) == 1  # a step is missing: the answer's unit
    assert located(["10 + 5 = 15", "15 * 2 = 30", "30 + 0 = 30"]) == 2  # a step too many
    assert located(["no equation", "15 * 2 = 30"]) == 0
    assert world.first_wrong_unit("", expert) == 0
    assert world.first_wrong_unit(expert.replace("<answer>", ""), expert) == 2


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_unreliable_traces_with_a_wrong_answer_have_a_first_wrong_unit(seed):
    problem, rng = draw(seed)
    expert, answer = world.expert(problem)
    trace = world.unreliable(problem, rng, malformed=0.1)
    wrong = world.first_wrong_unit(trace, expert)
    if traces.parse(trace).answer != answer:
        assert wrong is not None and 0 <= wrong < len(traces.unit_spans(trace))
    if trace == expert:
        assert wrong is None


def test_a_solver_without_misconceptions_is_the_expert():
    problem, _ = draw(3)
    always_right = world.Problem(**{**vars(problem), "misread": (0.0,) * len(problem.right)})
    assert world.unreliable(always_right, random.Random(0), malformed=0.0) == world.expert(problem)[0]
    always_wrong = world.Problem(**{**vars(problem), "misread": (1.0,) * len(problem.right)})
    assert world.unreliable(always_wrong, random.Random(0), malformed=0.0) != world.expert(problem)[0]
    lost = world.unreliable(always_right, random.Random(0), malformed=1.0)
    assert not traces.parse(lost).well_formed


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_the_checker_takes_any_text(text):
    expert = traces.render(["10 + 5 = 15 beads"], "15")
    wrong = world.first_wrong_unit(text, expert)
    assert wrong is None or 0 <= wrong < len(traces.unit_spans(text))
