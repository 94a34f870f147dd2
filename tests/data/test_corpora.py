import json
import os
import random
import re
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import schema
from lib.data import corpora
from lib.data.splits import make_splits
from lib.grading import answers
from lib.study import params
from lib.text import perturb, traces

ROOT = Path(__file__).parents[2]
SIZES = {"train": 6, "demonstrations": 4, "validation": 2, "test": 3, "test_long": 2}
LENGTHS = {"steps": [1, 2], "long_steps": [3], "seed": 0}


@pytest.fixture(scope="module")
def gsm8k():
    """The directory of the published files."""
    if "STUDY_GSM8K" not in os.environ:
        pytest.skip("STUDY_GSM8K names no directory with GSM8K's train.jsonl and test.jsonl")
    return Path(os.environ["STUDY_GSM8K"])


@pytest.fixture(scope="module")
def published(gsm8k):
    """The rows of GSM8K's published splits, and the demonstrations made of them."""
    lines = {name: (gsm8k / f"{name}.jsonl").read_text().splitlines() for name in ("train", "test")}
    return {
        name: ([json.loads(line) for line in lines[name]], corpora.read("gsm8k", str(gsm8k), name))
        for name in lines
    }


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def settings_of(**data):
    tree = params.apply_profile(ROOT / "params.yaml", "tiny")
    return params.validate(schema.merge(tree, {"data": data}), "params")


# --- the published files of GSM8K ---


def without_marks(text):
    """By hand: what stands before each << and after the next >>."""
    first, *rest = text.split("<<")
    return first + "".join(part.split(">>", 1)[1] for part in rest)


def test_every_gsm8k_solution_becomes_a_trace_that_is_right(published):
    for name, count in (("train", 7473), ("test", 1319)):
        rows, read = published[name]
        assert len(rows) == len(read) == count
        assert len({row.question for row in read}) == count
        for row, demonstration in zip(rows, read, strict=True):
            solution, answer = row["answer"].split("####")
            trace = traces.parse(demonstration.trace)
            assert demonstration.question == row["question"].strip()
            assert trace.well_formed and len(trace.steps) == demonstration.n_steps
            assert trace.steps == [
                line.strip() for line in without_marks(solution).split("\n") if line.strip()
            ]
            assert int(trace.answer) == int(answer.replace(",", ""))
            assert answers.is_correct(trace.answer, demonstration.answer)
            assert answers.is_correct(answer.strip(), demonstration.answer)  # also as it was published
            assert not answers.is_correct(str(int(trace.answer) + 1), demonstration.answer)


def test_gsm8k_traces_have_near_misses_of_two_kinds(published):
    """On a thousand by seed; of all 7,473, which takes half a minute, each has two or more."""
    rows = random.Random(0).sample(published["train"][1], 1000)
    n_kinds = []
    for i, row in enumerate(rows):
        found = [rule(row.question, row.trace, random.Random(i)) for rule in perturb.KINDS.values()]
        found = [wrong for wrong in found if wrong is not None]
        for wrong in found:
            shared = os.path.commonprefix([wrong.text, row.trace])
            ends_early = row.trace[len(shared)].isdigit() and not wrong.text[len(shared)].isdigit()
            cut_short = ends_early and shared[-1].isdigit()  # of that number the last digit is wrong
            assert wrong.text != row.trace and wrong.start == len(shared) - cut_short < len(wrong.text)
            assert traces.parse(wrong.text).answer is not None
        n_kinds.append(len({wrong.kind for wrong in found}))
    assert sum(n >= 2 for n in n_kinds) >= 950
    assert sum(n >= 5 for n in n_kinds) >= 700  # most are also misread to the end


def test_splits_of_gsm8k_are_apart_and_of_the_published_split(gsm8k, published):
    settings = settings_of(
        dataset="gsm8k", path=str(gsm8k), train=6000, demonstrations=256, validation=200, test=1316,
        steps=list(range(1, 9)), test_long=3, long_steps=[9, 10, 11],
    )  # fmt: skip
    splits = make_splits(settings)
    sizes = {"train": 6000, "demonstrations": 256, "validation": 200, "test": 1316, "test_long": 3}
    assert {name: len(rows) for name, rows in splits.items()} == sizes
    questions = [row.question for rows in splits.values() for row in rows]
    assert len(set(questions)) == len(questions)
    given = {name: {row["question"].strip() for row in rows} for name, (rows, _) in published.items()}
    for name, rows in splits.items():
        assert {row.question for row in rows} <= given["test" if name.startswith("test") else "train"]
        assert {row.n_steps for row in rows} <= set(range(9, 12) if name == "test_long" else range(1, 9))
        assert all(published[row.id[:-6]][1][int(row.id[-5:])] == row for row in rows)
    with pytest.raises(ValueError, match=r"^data\.test: 1317 asked for, but gsm8k has 1316 such questions"):
        make_splits(settings.model_copy(update={"data": settings.data.model_copy(update={"test": 1317})}))


