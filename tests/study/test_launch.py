"""Real processes: a training started by the launcher, one that is killed, one on two processes."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from lib import runs
from lib.data import demonstrations, splits
from lib.models import checkpoints
from lib.study import params
from lib.study.params import apply_profile, dump
from lib.study.training import launch, policies

ROOT = Path(__file__).parents[2]
RUN = ("qwen2", "airl", "0", "params.yaml")
# three epochs of three steps, all that a checkpoint must hold, and a checkpoint after every step
SETTINGS = {
    "training": {"checkpoint_every": 1},
    "sft": {"demonstrations": 4, "epochs": 1, "batch_size": 4},
    "sampling": {"max_new_tokens": 6},
    "variants": {
        "airl": {
            "learner": "practice", "start": "base", "discriminator": "same", "demonstrations": 4,
            "unlabelled_questions": 2, "steps": 9, "prompts_per_step": 2, "warmup_steps": 3,
            "discriminator_steps": 6, "discriminator_updates": 2,
            "discriminator_schedule": "cosine", "perturbations": 2, "own_near_misses": 2,
            "credit": "stepwise", "lr": 0.01,
        }
    },
}  # fmt: skip


@pytest.fixture
def study_at(backbone, experts, tmp_path, monkeypatch):
    """Makes a directory that holds all a training reads, and goes there."""

    def make(name: str, overlay: dict) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        monkeypatch.chdir(directory)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        (directory / "launch").symlink_to(ROOT / "launch")
        runs.backbone_dir("qwen2").parent.mkdir(parents=True)
        runs.backbone_dir("qwen2").symlink_to(backbone)
        for split in ("train", "demonstrations", "validation"):
            rows = experts if split == "demonstrations" else experts[6:]
            demonstrations.write_jsonl(runs.DATA / f"{split}.jsonl", rows)
        tree = params.merge(apply_profile(ROOT / "params.yaml", "tiny"), overlay)
        with open("params.yaml", "w", encoding="utf-8") as out:
            dump(tree, out)
        return directory

    return make


def result(directory: Path) -> dict:
    """All that a training leaves, but times."""
    trained = directory / ".scratch/qwen2/airl/seed0/trained"
    files = {
        "adapter": load_file(trained / "adapter/adapter_model.safetensors"),
        "discriminator": load_file(trained / "discriminator/adapter_model.safetensors"),
        "scalars": load_file(trained / "discriminator/log_ratio.safetensors"),
    }
    log = json.loads((trained / "result.json").read_text())["log"]
    watched = runs.read_rows(trained / runs.WATCHED) if (trained / runs.WATCHED).exists() else []
    return files | {
        "log": [{k: v for k, v in row.items() if k != "step_time"} for row in log], "watched": watched,
    }  # fmt: skip


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def start(study_at, monkeypatch):
    """Starts a training in a process of its own, forked from one whose imports are done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lib.study.training.launch"])

    def start() -> multiprocessing.Process:
        process = context.Process(target=train_in, args=(Path.cwd(),))
        process.start()
        return process

    return start


def train_in(directory: Path) -> None:
    os.chdir(directory)
    with open("said.txt", "w") as said:
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
    sys.argv = ["launch", *RUN]
    launch.main()


def ends_well(process) -> None:
    process.join()
    assert process.exitcode == 0, Path("said.txt").read_text()[-2000:]


def kill_at(path: Path, process) -> None:
    """Kill a training as soon as the file or directory is there."""
    while not path.exists():
        assert process.is_alive(), Path("said.txt").read_text()[-2000:]
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_training_that_is_killed_ends_as_one_that_is_not(study_at, start):
    unbroken = study_at("unbroken", SETTINGS)
    ends_well(start())
    broken = study_at("broken", SETTINGS)
    scratch = broken / ".scratch/qwen2/airl/seed0"
    kill_at(scratch / "checkpoint-2", start())  # in the warm-up, while the checkpoint is written
    kill_at(scratch / "checkpoint-3/trainer_state.json", start())  # before the policy learns
    kill_at(scratch / "checkpoint-7/trainer_state.json", start())  # in the third epoch, the reward at rest
    ends_well(start())
    ends_well(start())  # as if it was killed before it was saved
    ours, theirs = result(broken), result(unbroken)
    assert len(ours["log"]) == 9 and ours["log"] == theirs["log"]
    assert {row["step"] for row in ours["watched"]} == {0, 2, 9} and ours["watched"] == theirs["watched"]
    for part in ("adapter", "discriminator", "scalars"):
        assert same(ours[part], theirs[part]), part


