"""Trains in processes of its own: the same command on one and on many, started by `accelerate launch`.

A notebook calls `train`. Each process runs `python -m lib.study.training.launch BACKBONE METHOD SEED PARAMS`,
goes on from the last checkpoint of a killed training, and the first of them saves what was trained.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoTokenizer

from lib import files, runs
from lib.data import splits
from lib.data.demonstrations import Demonstration
from lib.models import checkpoints, pretrained
from lib.reward import recorded
from lib.reward.reward import backbone_sha256
from lib.schema import Airl, Grpo, Params, Sft, Spin
from lib.study import params
from lib.study.adversarial import choice
from lib.study.adversarial.elections import train_elections
from lib.study.adversarial.training import train_airl
from lib.study.training import policies
from lib.study.training.spin import train_spin

ERROR = re.compile(
    r"^(?:\[rank\d+\]: )?(?!.*(?:ChildFailed|CalledProcess)Error)\w+(?:\.\w+)*Error: (?P<said>.+)"
)

LOGGED = (
    "step loss grad_norm learning_rate pass_rate completion_length entropy kl_to_start "
    "reward_auroc disc_loss disc_accuracy_expert disc_accuracy_policy disc_accuracy_perturbed "
    "reward_expert reward_policy reward_perturbed step_time"
).split()


class Trained(NamedTuple):
    """A trained policy, for AIRL its reward, and the log; `status` says why a run that degenerated stopped.

    The reward may be on another backbone and read other tokens, those of `reward_tokenizer`.
    `directory` holds the files of it: adapter/, for AIRL discriminator/, and what was
    watched.
    """

    model: Any
    tokenizer: Any
    reward_model: Any
    reward_tokenizer: Any
    log: list[dict]
    status: str
    directory: Path


def train(backbone: str, method: str, seed: int, params_file: str) -> Trained:
    """Train a method of `Params.methods` on a backbone.

    Raises ValueError with the message of the process that failed.
    """
    settings = params.load(params_file)
    config = require(settings)
    scratch = _scratch(backbone, method, seed)
    checkpoints.keep_only(scratch, _made_with(backbone, method, seed, settings))
    trained = scratch / "trained"
    if not trained.exists():
        launcher = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--quiet",
            "--config_file",
            str(config),
        ]
        run = ["-m", "lib.study.training.launch", backbone, method, str(seed), params_file]
        _run([*launcher, *run], {"CUDA_VISIBLE_DEVICES": ""} if _on_cpu(config) else {})
    return _load(backbone, method, settings, trained)


def require(settings: Params) -> Path:
    """The launcher's file.

    Raises ValueError if there is none, if it is for GPUs and there is no GPU, or if it is FSDP's, which does
    not gather the merged weights that a policy samples with.
    """
    config = Path(settings.training.launch)
    if not config.exists():
        others = ", ".join(map(str, sorted(config.parent.glob("*.yaml")))) or "none in its directory"
        raise ValueError(f"training.launch: {config}: no such file; there are {others}")
    if not _on_cpu(config) and not torch.cuda.is_available():
        raise ValueError(
            f"training.launch: {config} needs a GPU and this machine has none; take launch/cpu.yaml"
        )
    if _read(config).get("distributed_type") == "FSDP":
        raise ValueError(f"training.launch: {config}: no training shares out weights; take launch/zero2.yaml")
    return config


def _read(config: Path) -> dict:
    return params.parse_value(config.read_text(encoding="utf-8"))


def _on_cpu(config: Path) -> bool:
    return bool(_read(config).get("use_cpu"))


def forget(trained: Trained) -> None:
    """Remove the checkpoints and files of a training that is recorded elsewhere."""
    shutil.rmtree(trained.directory.parent)


def _scratch(backbone: str, method: str, seed: int) -> Path:
    return runs.SCRATCH / backbone / method / f"seed{seed}"


def _made_with(backbone: str, method: str, seed: int, settings: Params) -> dict:
    """All that a checkpoint depends on: parameters, data, and the weights that training starts from."""
    shared = settings.model_dump(mode="json", include={"lora", "sft", "training", "sampling", "watching"})
    section = settings.section(method)
    starts = [runs.backbone_dir(backbone)]
    if isinstance(section, Airl):
        starts.append(runs.backbone_dir(settings.discriminator_backbone(section, backbone)))
    if _starts_from_sft(section) and _experts(section, seed, settings) == _of_sft(seed, settings):
        starts.append(runs.sft_adapter(backbone, seed))
    return {
        "method": section.model_dump(mode="json"),
        **shared,
        "data": files.sha256(sorted(runs.DATA.glob("*.jsonl"))),
        "starts": [backbone_sha256(runs.require(directory)) for directory in starts],
    }


def _starts_from_sft(section) -> bool:
    return isinstance(section, Spin) or getattr(section, "start", None) == "sft"


def _of_sft(seed: int, settings: Params) -> list[Demonstration]:
    """The demonstrations of a seed's SFT."""
    return splits.demonstrations_of(seed)[: settings.sft.demonstrations]