def test_our_grades_of_gsm8ks_model_solutions_are_the_published_ones(gsm8k, published):
    gold = {row.question: row.answer for row in published["test"][1]}
    rows = list(corpora.labelled_solutions(gsm8k / "example_model_solutions.jsonl"))
    assert [(row["problem"], row["sample"]) for row in rows] == [
        (p, s) for p in range(1319) for s in range(4)
    ]
    assert len({row["source"] for row in rows}) == 4
    given = [traces.parse(row["text"]).answer for row in rows]
    assert given.count(None) == 11  # cut off
    assert not any("<<" in row["text"] or ">>" in row["text"] for row in rows)
    graded = [answers.is_correct(a, gold[row["question"]]) for a, row in zip(given, rows, strict=True)]
    assert graded == [row["is_correct"] for row in rows]


# --- calculators' marks ---

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>\n\r"), max_size=9)
marks = st.text("0123456789+-*/=.() %x", max_size=9).map(lambda inside: f"<<{inside}>>")


@given(st.lists(st.tuples(plain, marks)), plain)
def test_marks_are_removed_and_nothing_else(pairs, last):
    marked = "".join(text + mark for text, mark in pairs) + last
    expected = ("".join(text for text, _ in pairs) + last).strip()
    assert corpora._lines(marked) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("48/2 = <<48/2=24>>24 clips", ["48/2 = 24 clips"]),
        ("5 - 3 = $<<5-3=2>>2, 2*2=<<2*2=4>>4", ["5 - 3 = $2, 2*2=4"]),
        ("4 < 4.8 < 5, 6 > 5", ["4 < 4.8 < 5, 6 > 5"]),
        ("7/3 = <<7/3=2.333", ["7/3 ="]),  # cut off in the mark
        ("1 + 2 = <<1+2=3 fries.\n3 + 1 = <<3+1=4>>4", ["1 + 2 =  fries.", "3 + 1 = 4"]),
        ("a <<1+1=2>>\n<<2=2>>\n\n b", ["a", "b"]),
    ],
)
def test_odd_marks(line, read):
    assert corpora._lines(line) == read


# --- datasets by hand-made rows ---

MEDREASON = {
    "dataset_name": "MedMCQA",
    "id_in_dataset": "17",
    "question": "Which vitamin prevents scurvy?",
    "answer": "Vitamin C. Explanation: Collagen needs it.",
    "reasoning": "Finding reasoning paths:\n1. Scurvy -> collagen.\n\nConclusion:\nVitamin C.",
    "options": "Answer Choices:\nA. Vitamin A\nB. Vitamin C\nC. Vitamin C and D\nD. Iron",
}
MMLU_PRO = {
    "question_id": 70,
    "question": "Find the characteristic of the ring 2Z.",
    "options": ["0", "30", "3", "10", "12", "50", "2", "100", "20", "5"],
    "answer": "G",
    "answer_index": 6,
    "cot_content": "A: Let's think step by step. ka = 0 for all a.\nHence k = 2. The answer is (G).",
    "category": "computer science",
    "src": "cot_lib-abstract_algebra",
}
GSM8K = {"question": "How much?", "answer": "500*2=$<<500*2=1000>>1,000\n\nIt is 1,000.\n#### 1,000"}


def test_a_row_of_medreason():
    assert corpora._medreason(MEDREASON) == {
        "question": "Which vitamin prevents scurvy?\nA. Vitamin A\nB. Vitamin C\nC. Vitamin C and D\nD. Iron",
        "trace": traces.render(
            ["Finding reasoning paths:", "1. Scurvy -> collagen.", "Conclusion:", "Vitamin C."], "B"
        ),
        "answer": "B",
        "family": "medmcqa",
        "n_steps": 4,
    }
    assert corpora._medreason({**MEDREASON, "options": ""}) is None  # an open question
    assert corpora._medreason({**MEDREASON, "answer": "Vitamin K. Explanation: No."}) is None
    twice = "A. Iron\nB. Vitamin C\nC. vitamin c."
    assert corpora._medreason({**MEDREASON, "options": twice}) is None


