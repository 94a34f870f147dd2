"""Twenty AIRL steps of a 7B policy with random weights on one GPU: `python -m tests.bench_gpu OUT.json`.

Step time, generated tokens a second and peak memory of the head and of the log-ratio with telescoped credit,
each on weights of its own and on the policy's. What the weights are does not change these; GSM8K's rows come
from the directory that STUDY_GSM8K names. Fewer layers may be asked for, after OUT.json.
"""

import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Qwen2Config, set_seed

from lib import files, runs
from lib.data import corpora
from lib.study import params
from lib.study.adversarial.training import train_airl
from tests import stand_ins

STEPS = 20
QWEN25_7B = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4,
    "vocab_size": 152064, "max_position_embeddings": 32768, "rope_theta": 1e6, "tie_word_embeddings": False,
}  # fmt: skip


def build(directory: Path, layers: int, problems) -> None:
    """A backbone directory of Qwen2.5-7B's architecture, with random weights and a tokenizer for the rows."""
    stand_ins.build(directory, "qwen2", [text for p in problems for text in (p.question, p.trace)])
    set_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        config = Qwen2Config(**QWEN25_7B, num_hidden_layers=layers, eos_token_id=2)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(directory)


def measure(form: str, shared: bool, start: Path, problems, scratch: Path) -> dict[str, float]:
    """Median seconds a step, generated tokens a second, and peak GiB, of a process of its own."""
    settings = params.validate(params.apply_profile("params.yaml", "qwen25_7b"), "params.yaml")
    how = {"shared_backbone": shared, "checkpoint_every": 0, "launch": "launch/one_gpu.yaml"}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=how)})
    section = settings.airl.model_copy(
        update={
            "parameterisation": form,
            "credit": "telescoped" if form == "log_ratio" else "discounted",
            "discriminator": "same",
            "steps": STEPS,
            "demonstrations": len(problems),
        }
    )
    trainer = train_airl(
        start, start, problems, [], section, settings=settings, sft_adapter=None, seed=0, output_dir=scratch
    )
    steps = [row for row in trainer.state.log_history if "step_time" in row][1:]
    seconds = statistics.median(row["step_time"] for row in steps)
    tokens = statistics.mean(row["completions/mean_length"] for row in steps)
    on_gpu = torch.cuda.is_available()
    return {
        "seconds a step": seconds,
        "tokens a second": tokens * section.prompts_per_step * section.group_size / seconds,
        "peak GiB": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else runs.peak_memory_mib() / 1024,
    }


def main() -> None:
    out, layers = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 28
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else runs.provenance()["hardware"]
    sizes = {"train": 1, "demonstrations": 64, "validation": 1, "test": 1, "test_long": 1}
    problems = corpora.make_splits(
        "gsm8k", os.environ["STUDY_GSM8K"], **sizes, steps=range(1, 9), long_steps=[9, 10, 11], seed=0
    )["demonstrations"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        build(Path(scratch) / "7b", layers, problems)
        for form in ("head", "log_ratio"):
            for shared in (False, True):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    measured = pool.submit(
                        measure,
                        form,
                        shared,
                        Path(scratch) / "7b",
                        problems,
                        Path(scratch) / f"{form}{shared}",
                    ).result()
                rows.append({"discriminator": form, "shared backbone": shared, **measured})
                print(rows[-1])
    files.write_json(out, {"hardware": device, "layers": layers, "steps": STEPS, "rows": rows})


if __name__ == "__main__":
    main()
