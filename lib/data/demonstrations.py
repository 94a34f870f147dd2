"""Demonstrations: any dataset as lines of question, trace and answer; the world's splits."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lib import files
from lib.data import world
from lib.grading import answers
from lib.text import traces

Text = Annotated[str, Field(min_length=1), AfterValidator(traces.normalised), Field(min_length=1)]


class Demonstration(BaseModel):
    """A question, an expert's trace that ends in the answer, and where the question comes from.

    Question and trace are `traces.normalised`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(min_length=1)
    question: Text
    trace: Text
    answer: str = Field(min_length=1)
    family: str
    n_steps: int = Field(ge=0)  # 0 where the answer alone is known


def read_jsonl(path: str | Path) -> list[Demonstration]:
    """Read demonstrations, one JSON object a line.

    Raises ValueError `path:line: what` for the first line that is not JSON, has a missing, unknown
    or ill-typed field, or a trace whose answer is missing or is not `answer`.
    """
    rows = []
    for where, fields in json_objects(path):
        try:
            rows.append(check(fields))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if not rows:
        raise ValueError(f"{path}: no demonstrations in the file; write one JSON object a line")
    return rows


def json_objects(path: str | Path) -> Iterator[tuple[str, dict]]:
    """The JSON objects of a file, one a line, each after `path:line`, where it stands.

    Raises ValueError `path:line: what` for a line that is not a JSON object.
    """
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}:{number}"
            try:
                fields = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON: {error}") from error
            if not isinstance(fields, dict):
                raise ValueError(f"{where}: expected a JSON object")
            yield where, fields


def check(fields: dict) -> Demonstration:
    """A demonstration of these fields.

    Raises ValueError for a missing, unknown or ill-typed field, or a trace whose answer is missing or
    is not `answer`.
    """
    try:
        row = Demonstration.model_validate(fields)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ValueError("; ".join(problems)) from error
    answer = traces.parse(row.trace).answer
    if answer is None:
        raise ValueError(f"trace: no answer; end it with {traces.ANSWER_OPEN}..{traces.ANSWER_CLOSE}")
    if answer != row.answer and not answers.is_correct(answer, row.answer):
        raise ValueError(f"trace: it answers {answer!r}, but the field answer is {row.answer!r}")
    return row


def write_jsonl(path: str | Path, rows: Iterable[Demonstration]) -> None:
    """Write demonstrations, one JSON object a line; the file appears whole or not at all."""
    lines = (json.dumps(row.model_dump(), ensure_ascii=False) + "\n" for row in rows)
    files.write_text(path, "".join(lines))


def make_world_splits(
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
    """The embedded world's splits, of the given sizes; no question is in two of them, or twice in one.

    Every split has its own random numbers, and the held-out ones are drawn first, so that a larger
    training set leaves them as they are. Families and numbers of steps take turns; `test_long` has
    `long_steps`, every other split `steps`.
    """
    sizes = {
        "test": test,
        "validation": validation,
        "demonstrations": demonstrations,
        "train": train,
        "test_long": test_long,
    }
    families = list(world.FAMILIES)
    seen: set[str] = set()
    splits = {}
    for split, size in sizes.items():
        rng = random.Random(f"{seed} {split}")
        rows = splits[split] = []
        while len(rows) < size:
            i = len(rows)
            lengths = long_steps if split == "test_long" else steps
            n_steps = lengths[i // len(families) % len(lengths)]
            problem = world.generate(rng, families[i % len(families)], n_steps)
            if problem.question in seen:
                continue
            seen.add(problem.question)
            trace, answer = world.expert(problem)
            rows.append(
                Demonstration(
                    id=f"{split}-{i:05d}",
                    question=problem.question,
                    trace=trace,
                    answer=answer,
                    family=problem.family,
                    n_steps=n_steps,
                )
            )
    return splits