def test_a_row_of_mmlu_pro():
    read = corpora._mmlu_pro(MMLU_PRO)
    assert read["question"].split("\n") == [
        "Find the characteristic of the ring 2Z.",
        *("A. 0", "B. 30", "C. 3", "D. 10", "E. 12", "F. 50", "G. 2", "H. 100", "I. 20", "J. 5"),
    ]
    steps = ["ka = 0 for all a.", "Hence k = 2. The answer is (G)."]
    assert traces.parse(read["trace"]) == traces.Trace(steps, "G", well_formed=True)
    assert (read["answer"], read["family"], read["n_steps"]) == ("G", "computer_science", 2)
    assert corpora._mmlu_pro({**MMLU_PRO, "cot_content": ""})["n_steps"] == 0
    with pytest.raises(ValueError, match="answer: 'G' is none of the options A, B"):
        corpora._mmlu_pro({**MMLU_PRO, "options": ["0", "2"]})


def test_a_row_of_gsm8k():
    read = corpora._gsm8k(GSM8K)
    assert read["trace"] == "<think>\n500*2=$1,000\nIt is 1,000.\n</think>\n<answer>1000</answer>"
    assert (read["answer"], read["n_steps"]) == ("1000", 2)


def numbered(row, count):
    return [{**row, "question": f"{i}. {row['question']}"} for i in range(count)]


def own(count, n_steps):
    lines = [f"{i}+1={i + 1}" for i in range(n_steps)]
    return numbered(
        {"question": "?", "trace": traces.render(lines, str(n_steps)), "answer": str(n_steps)}, count
    )


def test_a_dataset_without_tests_of_its_own_holds_some_out(tmp_path):
    write(tmp_path / "train.jsonl", numbered(MEDREASON, 17))
    lengths = {**LENGTHS, "steps": [4], "long_steps": [4]}
    splits = corpora.make_splits("medreason", str(tmp_path), **SIZES, **lengths)
    assert {name: len(rows) for name, rows in splits.items()} == SIZES
    assert len({row.question for rows in splits.values() for row in rows}) == 17
    with pytest.raises(ValueError, match=r"^data\.train: 7 asked for, but medreason has 6 such"):
        corpora.make_splits("medreason", str(tmp_path), **{**SIZES, "train": 7}, **lengths)


def test_mmlu_pros_demonstrations_are_the_questions_with_reasoning(tmp_path):
    write(tmp_path / "validation.jsonl", numbered(MMLU_PRO, 4))
    others = numbered({**MMLU_PRO, "question": "And 3Z?", "cot_content": ""}, 13)
    write(tmp_path / "test.jsonl", others)
    splits = corpora.make_splits("mmlu_pro", str(tmp_path), **SIZES, **LENGTHS)
    assert {name: len(rows) for name, rows in splits.items()} == SIZES
    assert all("2Z" in row.question and row.n_steps == 2 for row in splits.pop("demonstrations"))
    rest = [row for rows in splits.values() for row in rows]
    assert len({row.question for row in rest}) == 13
    assert all("3Z" in row.question and traces.parse(row.trace).answer == "G" for row in rest)
    write(tmp_path / "validation.jsonl", others)
    with pytest.raises(ValueError, match=r"^data\.demonstrations: 4 asked for, but mmlu_pro has 0 such"):
        corpora.make_splits("mmlu_pro", str(tmp_path), **SIZES, **LENGTHS)


def test_a_dataset_of_ones_own(tmp_path):
    write(tmp_path / "train.jsonl", own(20, 2))
    write(tmp_path / "test.jsonl", own(3, 1) + own(5, 3)[3:])
    splits = corpora.make_splits("jsonl", str(tmp_path), **SIZES, **LENGTHS)
    assert {name: len(rows) for name, rows in splits.items()} == SIZES
    lengths = {name: {row.n_steps for row in rows} for name, rows in splits.items()}
    assert lengths == {"test": {1}, "test_long": {3}, "train": {2}, "demonstrations": {2}, "validation": {2}}
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(ValueError, match=r"^data\.test_long: 2 asked for, but jsonl has 0 such .* in train;"):
        corpora.make_splits("jsonl", str(tmp_path), **SIZES, **LENGTHS)
    held_out = corpora.make_splits("jsonl", str(tmp_path), **SIZES, **{**LENGTHS, "long_steps": [2]})
    assert len({row.question for rows in held_out.values() for row in rows}) == 17


