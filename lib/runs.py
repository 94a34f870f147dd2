"""Run records: what a run was, did and wrote, saved whole or not at all.

A record is a directory: `run.json` (see `Run`), `log.csv` (one row a logged step), `samples.jsonl.xz`
(one row a sampled trace), `tempered.jsonl.xz` and `long.jsonl.xz` (at other temperatures, of longer
problems), `watched.jsonl.xz` of some (on the way of a training), what a reward says of samples, and whatever
was trained.
"""

import csv
import importlib.metadata
import json
import lzma
import os
import platform
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lib import files

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "scikit-learn")
FOLDER_STAGES = {
    "data": "data",
    "backbones": "backbone",
    "localisation": "localisation",
    "external": "external",
}
SAMPLES, LONG, WATCHED = "samples.jsonl.xz", "long.jsonl.xz", "watched.jsonl.xz"
TEMPERED = "tempered.jsonl.xz"  # test samples at other temperatures than that of training
KNOWN = "known.jsonl.xz"  # validation samples of the policies that rewards judge
SCORES, LOCALISATION, TRANSFER = (
    "scores.jsonl.xz",
    "localisation.jsonl.xz",
    "transfer.jsonl.xz",
)  # of a reward
OF_TEXT = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}]  # a sixth smaller
LABELLED = ("outcome_labels", "step_labels")  # rewards without a policy, whose records hold no samples
JUDGED = ("base", "sft")  # the policies whose samples rewards judge
MOVED = ("airl", "likelihood")  # the rewards that are tried away from home
UNREAD = "unread"  # the part of a record that is kept out of git: weights that no later stage needs
OF_GRPO = ("grpo", "grpo_demonstrations", "ttrl")
METHOD_STAGES = {"base": "backbone", "sft": "sft", "spin": "spin"} | dict.fromkeys(OF_GRPO, "grpo")
METHOD_STAGES |= dict.fromkeys(LABELLED, "labelled")


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


def write(directory: str | Path, run: Run, *, log: list[dict], samples: list[dict] | None = None) -> None:
    """Write run.json, of a policy samples.jsonl.xz and, unless there is no log, log.csv.

    To be called within `files.new_directory`.
    """
    directory = Path(directory)
    files.write_json(directory / "run.json", run.model_dump())
    if samples is not None:
        write_rows(directory / SAMPLES, samples)
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


def write_log(path: str | Path, rows: list[dict]) -> None:
    """Write logged metrics as CSV, six digits; columns as first seen, a metric not logged in a row empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with files.new_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


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
            return METHOD_STAGES.get(parts[i + 2], "irl or ablation")
        if part in FOLDER_STAGES:
            return FOLDER_STAGES[part]
    return "results"


def provenance() -> dict[str, Any]:
    """The fields of `Run` that tell what ran where: versions, code hash, hardware, peak memory."""
    packages = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "versions": {"python": platform.python_version()} | packages,
        "code_sha256": files.sha256(sorted(Path(__file__).parent.rglob("*.py"))),
        "hardware": ", ".join([_cpu(), f"{os.cpu_count()} cores", *_gpus()]),
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }


def peak_memory_mib() -> float:
    """The largest resident memory that this process or an ended one that it started has had, in MiB."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / unit


def _gpus() -> list[str]:
    import torch  # takes seconds, and whoever reads records or parameters does without

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _cpu() -> str:
    """The processor's model name where the system tells, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


RESULTS = Path("results")


DATA = RESULTS / "data"


SCRATCH = Path(".scratch")  # where trainers write: checkpoints, which a training that was killed goes on from


def backbone_dir(name: str) -> Path:
    """Where a backbone is saved."""
    return RESULTS / "backbones" / name


def run_dir(backbone: str, method: str, seed: int) -> Path:
    """Where the record of a run is."""
    return RESULTS / "runs" / backbone / method / f"seed{seed}"


def record_of(backbone: str, method: str, seed: int) -> Path:
    """The record of a policy as a seed meets it: of the base policy there is one, whatever the seed."""
    return run_dir(backbone, method, 0 if method == "base" else seed)


def is_kept(part: str, method: str, seed: int) -> bool:
    """Whether git keeps a run's `adapter` or `discriminator`: SFT's, from which others start, and the study's
    own reward of the first seed, for others to take away."""
    return (part, method) == ("adapter", "sft") or (part, method, seed) == ("discriminator", "airl", 0)


def part_of(record: str | Path, part: str) -> Path:
    """Where a record's `adapter` or `discriminator` is, or would be, whether git keeps it or not."""
    unread = Path(record) / UNREAD / part
    return unread if unread.exists() else Path(record) / part


def sft_adapter(backbone: str, seed: int) -> Path:
    """Where the adapter of SFT is. Raises ValueError if it was not trained."""
    return part_of(require(run_dir(backbone, "sft", seed)), "adapter")


def samples(backbone: str, method: str, seed: int) -> list[dict]:
    """The recorded test samples of a run; of the base policy there is one, whatever the seed."""
    return read_rows(record_of(backbone, method, seed) / SAMPLES)


def write_rows(path: str | Path, rows: Iterable[dict]) -> None:
    """Write rows as JSON lines in xz, the same bytes for the same rows; floats should come rounded."""
    compact = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    lines = (json.dumps(row, **compact) + "\n" for row in rows)
    files.write_bytes(Path(path), lzma.compress("".join(lines).encode(), filters=OF_TEXT))


def read_rows(path: str | Path) -> list[dict]:
    """Read JSON lines in xz.

    Raises ValueError `path: what` for a missing or damaged file, `path:line: what` for a bad line.
    """
    path = require(path)
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not text in xz ({error}); delete it and run `dvc repro`") from error
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        try:
            row = orjson.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: expected a JSON object")
        rows.append(row)
    return rows