def _experts(section, seed: int, settings: Params) -> list[Demonstration]:
    """The demonstrations that a method learns from, as it has them."""
    if isinstance(section, Spin):
        return _of_sft(seed, settings)
    demonstrations = splits.demonstrations_of(seed)
    if isinstance(section, Airl):
        return choice.choose(demonstrations, [], section, seed)[0]
    return demonstrations[: section.demonstrations]


def _start(section, experts, backbone: str, seed: int, settings: Params, scratch: Path) -> Path | None:
    """The adapter that a training goes on from: SFT's; of other experts than SFT has, one of SFT on these."""
    if not _starts_from_sft(section):
        return None
    if experts == _of_sft(seed, settings):
        return runs.sft_adapter(backbone, seed)
    directory = scratch / "start"
    if not directory.exists():
        how = {"settings": settings, "seed": seed, "output_dir": scratch / "sft"}
        trainer = policies.train_sft(runs.backbone_dir(backbone), experts, settings.sft, **how)
        _save(trainer, directory)
        trainer.accelerator.wait_for_everyone()  # the first process writes what all read
    return directory / "adapter"


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command, its output on stderr as it comes. Raises ValueError if it fails."""
    errors, into = [], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=os.environ | environment, **into) as process:
        for written in process.stdout:
            line = written.decode(errors="replace")
            print(line, end="", file=sys.stderr)
            errors += ERROR.findall(line)
    if process.returncode:
        said = errors[-1] if errors else "see what it wrote; run again to go on from there"
        raise ValueError(f"training ended with code {process.returncode}: {said}")


def _load(backbone: str, method: str, settings: Params, directory: Path) -> Trained:
    start, rewards = runs.backbone_dir(backbone), directory / "discriminator"
    reward_model = reward_tokenizer = None
    if rewards.exists():
        airl = settings.airl_variant(method)
        reward_model = recorded.load(backbone, rewards, airl, settings)
        reward_tokenizer = recorded.tokenizer(backbone, airl, settings)
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    return Trained(
        model=pretrained.load_policy(start, directory / "adapter"),
        tokenizer=AutoTokenizer.from_pretrained(start),
        reward_model=reward_model,
        reward_tokenizer=reward_tokenizer,
        directory=directory,
        **result,
    )


def _trainer(backbone: str, method: str, seed: int, settings: Params, scratch: Path):
    """The trainer, after its training."""
    section, start = settings.section(method), runs.backbone_dir(backbone)
    common = {"settings": settings, "seed": seed, "output_dir": scratch}
    experts = _experts(section, seed, settings)
    if isinstance(section, Sft):
        return policies.train_sft(start, experts, section, **common)
    adapter = _start(section, experts, backbone, seed, settings, scratch)
    if isinstance(section, Spin):
        return train_spin(start, adapter, experts, section, **common)
    if isinstance(section, Grpo):
        questions = experts if section.questions == "demonstrations" else splits.split("train")
        return policies.train_grpo(start, questions, section, sft_adapter=adapter, **common)
    learn = train_elections if section.learner == "imitation" else train_airl
    return learn(
        start,
        runs.backbone_dir(settings.discriminator_backbone(section, backbone)),
        splits.demonstrations_of(seed),
        splits.split("train"),  # further questions to practise on; their answers are not read
        section,
        sft_adapter=adapter,
        watched=_watched(method, seed, settings),
        **common,
    )


def _watched(method: str, seed: int, settings: Params) -> list[Demonstration]:
    """The problems on which a training is watched; an ablation's is not."""
    if method not in settings.variants or seed not in settings.watching.seeds:
        return []
    return splits.split("validation")[: settings.watching.problems]


def _save(trainer, directory: Path) -> None:
    """Write what `_load` reads. Every process takes part, the first writes."""
    weights = pretrained.stored(trainer.accelerator.get_state_dict(trainer.model_wrapped))
    if not trainer.accelerator.is_main_process:
        return
    with files.new_directory(directory) as temporary:
        policy = trainer.accelerator.unwrap_model(trainer.model)
        policy.save_pretrained(temporary / "adapter", state_dict=weights, selected_adapters=["default"])
        if hasattr(trainer, "reward_model"):
            trainer.reward_model.save(temporary / "discriminator")
        watched = directory.parent / runs.WATCHED
        if watched.exists():
            shutil.copy(watched, temporary)
        status = getattr(trainer, "fault", None) or "completed"
        files.write_json(temporary / "result.json", {"log": training_log(trainer), "status": status})


def training_log(trainer) -> list[dict]:
    """The logged steps of a trainer, under the names of the study."""
    names = {"rewards/correct/mean": "pass_rate", "completions/mean_length": "completion_length"}
    rows = []
    for entry in trainer.state.log_history:
        if "train_runtime" not in entry:
            own = {names.get(key, key): value for key, value in entry.items()} | entry
            rows.append({key: round(own[key], 5) for key in LOGGED if key in own})
    return rows


def main() -> None:
    backbone, method, seed, params_file = sys.argv[1:]
    scratch = _scratch(backbone, method, int(seed))
    trainer = _trainer(backbone, method, int(seed), params.load(params_file), scratch)
    _save(trainer, scratch / "trained")


if __name__ == "__main__":
    main()
