"""Scores traces from the command line: JSON lines in, JSON lines out, however many there are.

`python -m lib.reward.score_file REWARD IN.jsonl OUT.jsonl`. A line of IN has a `question` and a `trace`, or
`traces`, a list, and whatever else. It comes back as it is with `scored` beside: of a trace `reward`,
`steps`, `tokens` (see `lib.reward.reward.Score`) and `first_error` (null for none), of traces `rewards` and
`ranking`, their places from the best. A line that cannot be scored is named on stderr, has its place in OUT
with `scored` alone, in which is `error`, and makes the exit code 1: what is not JSON, NaN and numbers too
large for a float included, and what has a field `scored` already. Blank lines are left out and counted.
"""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from lib import files
from lib.reward.reward import Reward, Score

CHUNK = 1024  # lines in memory at once
SCORED = "scored"  # the field that has all that is said of a line, so that the line's own fields stay


def score_file(reward: Reward, source: str | Path, target: str | Path) -> int:
    """Score every line of a file; `target` appears whole or not at all. Returns how many lines were bad."""
    bad = blank = 0
    with (
        open(source, "rb") as lines,
        files.new_file(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        numbered = enumerate(tqdm(lines, desc="scoring", unit=" lines"), start=1)
        while chunk := list(islice(numbered, CHUNK)):
            written = [(number, _parsed(line)) for number, line in chunk if line.strip()]
            blank += len(chunk) - len(written)
            scored = _scored(reward, [row for _, row in written])
            for (number, _), row in zip(written, scored, strict=True):
                if isinstance(row, ValueError):
                    bad += 1
                    print(f"{source}:{number}: {row}", file=sys.stderr)
                    row = {SCORED: {"error": str(row)}}
                out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    if blank:
        print(f"{source}: {blank} blank lines left out", file=sys.stderr)
    return bad


def _scored(reward: Reward, rows: list[dict | ValueError]) -> Iterator[dict | ValueError]:
    """The rows with what the reward says, in order; all their traces are scored together."""
    good = [row for row in rows if isinstance(row, dict)]
    pairs = [(row["question"], trace) for row in good for trace in _traces(row)]
    scores = iter(reward.score_pairs(pairs))
    for row in rows:
        yield (
            row | {SCORED: _said(reward, row, list(islice(scores, len(_traces(row)))))}
            if isinstance(row, dict)
            else row
        )


def _said(reward: Reward, row: dict, scores: list[Score]) -> dict:
    if "trace" in row:
        (score,) = scores
        return {
            "reward": score.trace,
            "steps": score.steps,
            "tokens": score.tokens,
            "first_error": reward.first_error_of(score),
        }
    rewards = [score.trace for score in scores]
    return {"rewards": rewards, "ranking": sorted(range(len(rewards)), key=lambda i: -rewards[i])}


def _parsed(line: bytes) -> dict | ValueError:
    """A line's fields, or what is wrong with it."""
    try:
        return _checked(json.loads(line, parse_constant=_no_number))
    except RecursionError:
        return ValueError("not JSON: nested too deeply")
    except json.JSONDecodeError as error:
        return ValueError(f"not JSON: {error}")
    except UnicodeError:
        return ValueError("not Unicode text")
    except ValueError as error:
        return error


def _checked(row) -> dict:
    if not isinstance(row, dict):
        raise ValueError("expected a JSON object")
    _writable(row)
    if SCORED in row:
        raise ValueError(f"{SCORED}: the name is taken; rename the field")
    if not isinstance(row.get("question"), str):
        raise ValueError("question: missing or not a text")
    if ("trace" in row) == ("traces" in row):
        raise ValueError("give either trace, a text, or traces, a list of texts")
    if "traces" in row and not isinstance(row["traces"], list):
        raise ValueError("traces: not a list")
    for i, trace in enumerate(_traces(row)):
        where = "trace" if "trace" in row else f"traces.{i}"
        if not isinstance(trace, str):
            raise ValueError(f"{where}: not a text")
        if not trace.strip():
            raise ValueError(f"{where}: empty")
    return row


def _writable(row: dict) -> None:
    """Raises ValueError for what can be read and not written: a lone surrogate, a number that is infinite."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError("not JSON: a number is too large") from error
    text.encode()


def _no_number(name: str):
    raise ValueError(f"not JSON: {name}; write null")


def _traces(row: dict) -> list[str]:
    return [row["trace"]] if "trace" in row else row["traces"]


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: python -m lib.reward.score_file REWARD IN.jsonl OUT.jsonl")
    directory, source, target = sys.argv[1:]
    try:
        bad = score_file(Reward.load(directory), source, target)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    if bad:
        sys.exit(f"{bad} lines could not be scored; see `{SCORED}.error` in {target}")


if __name__ == "__main__":
    main()
