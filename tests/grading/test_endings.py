import pytest

from lib.grading import endings


@pytest.mark.parametrize(
    ("text", "answer", "alone"),
    [
        (r"\boxed{5}", "5", True),
        (r"$$\boxed{\frac{1}{2}}.$$", r"\frac{1}{2}", True),
        (r"\boxed 5", "5", True),
        (r"It is \boxed{5} apples.", "5", False),
        (r"The final answer is: $\boxed{\text{B}}$", r"\text{B}", True),
        ("#### 1,234", "1234", True),
        ("6 - 1 = 5 #### 5", "5", False),
        ("The answer is 5.", "5", True),
        ("The answer is 3.5.", "3.5", True),
        ("So the final answer is **5**.", "5", False),
        ("A: 5", "5", True),
        ("A: 1,006 beads", "1006 beads", True),
        ("Answer: yes", "yes", True),
        ("**Answer:** 5", "5", True),
        ("**Final answer**: 5", "5", True),
    ],
)
def test_the_common_ways_to_end(text, answer, alone):
    assert endings.final_answer(f"1 + 1 = 2\n{text}\n") == answer
    assert endings.is_only_answer(text) == alone


@pytest.mark.parametrize(
    "text", ["", "6 - 1 = 5", "A fever", "A:", "The answer is", "Q: 5", r"\boxed{}", "A: <b>"]
)
def test_no_answer_is_none(text):
    assert endings.final_answer(text) is None


def test_the_last_box_counts_and_else_the_last_line():
    assert endings.final_answer("\\boxed{4}, no:\n\\boxed{5}\nI hope this helps.") == "5"
    assert endings.final_answer("The answer is 5.\n5 - 1 = 4") is None
