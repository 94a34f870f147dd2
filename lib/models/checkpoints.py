"""Takes up a killed training: its last whole checkpoint, and what transformers and TRL leave out of one."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lib import files

STATE, MADE_WITH = "trainer_state.json", "made_with.json"


def last(directory: str | Path) -> Path | None:
    """The latest checkpoint under a directory that was written whole; None if there is none."""
    whole = [path.parent for path in Path(directory).glob(f"checkpoint-*/{STATE}") if _read(path)]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def keep_only(directory: str | Path, made_with: dict) -> None:
    """Empty a directory unless what it holds was made with the same parameters, and note these there."""
    directory = Path(directory)
    if _read(directory / MADE_WITH) != made_with:
        shutil.rmtree(directory, ignore_errors=True)
        files.write_json(directory / MADE_WITH, made_with)


def save_discriminator(directory: str | Path, model, optimizer, scheduler) -> None:
    """Write the trained parameters and the state of what trains them."""
    directory = Path(directory)
    weights = {name: p.detach() for name, p in model.trained().items()}
    save_file(weights, directory / "discriminator.safetensors")
    states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save(states, directory / "discriminator_optimizer.pt")


def load_discriminator(directory: str | Path, model, optimizer, scheduler) -> None:
    """Read what `save_discriminator` wrote into objects of the same shape."""
    directory = Path(directory)
    saved = load_file(directory / "discriminator.safetensors")
    for name, parameter in model.trained().items():
        parameter.data.copy_(saved[name])
    states = torch.load(directory / "discriminator_optimizer.pt", weights_only=True)
    optimizer.load_state_dict(states["optimizer"])
    scheduler.load_state_dict(states["scheduler"])


def save_process(directory: str | Path, index: int, rng, health) -> None:
    """Write what a process of a training has of its own: its random numbers, its health."""
    state = {"random": rng.getstate(), "health": vars(health)}
    files.write_json(Path(directory) / f"airl_{index}.json", state)


def load_process(directory: str | Path, index: int, rng, health) -> None:
    """Read what `save_process` wrote into new objects of the same kind."""
    state = json.loads((Path(directory) / f"airl_{index}.json").read_text(encoding="utf-8"))
    version, numbers, gauss = state["random"]
    rng.setstate((version, tuple(numbers), gauss))
    vars(health).update(state["health"])


def epochs(checkpoint: str | Path) -> int:
    """How many epochs a checkpoint's training had been through."""
    return int(_read(Path(checkpoint) / STATE)["epoch"])


def _read(path: Path) -> dict | None:
    """A JSON file; None where it is missing or was not written to its end."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
