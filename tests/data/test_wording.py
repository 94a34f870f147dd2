import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import wording
from lib.data.wording import Style

STEPS = [("12+4", 16), ("16*2", 32), ("32-5", 27), ("27-3", 24)]


def written(**choices):
    return wording.write(12, STEPS, "apples", Style(**choices), random.Random(0))


def test_every_choice_by_hand():
    assert written() == ["12+4=16", "16*2=32", "32-5=27", "27-3=24"]
    assert written(wording="spaced", units=True)[1] == "16 * 2 = 32 apples"
    assert written(wording="signs")[1:3] == ["16×2 = 32", "32−5 = 27"]
    assert written(wording="words")[:2] == ["12 plus 4 is 16", "16 times 2 is 32"]
    assert written(lead="numbered")[1] == "2. 16*2=32"
    assert all(line.split(" ")[0] in wording.CONNECTIVES for line in written(lead="connective"))
    assert written(restated="before", units=True)[1] == "from 16: 16*2=32 apples"
    assert written(restated="after", units=True)[1] == "16*2=32, so 32 apples"
    assert written(commuted=True) == ["4+12=16", "2*16=32", "32-5=27", "27-3=24"]
    assert written(paired=True, units=True) == [
        "12+4=16 apples; 16*2=32 apples",
        "32-5=27 apples; 27-3=24 apples",
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("12+3*2", "3*2+12"),
        ("12*(3+1)", "(3+1)*12"),
        ("12+12/2", "12/2+12"),
        ("12-12/3", "12-12/3"),
        ("12/(3+1)", "12/(3+1)"),
    ],
)
def test_what_is_added_or_multiplied_by_comes_first(expression, expected):
    assert wording.commuted(expression) == expected
    assert eval(expression) == eval(expected)


def test_the_corpus_has_every_choice_as_often_as_it_says():
    rng = random.Random(0)
    drawn = [wording.draw(rng) for _ in range(4000)]
    for axis, frequencies in wording.FREQUENCIES.items():
        assert sum(frequencies.values()) == pytest.approx(1)
        counts = Counter(getattr(style, axis) for style in drawn)
        assert {choice: n / 4000 for choice, n in counts.items()} == pytest.approx(frequencies, abs=0.03)


def test_experts_write_in_a_few_styles_that_the_corpus_does_not_favour():
    def share(style):
        product = 1.0
        for axis, frequencies in wording.FREQUENCIES.items():
            product *= frequencies[getattr(style, axis)]
        return product

    assert sum(map(share, wording.STYLES)) == pytest.approx(1)
    assert set(wording.EXPERT_STYLES) < set(wording.STYLES)
    assert sum(map(share, wording.EXPERT_STYLES)) < 0.1
    # the checker reads the derivation off an expert's trace: one operation a line, the quantity so far first
    assert not any(style.commuted or style.paired for style in wording.EXPERT_STYLES)


@settings(max_examples=50)
@given(st.sampled_from(wording.STYLES), st.integers(0, 10**9))
def test_only_the_connectives_are_random(style, seed):
    def lines(seed):
        return wording.write(12, STEPS, "apples", style, random.Random(seed))

    def without(line):
        return line.split(" ", 1)[1] if style.lead == "connective" else line

    assert list(map(without, lines(seed))) == list(map(without, lines(0)))
