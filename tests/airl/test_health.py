import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.airl.health import PINNED_STEPS, TRUNCATED_STEPS, Health

WELL = {"accuracies": [0.9, 1.0, 0.8], "truncated": 0.5}
PINNED = WELL | {"accuracies": [1.0, 1.0]}
TRUNCATED = WELL | {"truncated": 1.0}


def faults(*steps):
    """What one watch says after each of the steps."""
    health = Health()
    return [health.fault(**step) for step in steps]


@pytest.mark.parametrize(
    "bad, length, message",
    [
        (PINNED, PINNED_STEPS, "the discriminator was always right for 50 steps"),
        (TRUNCATED, TRUNCATED_STEPS, "no completion ended for 10 steps"),
    ],
)
def test_what_lasts_is_a_fault_and_one_good_step_ends_it(bad, length, message):
    *before, last = faults(*[bad] * length)
    assert set(before) == {None} and last.startswith(message)
    assert set(faults(*[bad] * (length - 1), WELL, *[bad] * (length - 1))) == {None}


def test_a_discriminator_that_took_no_step_is_not_pinned():
    assert set(faults(*[WELL | {"accuracies": []}] * (2 * PINNED_STEPS))) == {None}
    still = [PINNED] * (PINNED_STEPS - 1) + [WELL | {"accuracies": []}] + [PINNED]
    assert set(faults(*still)) == {None}


steps = st.builds(
    lambda accuracies, truncated: WELL | {"accuracies": accuracies, "truncated": truncated},
    st.sampled_from([[], [1.0], [1.0, 1.0], [1.0, 0.5]]),
    st.sampled_from([0.0, 1.0, 1.0, 1.0]),
)


@given(st.lists(steps, max_size=120))
def test_any_run_is_judged_by_its_last_steps(run):
    for i, found in enumerate(faults(*run)):
        last = run[: i + 1]
        pinned = [bool(s["accuracies"]) and min(s["accuracies"]) == 1.0 for s in last[-PINNED_STEPS:]]
        truncated = [s["truncated"] == 1.0 for s in last[-TRUNCATED_STEPS:]]
        ill = pinned == [True] * PINNED_STEPS or truncated == [True] * TRUNCATED_STEPS
        assert (found is not None) == ill
