"""A study of one's own demonstrations: its sizes can be had, and bad lines are named."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import corpora
from lib.data.demonstrations import Demonstration
from lib.study import own

ROOT = Path(__file__).parents[2]


def line(i: int, n_steps: int = 2) -> dict:
    steps = [f"{i}+{j}={i + j}" for j in range(n_steps)]
    return {"question": f"What is {i}?", "trace": "\n".join(steps), "answer": str(i)}


def write(study: Path, lines: list) -> Path:
    file = study / "demonstrations/train.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(fields) + "\n" for fields in lines), encoding="utf-8")
    return study


@given(st.lists(st.integers(1, 7), min_size=0, max_size=120))
@settings(max_examples=60)
def test_what_is_asked_for_can_be_had_and_a_fifth_is_held_out(lengths):
    rows = [
        Demonstration(id=str(i), question=f"q{i}", trace="x", answer="1", family="jsonl", n_steps=n)
        for i, n in enumerate(lengths)
    ]
    try:
        data = own.sizes(rows)
    except ValueError as error:
        assert "or more are needed" in str(error) and len(rows) < 60
        return
    assert data["validation"] == data["test"] == max(10, len(rows) // 5) and data["demonstrations"] >= 10
    assert data["train"] + data["demonstrations"] + 2 * data["test"] + data["test_long"] == len(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "read", lambda *_: list(rows))
        splits = corpora.make_splits("jsonl", "nowhere", **data, seed=0)
    assert {name: len(of) for name, of in splits.items()} == {
        name: data[name] for name in ("test", "test_long", "validation", "demonstrations", "train")
    }


def test_fifty_lines_without_tags_are_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = write(tmp_path, [line(i, 1 + i % 4) for i in range(50)])
    tree = own.parameters(study, "some/model")
    assert tree["data"]["demonstrations"] == tree["sft"]["demonstrations"] == tree["airl"]["demonstrations"]
    assert tree["pretrained"]["own"] == {"path": "some/model", "gguf": "", "sha256": "", "four_bit": False}
    assert own.parameters(study, "")["pretrained"]["own"]["gguf"].startswith("smollm2")
    (first, *_) = corpora.read("jsonl", str(study / "demonstrations"), "train")
    assert first.trace == "<think>\n0+0=0\n</think>\n<answer>0</answer>"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"question": "?", "trace": "1+1=2"}, ":31: answer: missing"),
        ({"question": "?", "trace": " ", "answer": "2"}, ":31: trace: empty"),
        (
            {"question": "?", "trace": "<think>\n2\n</think>\n<answer>3</answer>", "answer": "2"},
            ":31: trace: it",
        ),
    ],
)
def test_a_bad_line_is_named(bad, says, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = write(tmp_path, [*(line(i) for i in range(30)), bad])
    with pytest.raises(ValueError, match=says):
        own.parameters(study, "")


def test_too_few_lines_say_how_many_are_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = write(tmp_path, [line(i) for i in range(12)])
    with pytest.raises(
        ValueError, match=r"train.jsonl: 12 questions; (\d+) or more are needed, 10 of"
    ) as said:
        own.parameters(study, "")
    needed = int(str(said.value).split("; ")[1].split()[0])
    own.parameters(write(tmp_path, [line(i) for i in range(needed)]), "")
    with pytest.raises(ValueError, match="needed"):
        own.parameters(write(tmp_path, [line(i) for i in range(needed - 1)]), "")


def test_a_question_that_comes_twice_and_traces_without_a_number_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="the question of train-00050 comes twice: 'What is 3"):
        own.parameters(write(tmp_path, [*(line(i) for i in range(50)), line(3)]), "")
    words = [
        {"question": f"Capital of {c}{d}?", "trace": "It is well known.", "answer": f"{c}{d}ville"}
        for c in "abcdefg" for d in "hijklmno"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="56 of 56 traces have no calculation"):
        own.parameters(write(tmp_path, words), "")


def test_ones_own_lines_stay_as_they_are(tmp_path):
    write(tmp_path, [{"question": "?", "trace": "x = 1 << 3\n\n  y <<= 2 is 32", "answer": "32"}])
    (row,) = corpora.read("jsonl", str(tmp_path / "demonstrations"), "train")
    assert row.trace == "<think>\nx = 1 << 3\n  y <<= 2 is 32\n</think>\n<answer>32</answer>"
    assert row.n_steps == 2


def test_without_the_file_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="there is no"):
        own.parameters(tmp_path, "")
