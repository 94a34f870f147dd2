"""Run records: what a run was, did and wrote, saved whole or not at all.

A record is a directory: `run.json` (see `Run`), `log.csv` (one row a logged step), `samples.jsonl.gz`
(one row a sampled trace), `watched.jsonl.gz` of some (see `lib.watch`), and whatever was trained.
"""

import csv
import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "scikit-learn")
FOLDER_STAGES = {
    "data": "data",
    "backbones": "backbone",
    "scores": "reranking",
    "localisation": "localisation",
    "transfer": "transfer",
    "external": "external",
}
WATCHED = "watched.jsonl.gz"
METHOD_STAGES = {"base": "backbone", "sft": "sft", "grpo": "grpo"}


class Run(BaseModel):
    """The contents of run.json.

    `metrics` are fractions and the like; `seconds` is the training's time; `status` says why a run that
    degenerated was stopped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backbone: str
    method: str
    seed: int
    profile: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    versions: dict[str, str]
    code_sha256: str
    data_sha256: str
    hardware: str
    seconds: float
    peak_memory_mib: float
    status: str = "completed"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 1)


@contextmanager
def record(directory: str | Path) -> Iterator[Path]:
    """A temporary directory to write into, which takes the place of `directory` if all goes well."""
    directory = Path(directory)
    temporary = directory.with_name(directory.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write(directory: str | Path, run: Run, *, log: list[dict], samples: list[dict]) -> None:
    """Write run.json, samples.jsonl.gz and, unless there is no log, log.csv; call it within `record`."""
    directory = Path(directory)
    write_json(directory / "run.json", run.model_dump())
    write_rows(directory / "samples.jsonl.gz", samples)
    if log:
        write_log(directory / "log.csv", log)


def read(directory: str | Path) -> Run:
    """The run.json of a record. Raises ValueError naming the file and the field or the stage to run."""
    path = require(Path(directory) / "run.json")
    try:
        return Run.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, indented; the file appears whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _replace(Path(path), text.encode())


def write_rows(path: str | Path, rows: Iterable[dict]) -> None:
    """Write rows as gzipped JSON lines, the same bytes for the same rows; floats should come rounded."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _replace(Path(path), gzip.compress("".join(lines).encode(), mtime=0))


def read_rows(path: str | Path) -> list[dict]:
    """Read gzipped JSON lines.

    Raises ValueError `path: what` for a missing or damaged file, `path:line: what` for a bad line.
    """
    path = require(path)
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not gzipped text ({error}); delete it and run `dvc repro`") from error
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: expected a JSON object")
        rows.append(row)
    return rows


def write_log(path: str | Path, rows: list[dict]) -> None:
    """Write logged metrics as CSV, six digits; columns as first seen, a metric not logged in a row empty."""
    path = Path(path)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    os.replace(temporary, path)


def require(path: str | Path) -> Path:
    """The path, if it is there; else raises ValueError with the stage that makes it."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file; run `dvc repro`, whose stage {stage_of(path)} makes it")
    return path


def stage_of(path: str | Path) -> str:
    """The stage of dvc.yaml that writes a record or another file under `results`."""
    parts = Path(path).parts
    for i, part in enumerate(parts):
        if part == "runs" and len(parts) > i + 2:
            return METHOD_STAGES.get(parts[i + 2], "irl, ablation or sft_ablation")
        if part in FOLDER_STAGES:
            return FOLDER_STAGES[part]
    return "results"


def provenance() -> dict[str, Any]:
    """The fields of `Run` that tell what ran where: versions, code hash, hardware, peak memory."""
    packages = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "versions": {"python": platform.python_version()} | packages,
        "code_sha256": sha256(sorted(Path(__file__).parent.glob("*.py"))),
        "hardware": f"{_cpu()}, {os.cpu_count()} cores",
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }


def sha256(paths: Iterable[str | Path]) -> str:
    """The SHA-256 of some files, of their names and contents in the given order, in hexadecimal."""
    digest = hashlib.sha256()
    for path in map(Path, paths):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def peak_memory_mib() -> float:
    """The largest resident memory that this process or an ended one that it started has had, in MiB."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / unit


def _cpu() -> str:
    """The processor's model name where the system tells, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
