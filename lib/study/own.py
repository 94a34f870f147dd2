"""The parameters of a study of one's own demonstrations, printed: what `make own` runs.

`python -m lib.study.own STUDY [MODEL]`: STUDY is the study's directory, with the lines in
demonstrations/train.jsonl; MODEL a directory or a name on the hub, without one SmolLM2 of `make weights`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lib.data import corpora
from lib.data.demonstrations import Demonstration
from lib.schema import merge
from lib.study import params
from lib.text import perturb

PROFILE, DATA = "own", "demonstrations"
LEAST, MOST = 10, 200  # questions of validation and of test, each, and the fewest demonstrations


def sizes(rows: Sequence[Demonstration]) -> dict:
    """The section `data` for some demonstrations: a fifth of the questions for validation and for test each.

    The longest tenth, if it is longer than all others, is for the test on longer ones. Raises ValueError if
    there are too few.
    """
    lengths = sorted({row.question: row.n_steps for row in rows}.values())
    n, held = len(lengths), min(max(LEAST, len(lengths) // 5), MOST)
    ordinary = lengths[: max(int(0.9 * n), 1)][-1:]
    longer = [length for length in lengths if [length] > ordinary]
    steps = [length for length in lengths if length not in longer]
    test_long = len(longer) or 1
    left = n - 2 * held - test_long - 1  # one for the split of questions without traces
    if left < LEAST:
        raise ValueError(
            f"{n} questions; {n + LEAST - left} or more are needed, {held} of them for validation and "
            f"{held} for test"
        )
    return {
        "train": 1,
        "demonstrations": left,
        "validation": held,
        "test": held,
        "steps": sorted(set(steps)),
        "test_long": test_long,
        "long_steps": sorted(set(longer or steps)),
    }


def _check(rows: Sequence[Demonstration]) -> None:
    """Raise ValueError for a question that comes twice, and where few traces can be struck by a rule: near
    misses are what the report finds errors in."""
    seen: set[str] = set()
    for row in rows:
        if row.question in seen:
            raise ValueError(
                f"the question of {row.id} comes twice: {row.question[:60]!r}; keep one trace of it"
            )
        seen.add(row.question)
    struck = sum(perturb.applies(row.question, row.trace, perturb.SETS["all"]) for row in rows)
    if 2 * struck < len(rows):
        raise ValueError(
            f"{len(rows) - struck} of {len(rows)} traces have no calculation, number, listed option, yes/no "
            "or true/false in which an error could be made; half of them need one"
        )


def parameters(study: Path, model: str) -> dict:
    """The profile `own` with the sizes and the model of a study. Raises ValueError for lines that cannot be
    read, by file and line, and for too few of them."""
    lines = study / DATA / "train.jsonl"
    rows = corpora.read("jsonl", str(study / DATA), "train")
    try:
        _check(rows)
        data = sizes(rows)
    except ValueError as error:
        raise ValueError(f"{lines}: {error}") from error
    learned = {"demonstrations": data["demonstrations"]}
    overlay = {"data": data, "sft": learned, "airl": learned | {"prompts_per_step": data["demonstrations"]}}
    if model:
        path = str(Path(model).resolve()) if Path(model).is_dir() else model  # the study runs elsewhere
        source = {"path": path, "gguf": "", "sha256": "", "four_bit": False}
        overlay["pretrained"] = {PROFILE: source}
    if torch.cuda.is_available():
        overlay["training"] = {"launch": "launch/one_gpu.yaml"}
    tree = merge(params.apply_profile("params.yaml", PROFILE), overlay)
    params.validate(tree, "params.yaml, profile own")
    return tree


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m lib.study.own STUDY [MODEL]")
    study, *model = sys.argv[1:]
    try:
        tree = parameters(Path(study), "".join(model))
    except ValueError as error:
        sys.exit(str(error))
    params.dump(tree, sys.stdout)


if __name__ == "__main__":
    main()
