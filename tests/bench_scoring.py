"""Scoring many traces with an exported reward: `python -m tests.bench_scoring`.

Traces are the recorded samples of the base policy. The table shows how much faster a batch is than a call a
trace, and the peak memory of `lib.reward.score_file` over few lines and over ten times as many.
"""

import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from lib import runs
from lib.data import splits
from lib.reward import score_file
from lib.reward.reward import Reward
from lib.study import export, params

TRACES, ALONE, LINES = 10_000, 200, 2_000
RUN = ("qwen2", "airl", 0)


def pairs() -> list[tuple[str, str]]:
    """Questions of the test split with samples of the base policy."""
    problems, (backbone, _, _) = splits.split("test"), RUN
    rows = runs.samples(backbone, "base", 0)
    return [(problems[row["problem"]].question, row["text"]) for row in rows][:TRACES]


def peak_of_scoring(directory: Path, source: Path) -> float:
    """Peak memory of scoring a file, in MiB; to be called in a process of its own."""
    score_file.score_file(Reward.load(directory), source, source.with_suffix(".out"))
    return runs.peak_memory_mib()


def main() -> None:
    asked = pairs()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "reward"
        export.export(runs.run_dir(*RUN), directory, params.load())
        reward = Reward.load(directory)
        reward.score_pairs(asked[:64])
        start = time.perf_counter()
        for question, trace in asked[:: len(asked) // ALONE]:
            reward.score(question, [trace])
        alone = (time.perf_counter() - start) / len(asked[:: len(asked) // ALONE])
        start = time.perf_counter()
        reward.score_pairs(asked)
        together = (time.perf_counter() - start) / len(asked)

        peaks = []
        for n in (LINES, 10 * LINES):
            source = Path(scratch) / f"{n}.jsonl"
            with source.open("w", encoding="utf-8") as out:
                for i in range(n):
                    question, trace = asked[i % len(asked)]
                    out.write(json.dumps({"question": question, "trace": trace}) + "\n")
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                peaks.append(pool.submit(peak_of_scoring, directory, source).result())

    print(f"\n{len(asked)} traces, {torch.get_num_threads()} thread(s)")
    rows = [
        ("a call a trace, ms a trace", 1e3 * alone, ""),
        ("all at once, ms a trace", 1e3 * together, ""),
        ("times as fast, at least 5", alone / together, "5"),
        (f"peak memory over {LINES} lines, MiB", peaks[0], ""),
        (f"peak memory over {10 * LINES} lines, MiB", peaks[1], ""),
    ]
    for name, value, least in rows:
        print(f"{name:48}{value:10.2f}{'  UNDER' if least and value < float(least) else ''}")


if __name__ == "__main__":
    main()