def test_the_launcher_trains_what_the_notebooks_process_would(study_at):
    directory = study_at("launched", SETTINGS)
    trained = launch.train("qwen2", "sft", 0, "params.yaml")
    settings = params.load("params.yaml")
    trainer = policies.train_sft(
        runs.backbone_dir("qwen2"), splits.demonstrations_of(0)[:4], settings.sft, settings=settings, seed=0,
        output_dir=directory / "here",
    )  # fmt: skip
    ours, theirs = (
        {name: p for name, p in model.named_parameters() if ".lora_" in name}
        for model in (trained.model, trainer.model)
    )
    assert same(ours, {name: p.bfloat16().float() for name, p in theirs.items()})  # as it is kept
    assert trained.reward_model is None and trained.status == "completed"
    assert [row["loss"] for row in trained.log] == [row["loss"] for row in launch.training_log(trainer)]
    launch.forget(trained)
    assert not (directory / ".scratch/qwen2/sft/seed0").exists()


def test_a_process_that_fails_is_one_clear_line(study_at):
    study_at("failing", {"training": {"micro_batch": 3}, "grpo": {"prompts_per_step": 2, "group_size": 4}})
    with pytest.raises(ValueError, match="with code 1: training.micro_batch: 8 completions") as error:
        launch.train("qwen2", "grpo", 0, "params.yaml")
    assert "\n" not in str(error.value)


def test_a_byte_that_is_no_text_in_what_a_process_writes_is_no_fault_of_ours(capsys):
    code = "import sys; sys.stdout.buffer.write(b'OSError: disk \\xff full\\n'); sys.exit(int(sys.argv[1]))"
    launch._run([sys.executable, "-c", code, "0"], {})
    assert capsys.readouterr().err == "OSError: disk \ufffd full\n"
    with pytest.raises(ValueError, match="^training ended with code 3: disk \ufffd full$"):
        launch._run([sys.executable, "-c", code, "3"], {})


def test_the_message_is_that_of_the_process_that_failed_first_hand():
    said = "[rank1]: ValueError: too few: 3\\n[rank1]: torch.ChildFailedError: see above"
    with pytest.raises(ValueError, match="^training ended with code 1: too few: 3$"):
        launch._run([sys.executable, "-c", f"print('{said}'); raise SystemExit(1)"], {})