def test_splits_depend_on_the_seed_and_a_larger_training_set_leaves_the_others(tmp_path):
    write(tmp_path / "train.jsonl", own(40, 2) + own(40, 2))  # each question twice
    write(tmp_path / "test.jsonl", own(80, 1)[40:] + own(99, 3)[80:])

    def splits(**changes):
        return corpora.make_splits("jsonl", str(tmp_path), **{**SIZES, **LENGTHS, **changes})

    assert splits() == splits()
    assert splits(seed=1)["test"] != splits()["test"]
    larger = splits(train=30)
    assert larger["train"][:6] == splits()["train"]
    assert all(larger[name] == rows for name, rows in splits().items() if name != "train")
    with pytest.raises(ValueError, match=r"^data\.train: 35 asked for, but jsonl has 34 such"):
        splits(train=35)


def test_a_dataset_without_near_misses_is_refused_when_it_is_read(tmp_path):
    """Unless none are asked for."""

    def written(step, answer):
        row = {"question": "Which day?", "trace": traces.render([step], answer), "answer": answer}
        write(tmp_path / "train.jsonl", numbered(row, 40))

    sizes = {**SIZES, "demonstrations": 24, "steps": [1], "long_steps": [1]}
    settings = settings_of(dataset="jsonl", path=str(tmp_path), **sizes)
    written("It is sunny.", "Tuesday")
    with pytest.raises(
        ValueError, match=r"^data\.dataset: in jsonl no .*, such as train-\d{5}, .* 'Tuesday'"
    ):
        make_splits(settings)
    without = settings.model_copy(update={"airl": settings.airl.model_copy(update={"perturbations": 0})})
    assert len(make_splits(without)["train"]) == SIZES["train"]
    for step, answer in (("It is day 2.", "Tuesday"), ("It is sunny.", "yes")):
        written(step, answer)
        assert len(make_splits(settings)["train"]) == SIZES["train"]


# --- what cannot be read ---


