"""math-verify in its own process: what it says, how long it may take, from where it is asked."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.grading import answers, mathematics


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{2}{\sqrt{2}}", r"\sqrt{2}", True),
        (r"1-\sqrt{2}", r"1+\sqrt{2}", False),
        (r"\{1, 2\}", "2, 1", True),
        ("x < 5", "5 > x", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False),
        (r"\frac{1}{", "1", False),
        (r"\infty", "5", False),
        ("12 +", "12", False),
        ("9^{9^{9}}", "5", False),
        ("9^{9^{9}}", "9^{9^{8}}", False),
    ],
)
def test_what_is_read_whole_is_compared(a, b, same):
    assert mathematics.equal(a, b) == mathematics.equal(b, a) == same


def test_what_would_hang_ends_in_time_and_the_next_question_is_answered():
    slow = r"10^{10^{10^{10}}}"
    assert mathematics.equal("x+2", "2+x")  # it has started
    start = time.monotonic()
    assert not mathematics.equal(slow, "5")
    assert time.monotonic() - start < 5
    assert mathematics.equal("x+1", "1+x")


def test_a_vote_of_slow_answers_takes_seconds():
    start = time.monotonic()
    given = [rf"10^{{10^{{10^{{{k}}}}}}}" for k in range(10, 14)] + ["2(x+1)", "2x+2", "5"]
    assert answers.classes(given) == [0, 1, 2, 3, 4, 4, 5]
    assert time.monotonic() - start < 45


def test_threads_and_forks_ask_too():
    pairs = [(f"x+{k}", f"{k + k % 2}+x") for k in range(12)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda pair: mathematics.equal(*pair), pairs)) == [
            k % 2 == 0 for k in range(12)
        ]
    with multiprocessing.get_context("fork").Pool(2) as forks:
        assert forks.starmap(mathematics.equal, [("y+1", "1+y"), ("y+1", "2+y")]) == [True, False]
    assert mathematics.equal("z+1", "1+z")


def test_a_child_that_ends_by_itself_is_replaced():
    assert mathematics.equal("a+1", "1+a")
    mathematics._worker.child.kill()
    mathematics._worker.child.wait()
    assert mathematics.equal("b+1", "1+b")
