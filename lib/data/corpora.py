"""Published datasets and local files as demonstrations.

GSM8K, MedReason and MMLU-Pro come from the hub, or from a local directory with a file of the same rows for
each published split, such as train.jsonl. A dataset of one's own is a directory with a train.jsonl, and a
test.jsonl if its tests are apart, of question, trace and answer.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from lib.data import demonstrations
from lib.data.demonstrations import Demonstration
from lib.grading import endings, quantities
from lib.text import traces

_MARK = re.compile(r"<<[^<>\n]*>>|<<\S*")  # a calculator's, such as <<48/2=24>>; the last may be cut off
_OPTION_LINE = re.compile(r"^([A-J])\. *(.*\S)", re.MULTILINE)
_PROCESSBENCH = {"problem": "question", "final_answer_correct": "is_correct", "label": "first_wrong_step"}


@dataclass(frozen=True)
class Source:
    """Where a dataset's rows are, and what `read` makes of one: the fields of a demonstration, or None.

    `demonstrations`, `train` (and validation) and `test` name the published splits they are drawn from.
    """

    hub: tuple[str, ...]  # what datasets.load_dataset takes; () where there is none
    read: Callable[[dict], dict | None]
    demonstrations: str = "train"
    train: str = "train"
    test: str = "test"


def make_splits(
    dataset: str,
    path: str,
    *,
    train: int,
    demonstrations: int,
    validation: int,
    test: int,
    steps: Sequence[int],
    test_long: int,
    long_steps: Sequence[int],
    seed: int,
) -> dict[str, list[Demonstration]]:
    """A dataset's splits, of the given sizes; no question is in two of them, or twice in one.

    Rows are drawn by seed, the held-out ones first, so that a larger training set leaves them as they are.
    `test_long` has traces of `long_steps`, every other split of `steps`; questions without a published
    trace may be in any but the demonstrations. `path` is a local directory, "" the hub. Raises ValueError
    for rows that cannot be read and where fewer fit than are asked for.
    """
    sizes = {
        "test": test,
        "test_long": test_long,
        "validation": validation,
        "demonstrations": demonstrations,
        "train": train,
    }
    source = SOURCES[dataset]
    tests_apart = dataset != "jsonl" or (Path(path) / "test.jsonl").exists()
    tests = source.test if tests_apart else source.train
    published = {"test": tests, "test_long": tests, "demonstrations": source.demonstrations}
    pools: dict[str, list[Demonstration]] = {}
    seen: set[str] = set()
    splits = {}
    for split, size in sizes.items():
        name = published.get(split, source.train)
        if name not in pools:
            pools[name] = read(dataset, path, name)
            random.Random(f"{seed} {name}").shuffle(pools[name])
        lengths = {*(long_steps if split == "test_long" else steps)}
        if split != "demonstrations":
            lengths.add(0)
        fitting = {
            row.question: row for row in pools[name] if row.n_steps in lengths and row.question not in seen
        }
        if len(fitting) < size:
            raise ValueError(
                f"data.{split}: {size} asked for, but {dataset} has {len(fitting)} such questions left in "
                f"{name}; see data.{'long_steps' if split == 'test_long' else 'steps'}"
            )
        splits[split] = list(fitting.values())[:size]
        seen |= {row.question for row in splits[split]}
    return splits


def labelled_solutions(path: str | Path) -> Iterator[dict]:
    """The solutions of a file that says which are correct.

    Reads JSON lines, or one JSON array, of question, trace (or steps, a list), is_correct and perhaps
    first_wrong_step, counted from 0, -1 for none; GSM8K's published example_model_solutions.jsonl; and
    ProcessBench's gsm8k.json. Yields rows of `problem` (its number by first appearance), `sample` (its number
    within the problem), `source` (the model, or the file), `question`, `text` (a trace), `answer` (None where
    none can be read, see `lib.grading.endings`), `is_correct` and `first_wrong_unit` (-1 for none, None where
    it is not told).

    A text with tags stays as it is. One without gets them, and its answer: a last line that says nothing else
    becomes it, any other stays a step. Raises ValueError `path:line: what`, or `path, row: what` of an array,
    for a row without these fields.
    """
    problems: dict[str, tuple[int, Iterator[int]]] = {}
    for where, row in _json_rows(path):
        try:
            if "question" not in row:
                row = {_PROCESSBENCH.get(name, name): value for name, value in row.items()}
            question = _text(row, "question")
            if "ground_truth" in row:
                models = [name for name in row if name not in ("question", "ground_truth")]
                found = {name: _solution(_field(row, name, dict), "solution") for name in models}
            else:
                source = _field(row, "generator", str) if "generator" in row else Path(path).stem
                found = {source: _solution(row, "trace")}
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        problem, samples = problems.setdefault(question, (len(problems), count()))
        for source, fields in found.items():
            place = {"problem": problem, "sample": next(samples), "source": source}
            yield {**place, "question": question, **fields}


# --- a row of each dataset ---


def _gsm8k(row: dict) -> dict:
    solution, found, answer = _text(row, "answer").rpartition("####")
    if not (found and answer.strip()):
        raise ValueError("answer: no #### with the answer after it")
    return _fields(_text(row, "question"), solution, quantities.SEPARATOR.sub("", answer.strip()), "gsm8k")


def _medreason(row: dict) -> dict | None:
    """The options follow the question; None for an open question, or an answer that is none of them."""
    question, reasoning = _text(row, "question"), _text(row, "reasoning")
    said = _text(row, "answer").partition("Explanation:")[0].strip(" .").casefold()
    options = _OPTION_LINE.findall(_field(row, "options", str | None) or "")
    letters = [letter for letter, option in options if option.strip(" .").casefold() == said]
    if len(letters) != 1:
        return None
    question = "\n".join([question, *(f"{letter}. {option}" for letter, option in options)])
    return _fields(question, reasoning, letters[0], _name(_text(row, "dataset_name")))


def _mmlu_pro(row: dict) -> dict:
    letters = dict(zip("ABCDEFGHIJ", _field(row, "options", list), strict=False))
    if (answer := _text(row, "answer")) not in letters:
        raise ValueError(f"answer: {answer!r} is none of the options {', '.join(letters)}")
    options = [f"{letter}. {' '.join(option.split())}" for letter, option in letters.items()]
    question = "\n".join([_text(row, "question"), *options])
    reasoning = _field(row, "cot_content", str).removeprefix("A: Let's think step by step.")
    return _fields(question, reasoning, answer, _name(_text(row, "category")))


def _own(row: dict) -> dict:
    fields = {name: _text(row, name) for name in ("question", "trace", "answer")}
    if not any(tag in fields["trace"] for tag in traces.TAGS):
        steps = [line.rstrip() for line in fields["trace"].split("\n") if line.strip()]
        fields["trace"] = traces.render(steps, fields["answer"])
    return {**fields, "family": "jsonl", "n_steps": len(traces.parse(fields["trace"]).steps)}


SOURCES = {
    "gsm8k": Source(("openai/gsm8k", "main"), _gsm8k),
    "medreason": Source(("UCSC-VLAA/MedReason",), _medreason, test="train"),  # publishes no other
    # publishes reasoning for its 70 validation questions alone
    "mmlu_pro": Source(("TIGER-Lab/MMLU-Pro",), _mmlu_pro, demonstrations="validation", train="test"),
    "jsonl": Source((), _own),
}


def _solution(row: dict, key: str) -> dict:
    """Text, answer, label and first wrong unit of a solution."""
    if "steps" in row:
        lines = [" ".join(_lines(step)) for step in _field(row, "steps", list)]
        for i, line in enumerate(lines):
            if not line:
                raise ValueError(f"steps.{i}: empty")
            if tags := [tag for tag in traces.TAGS if tag in line]:
                raise ValueError(
                    f"steps.{i}: has {tags[0]}; a solution with tags is given as trace, not steps"
                )
    else:
        lines = _lines(_text(row, key))
    given = "\n".join(lines)
    if any(tag in given for tag in traces.TAGS):
        text = given
        answer = traces.parse(text).answer or endings.final_answer(text.rpartition(traces.THINK_CLOSE)[2])
    else:
        answer = endings.final_answer(given)
        steps = lines[:-1] if answer is not None and endings.is_only_answer(lines[-1]) else lines
        text = traces.render(steps, answer) if answer else "\n".join([traces.THINK_OPEN, *steps])
    if not traces.step_spans(text):
        raise ValueError("there are no steps")
    wrong = _first_wrong_step(row, len(traces.unit_spans(text)))
    is_correct = _field(row, "is_correct", bool)
    return {"text": text, "answer": answer, "is_correct": is_correct, "first_wrong_unit": wrong}


def _first_wrong_step(row: dict, n_units: int) -> int | None:
    """The first wrong unit, -1 for none, None where it is not told; 1.0 is 1, as pandas writes it."""
    wrong = row.get("first_wrong_step")
    if isinstance(wrong, float) and wrong.is_integer():
        wrong = int(wrong)
    if wrong is None or (type(wrong) is int and -1 <= wrong < n_units):
        return wrong
    raise ValueError(
        f"first_wrong_step: should be a whole number from 0 to {n_units - 1}, or -1 for none, not {wrong!r}"
    )


# --- rows and their fields ---


def read(dataset: str, path: str, published: str) -> list[Demonstration]:
    """The demonstrations of a published split, in its order; the id says where a row stands in it.

    Raises ValueError for a row that cannot be read, by where it is.
    """
    source, file = SOURCES[dataset], Path(path) / f"{published}.jsonl"
    if path and not file.exists():
        raise ValueError(f"data.path: there is no {file}")
    rows = demonstrations.json_objects(file) if path else _hub_rows(source.hub, published)
    read = []
    for i, (where, row) in enumerate(rows):
        try:
            fields = source.read(row)
            if fields is not None:
                read.append(demonstrations.check({"id": f"{published}-{i:05d}", **fields}))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return read


def _hub_rows(hub: tuple[str, ...], published: str) -> list[tuple[str, dict]]:
    import datasets  # takes a second, and only the hub needs it

    try:
        rows = datasets.load_dataset(*hub, split=published)
    except OSError as error:
        raise ValueError(
            f"{hub[0]} cannot be read from the hub; set data.path to a local directory with its "
            f"{published}.jsonl"
        ) from error
    return [(f"{hub[0]}, {published}, row {i}", row) for i, row in enumerate(rows)]


def _json_rows(path: str | Path) -> Iterator[tuple[str, dict]]:
    """The JSON objects of a file, each after where it stands: one a line, or an array's."""
    text = Path(path).read_bytes()
    if not text.lstrip().startswith(b"["):
        yield from demonstrations.json_objects(path)
        return
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {i}: expected a JSON object")
        yield f"{path}, row {i}", row


def _fields(question: str, reasoning: str, answer: str, family: str) -> dict:
    steps = _lines(reasoning)
    trace = traces.render(steps, answer)
    return {"question": question, "trace": trace, "answer": answer, "family": family, "n_steps": len(steps)}


def _lines(text: str) -> list[str]:
    """The lines of a text that say something, without a calculator's marks."""
    return [line.strip() for line in _MARK.sub("", text).split("\n") if line.strip()]


def _field(row: dict, name: str, kind):
    if name not in row or not isinstance(row[name], kind):
        raise ValueError(f"{name}: missing or ill-typed")
    return row[name]


def _text(row: dict, name: str) -> str:
    if not (text := _field(row, name, str).strip()):
        raise ValueError(f"{name}: empty")
    return text


def _name(family: str) -> str:
    """A family as airl.families can name it."""
    return re.sub(r"\W+", "_", family.lower())