@pytest.mark.parametrize(
    ("dataset", "row", "what"),
    [
        ("gsm8k", {**GSM8K, "answer": "1+1=2"}, "answer: no #### with the answer after it"),
        ("gsm8k", {**GSM8K, "answer": "1+1=2\n####  "}, "answer: no #### with the answer after it"),
        ("gsm8k", {"question": "?"}, "answer: missing or ill-typed"),
        ("gsm8k", {**GSM8K, "question": " "}, "question: empty"),
        ("gsm8k", [1], "expected a JSON object"),
        ("medreason", {**MEDREASON, "reasoning": None}, "reasoning: missing or ill-typed"),
        ("medreason", {k: v for k, v in MEDREASON.items() if k != "options"}, "options: missing"),
        ("mmlu_pro", {**MMLU_PRO, "options": "A. 1"}, "options: missing or ill-typed"),
        ("jsonl", {**own(1, 1)[0], "answer": "7"}, "trace: it answers '1', but the field answer is '7'"),
        ("jsonl", {"question": "?", "trace": "<think>\n1=1", "answer": "2"}, "trace: no answer; end it with"),
        ("jsonl", {"question": "?", "answer": "2"}, "trace: missing or ill-typed"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_file_and_line(tmp_path, dataset, row, what):
    good = {"gsm8k": GSM8K, "medreason": MEDREASON, "mmlu_pro": MMLU_PRO, "jsonl": own(1, 1)[0]}[dataset]
    write(tmp_path / "test.jsonl", [good, row])
    write(tmp_path / "train.jsonl", [good, row])
    with pytest.raises(ValueError) as error:
        corpora.make_splits(dataset, str(tmp_path), **SIZES, **LENGTHS)
    assert re.match(rf"{re.escape(str(tmp_path))}/(test|train)\.jsonl:2: ", str(error.value))
    assert what in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named_with_its_parameter(tmp_path):
    with pytest.raises(ValueError, match=r"^data\.path: there is no .*test\.jsonl$"):
        corpora.make_splits("gsm8k", str(tmp_path), **SIZES, **LENGTHS)


def test_a_hub_that_cannot_be_reached_says_which_parameter_to_set(monkeypatch):
    def unreachable(*where, split):
        assert (where, split) == (("openai/gsm8k", "main"), "test")
        raise ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub\nat length")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(ValueError) as error:
        make_splits(settings_of(dataset="gsm8k"))
    assert str(error.value) == (
        "openai/gsm8k cannot be read from the hub; set data.path to a local directory with its test.jsonl"
    )


def test_the_hub_gives_what_a_local_directory_gives(tmp_path, monkeypatch):
    rows = {"train": numbered(GSM8K, 20), "test": numbered({**GSM8K, "question": "And now?"}, 9)}
    for name in rows:
        write(tmp_path / f"{name}.jsonl", rows[name])
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *where, split: datasets.Dataset.from_list(rows[split])
    )
    lengths = {**LENGTHS, "long_steps": [2]}
    local = corpora.make_splits("gsm8k", str(tmp_path), **SIZES, **lengths)
    assert corpora.make_splits("gsm8k", "", **SIZES, **lengths) == local
    rows["train"][3] = {"question": "?", "answer": "1"}
    with pytest.raises(ValueError, match="^openai/gsm8k, train, row 3: answer: no ####"):
        corpora.make_splits("gsm8k", "", **SIZES, **lengths)


# --- labelled solutions ---


def read_labelled(tmp_path, *rows):
    write(tmp_path / "mine.jsonl", rows)
    return list(corpora.labelled_solutions(tmp_path / "mine.jsonl"))


def test_labelled_solutions_by_hand(tmp_path):
    right = traces.render(["2*3=6", "6-1=5"], "5")
    rows = read_labelled(
        tmp_path,
        {"question": "p", "trace": "2*3 = <<2*3=6>>6\n6-1=5\nA: 5", "is_correct": True},
        {"question": "q", "steps": ["2*3=<<2*3=6>>6\nso", "A: 1,006"], "is_correct": False,
         "first_wrong_step": 1},
        {"question": "p", "trace": right, "is_correct": True, "first_wrong_step": None},
        {"question": "p", "steps": ["2*3=7", "7-1"], "is_correct": False, "first_wrong_step": 0},
    )  # fmt: skip
    assert [list(row.values()) for row in rows] == [
        [0, 0, "mine", "p", traces.render(["2*3 = 6", "6-1=5"], "5"), "5", True, None],
        [1, 0, "mine", "q", traces.render(["2*3=6 so"], "1006"), "1006", False, 1],
        [0, 1, "mine", "p", right, "5", True, None],
        [0, 2, "mine", "p", "<think>\n2*3=7\n7-1", None, False, 0],
    ]
    assert list(rows[0]) == "problem sample source question text answer is_correct first_wrong_unit".split()


def test_labelled_solutions_of_several_models(tmp_path):
    small = {"is_correct": False, "solution": "1+1=<<1+1=3>>3\nA: 3"}
    large = {"is_correct": True, "solution": "1+1=<<1+1=2>>2\nA: 2"}
    rows = read_labelled(tmp_path, {"question": "p", "ground_truth": "A: 2", "small": small, "large": large})
    assert [(row["source"], row["sample"], row["text"], row["is_correct"]) for row in rows] == [
        ("small", 0, traces.render(["1+1=3"], "3"), False),
        ("large", 1, traces.render(["1+1=2"], "2"), True),
    ]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"trace": "1", "is_correct": True}, "question: missing or ill-typed"),
        ({"question": "q", "is_correct": True}, "trace: missing or ill-typed"),
        ({"question": "q", "trace": "1+1=2"}, "is_correct: missing or ill-typed"),
        ({"question": "q", "trace": "1+1=2", "is_correct": 1}, "is_correct: missing or ill-typed"),
        ({"question": "q", "trace": "<<1+1=2>>", "is_correct": True}, "there are no steps"),
        ({"question": "q", "steps": ["1", " "], "is_correct": True}, "steps.1: empty"),
        ({"question": "q", "trace": "1\nA: 1", "is_correct": False, "first_wrong_step": 2},
         "first_wrong_step: should be a whole number from 0 to 1, or -1 for none, not 2"),
        *(({"question": "q", "trace": "1\nA: 1", "is_correct": False, "first_wrong_step": wrong},
           f"first_wrong_step: should be a whole number from 0 to 1, or -1 for none, not {wrong!r}")
          for wrong in (True, False, 1.5, float("nan"), "1", -2, [0])),
        ({"question": "q", "steps": ["so <answer> it is", "1"], "is_correct": True}, "steps.0: has <answer>"),
        ({"question": "q", "steps": ["1", "</think>", "2"], "is_correct": True}, "steps.1: has </think>; a"),
        ({"question": "q", "ground_truth": "1", "small": {"is_correct": True}}, "solution: missing"),
    ],
)  # fmt: skip
def test_a_bad_labelled_solution_is_named_by_file_and_line(tmp_path, row, what):
    good = {"question": "q", "trace": "1+1=2", "is_correct": True}
    with pytest.raises(ValueError) as error:
        read_labelled(tmp_path, good, row)
    assert str(error.value).startswith(f"{tmp_path / 'mine.jsonl'}:2: {what}")


