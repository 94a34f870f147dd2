import itertools
import json

import pytest

from lib.data import demonstrations, world
from lib.text import traces

SIZES = {"train": 60, "demonstrations": 12, "validation": 24, "test": 36, "test_long": 6}
STEPS = {"steps": [1, 2], "long_steps": [3, 4]}


@pytest.fixture(scope="module")
def splits():
    return demonstrations.make_world_splits(**SIZES, **STEPS, seed=0)


def test_splits_have_their_sizes_and_never_overlap(splits):
    assert {name: len(rows) for name, rows in splits.items()} == SIZES
    questions = [row.question for rows in splits.values() for row in rows]
    assert len(set(questions)) == len(questions) == sum(SIZES.values())
    assert len({row.id for rows in splits.values() for row in rows}) == len(questions)


def test_families_and_steps_take_turns(splits):
    kinds = [(row.family, row.n_steps) for row in splits["test"]]
    assert {k: kinds.count(k) for k in kinds} == dict.fromkeys(itertools.product(world.FAMILIES, [1, 2]), 6)
    assert {row.n_steps for row in splits["test_long"]} == {3, 4}
    rows = [*splits["test"], *splits["test_long"]]
    assert all(len(traces.parse(row.trace).steps) == row.n_steps for row in rows)


def test_splits_depend_on_the_seed_alone(splits):
    assert demonstrations.make_world_splits(**SIZES, **STEPS, seed=0) == splits
    other = demonstrations.make_world_splits(**SIZES, **STEPS, seed=1)
    assert not {r.question for r in other["test"]} & {r.question for r in splits["test"]}


def test_a_larger_training_set_leaves_the_other_splits_as_they_are(splits):
    larger = demonstrations.make_world_splits(**{**SIZES, "train": 90}, **STEPS, seed=0)
    assert larger["train"][:60] == splits["train"]
    assert all(larger[name] == splits[name] for name in ("demonstrations", "validation", "test"))


def test_a_file_comes_back_as_it_was_written(tmp_path, splits):
    path = tmp_path / "data" / "rows.jsonl"
    rows = [*splits["test"], splits["test"][0].model_copy(update={"question": "Für wen, 多少?\nHow many?"})]
    demonstrations.write_jsonl(path, rows)
    assert demonstrations.read_jsonl(path) == rows
    assert [p.name for p in path.parent.iterdir()] == ["rows.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path, splits):
    path = tmp_path / "rows.jsonl"
    demonstrations.write_jsonl(path, splits["test"])

    def broken():
        yield splits["train"][0]
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        demonstrations.write_jsonl(path, broken())
    assert demonstrations.read_jsonl(path) == splits["test"]


GOOD = {
    "id": "a",
    "question": "2 and 2?",
    "trace": "<think>\n2 + 2 = 4\n</think>\n<answer>4</answer>",
    "answer": "4",
    "family": "f",
    "n_steps": 1,
}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1]", "expected a JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "trace"}), "trace: Field required"),
        (json.dumps({**GOOD, "n_steps": "1"}), "n_steps: Input should be a valid integer"),
        (json.dumps({**GOOD, "question": ""}), "question: String should have at least 1"),
        (json.dumps({**GOOD, "question": " \n"}), "question: "),
        (json.dumps({**GOOD, "colour": 1}), "colour: Extra inputs are not permitted"),
        (json.dumps({**GOOD, "trace": "2 + 2 = 4"}), "trace: no answer; end it with <answer>"),
        (json.dumps({**GOOD, "answer": "5"}), "trace: it answers '4', but the field answer is '5'"),
        (b'"\xff"', "not JSON"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number(tmp_path, line, what):
    path = tmp_path / "rows.jsonl"
    line = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError) as error:
        demonstrations.read_jsonl(path)
    assert str(error.value).startswith(f"{path}:2: ") and what in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.touch()
    with pytest.raises(ValueError, match="no demonstrations in the file"):
        demonstrations.read_jsonl(path)


def test_texts_are_read_without_carriage_returns_and_trailing_space(tmp_path):
    path = tmp_path / "rows.jsonl"
    given = {**GOOD, "question": "2 and\r\n2? ", "trace": GOOD["trace"].replace("\n", "\r\n") + " \r\n\n"}
    path.write_text(json.dumps(given))
    (read,) = demonstrations.read_jsonl(path)
    assert (read.question, read.trace) == ("2 and\n2?", GOOD["trace"])


def test_answers_are_compared_by_value(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**GOOD, "answer": "04"}))
    assert demonstrations.read_jsonl(path)[0].answer == "04"