def test_what_is_launched_on_the_processor_sees_no_gpu(study_at, monkeypatch):
    ran = []
    monkeypatch.setattr(launch, "_run", lambda _, environment: ran.append(environment))
    monkeypatch.setattr(launch, "_load", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("two_cpu", "one_gpu"):
        study_at(name, {"training": {"launch": f"launch/{name}.yaml"}})
        launch.train("qwen2", "sft", 0, "params.yaml")
    assert ran == [{"CUDA_VISIBLE_DEVICES": ""}, {}]


def test_a_launch_file_that_shares_out_the_weights_is_refused(study_at, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    directory = study_at("sharing", {"training": {"launch": "fsdp.yaml"}})
    (directory / "fsdp.yaml").write_text("distributed_type: FSDP\nnum_processes: 4\n")
    with pytest.raises(ValueError, match="^training.launch: fsdp.yaml: no training shares out weights"):
        launch.train("qwen2", "sft", 0, "params.yaml")


def test_an_unknown_launch_file_is_named_with_the_others(study_at):
    study_at("unknown", {"training": {"launch": "launch/tpu.yaml"}})
    with pytest.raises(ValueError, match="launch/tpu.yaml: no such file; there are launch/cpu.yaml"):
        launch.train("qwen2", "sft", 0, "params.yaml")


@pytest.mark.parametrize("name", ["one_gpu", "gpus", "zero2"])
def test_a_launch_file_for_gpus_is_refused_without_one(study_at, monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    study_at(name, {"training": {"launch": f"launch/{name}.yaml"}})
    with pytest.raises(
        ValueError, match=f"launch/{name}.yaml needs a GPU and this machine has none"
    ) as error:
        launch.train("qwen2", "sft", 0, "params.yaml")
    assert "\n" not in str(error.value) and not Path(".scratch").exists()


def test_checkpoints_of_other_parameters_are_forgotten(tmp_path):
    made = {"lr": 0.1}
    checkpoints.keep_only(tmp_path / "run", made)
    (tmp_path / "run/checkpoint-1").mkdir()
    checkpoints.keep_only(tmp_path / "run", dict(made))
    assert (tmp_path / "run/checkpoint-1").exists()
    checkpoints.keep_only(tmp_path / "run", {"lr": 0.2})
    assert not (tmp_path / "run/checkpoint-1").exists()


def test_checkpoints_that_started_from_other_weights_are_forgotten(study_at):
    """The backbone is trained again, or the SFT run that `start: sft` goes on from."""
    few, own = {"demonstrations": 4}, {"airl": {"start": "sft", "discriminator": "same"}}
    directory = study_at("retrained", {"sft": few, "airl": few, "variants": own})
    own, adapter = directory / "backbone", runs.run_dir("qwen2", "sft", 0) / "adapter"
    shutil.copytree(runs.backbone_dir("qwen2"), own)
    runs.backbone_dir("qwen2").unlink()
    runs.backbone_dir("qwen2").symlink_to(own)
    settings = params.load("params.yaml")
    with pytest.raises(
        ValueError, match="sft/seed0: no such file; run `dvc repro`, whose stage sft makes it"
    ):
        launch._made_with("qwen2", "airl", 0, settings)
    adapter.mkdir(parents=True)
    seen = [launch._made_with("qwen2", "airl", 0, settings)]
    (adapter / "adapter_model.safetensors").write_bytes(b"trained")
    seen.append(launch._made_with("qwen2", "airl", 0, settings))
    (own / "model.safetensors").write_bytes(b"trained again")
    seen.append(launch._made_with("qwen2", "airl", 0, settings))
    assert seen[0] != seen[1] != seen[2] == launch._made_with("qwen2", "airl", 0, settings)
    (own / ".ipynb_checkpoints").mkdir()  # what Jupyter and file browsers leave where they looked
    (own / ".DS_Store").write_bytes(b"")
    assert launch._made_with("qwen2", "airl", 0, settings) == seen[2]


def test_what_learns_from_other_experts_than_sft_starts_from_sft_on_these(study_at, monkeypatch):
    """Else what SFT's demonstrations taught would be counted among the gains of fewer."""
    few = {"few": {"of": "grpo", "demonstrations": 2}, "wrong": {"wrong_experts": 0.5}}
    learner = {"grpo": {"start": "sft", "demonstrations": 4}, "airl": {"demonstrations": 4}}
    study_at("few", {"sft": {"demonstrations": 4}, "ablations": few, **learner})
    settings, scratch, trained = params.load("params.yaml"), Path("scratch"), []
    waited = []
    trainer = SimpleNamespace(accelerator=SimpleNamespace(wait_for_everyone=lambda: waited.append(True)))
    monkeypatch.setattr(
        policies, "train_sft", lambda _, experts, *__, **___: trained.append(experts) or trainer
    )
    monkeypatch.setattr(launch, "_save", lambda _, directory: directory.mkdir(parents=True))
    (runs.run_dir("qwen2", "sft", 0) / "adapter").mkdir(parents=True)

    def start(method):
        section = settings.section(method)
        experts = launch._experts(section, 0, settings)
        return launch._start(section, experts, "qwen2", 0, settings, scratch / method)

    of_sft = splits.demonstrations_of(0)[:4]
    assert start("grpo") == start("spin") == start("airl") == runs.sft_adapter("qwen2", 0)
    assert trained == []
    assert start("few") == start("few") == scratch / "few/start/adapter" and trained == [of_sft[:2]]
    assert start("wrong") == scratch / "wrong/start/adapter"
    (own,) = trained[1:]
    assert [row.question for row in own] == [row.question for row in of_sft] and own != of_sft
    base = settings.grpo.model_copy(update={"start": "base", "demonstrations": 2})
    assert launch._start(base, of_sft[:2], "qwen2", 0, settings, scratch) is None
    assert len(waited) == len(trained) == 2  # a process must not read what another still writes
    made = [launch._made_with("qwen2", name, 0, settings)["starts"] for name in ("grpo", "few")]
    assert [len(starts) for starts in made] == [2, 1]  # SFT's record is no part of what has its own


def test_the_last_whole_checkpoint_is_taken(tmp_path):
    assert checkpoints.last(tmp_path) is None
    for step, text in ((9, '{"epoch": 1}'), (10, '{"epoch": 2}'), (11, '{"epo')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text(text)
    (tmp_path / "checkpoint-12").mkdir()
    assert checkpoints.last(tmp_path) == tmp_path / "checkpoint-10"


def test_two_processes_train_as_one(study_at):
    """The same completions of the same questions, shared by two processes: the same losses."""
    logs, discriminators = {}, {}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
    many = [*launcher, "--config_file", "launch/two_cpu.yaml"]
    for n, start in ((1, [sys.executable]), (2, many)):
        directory = study_at(f"processes{n}", {})
        subprocess.run([*start, "-m", "tests.given_completions"], check=True, timeout=300)
        logs[n] = json.loads(Path("log.json").read_text())
        discriminators[n] = [load_file(path) for path in sorted(directory.glob("discriminator*.safetensors"))]
    assert [len(files) for files in discriminators.values()] == [1, 2]
    assert len(logs[1]) == len(logs[2]) == 4
    for one, two in zip(logs[1], logs[2], strict=True):
        for name in ("loss", "disc_loss", "grad_norm"):
            assert two[name] == pytest.approx(one[name], abs=1e-4), name
    assert any(row["loss"] != 0 for row in logs[1])
    assert same(*discriminators[2])