@pytest.mark.parametrize(("told", "unit"), [(-1, -1), (-1.0, -1), (1.0, 1), (0, 0), (None, None)])
def test_a_first_wrong_step_may_be_none_and_written_as_pandas_does(tmp_path, told, unit):
    row = {"question": "q", "trace": "1+1=2\n2+2=4\nA: 4", "is_correct": False, "first_wrong_step": told}
    (found,) = read_labelled(tmp_path, row)
    assert found["first_wrong_unit"] == unit and type(found["first_wrong_unit"]) is type(unit)


@pytest.mark.parametrize(
    "trace",
    [
        "<think>\n2*3=6\n</think>\nSo it is six, and\nno other.\n<answer>6</answer>",
        "2*3=6\n</think>\nThe answer is \\boxed{6}.",
        "We write <answer> for the answer.\n2*3=6\n<answer>6</answer>",
        "Before.\n<think>\n2*3=6\n</think>\n\\boxed{6}",
    ],
)
def test_a_text_with_tags_is_scored_as_it_was_given(tmp_path, trace):
    (found,) = read_labelled(tmp_path, {"question": "q", "trace": trace, "is_correct": True})
    assert found["text"] == trace and found["answer"] == "6"


plain_lines = st.lists(
    st.text("ab1= .:#\\{}$AnswerTh", min_size=1, max_size=20).map(str.strip).filter(bool),
    min_size=2,
    max_size=4,
)


@given(plain_lines, st.sampled_from(["", "So, the answer is 5.", "A: 5", "#### 5", r"It is \\boxed{5}."]))
def test_no_line_of_a_text_is_lost(lines, last):
    given_lines = [*lines, last] if last else lines
    row = {"question": "q", "trace": "\n".join(given_lines), "is_correct": True}
    fields = corpora._solution(row, "trace")
    steps = traces.parse(fields["text"]).steps
    kept = [line.strip() for line in given_lines]
    assert steps in (kept, kept[:-1])
    if steps != kept:
        assert fields["answer"] and fields["answer"] in kept[-1].replace(",", "")


def test_a_json_array_is_read_as_lines_are(tmp_path):
    row = {"question": "q", "trace": "1+1=2\nA: 2", "is_correct": True}
    write(tmp_path / "mine.jsonl", [row, row])
    (tmp_path / "array").mkdir()
    (tmp_path / "array" / "mine.json").write_text(json.dumps([row, row], indent=1))
    lines, array = (list(corpora.labelled_solutions(tmp_path / p)) for p in ("mine.jsonl", "array/mine.json"))
    assert lines == array and len(array) == 2
    for text, what in (
        ("[1]", ", row 0: expected a JSON object"),
        ("[{", ": not JSON: "),
        ("[{}]", ", row 0: question"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError) as error:
            list(corpora.labelled_solutions(tmp_path / "bad.json"))
        assert str(error.value).startswith(f"{tmp_path / 'bad.json'}{what}")


def test_processbench_is_read_as_published():
    if "STUDY_PROCESSBENCH" not in os.environ:
        pytest.skip("STUDY_PROCESSBENCH names no directory with ProcessBench's gsm8k.json")
    path = Path(os.environ["STUDY_PROCESSBENCH"]) / "gsm8k.json"
    published, rows = json.loads(path.read_text()), list(corpora.labelled_solutions(path))
    assert [row["first_wrong_unit"] for row in rows] == [row["label"] for row in published]
    assert [row["is_correct"] for row in rows] == [row["final_answer_correct"] for row in published]
    assert [row["source"] for row in rows] == [row["generator"] for row in published]
    for row, given_row in zip(rows, published, strict=True):
        steps = traces.parse(row["text"]).steps
        assert steps == [" ".join(step.split()) for step in given_row["steps"]][: len(steps)]
        assert len(steps) >= len(given_row["steps"]) - 1 and row["first_wrong_unit"] <= len(steps)
    boxed = ["\\boxed" in "".join(row["steps"]) for row in published]
    assert all(row["answer"] for row, box in zip(rows, boxed, strict=True) if box)
