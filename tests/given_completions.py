"""A short AIRL training whose completions are given, for `test_launch`; run it on one process or on more."""

import json
import os
import random
from pathlib import Path

from safetensors.torch import save_file

from lib import runs
from lib.airl.trainer import AIRLTrainer
from lib.data import splits
from lib.study import params
from lib.study.adversarial.training import train_airl


def given(trainer, prompt_ids, *_):
    """Completions that depend on the question, the place in the group and the step, not on the policy."""
    completions = []
    for i, ids in enumerate(prompt_ids):
        rng = random.Random(f"{ids} {i % trainer.num_generations} {trainer.state.global_step}")
        tokens = [rng.randrange(3, 200) for _ in range(rng.randint(2, 6))]
        completions.append([*tokens, trainer.processing_class.eos_token_id])
    return completions, None


def main() -> None:
    AIRLTrainer._generate_single_turn = given
    settings = params.load("params.yaml")
    section = settings.airl.model_copy(
        update={
            "start": "base", "demonstrations": 12, "parameterisation": "log_ratio", "credit": "telescoped",
            "boundaries": "dense", "steps": 4, "prompts_per_step": 4, "group_size": 4, "warmup_steps": 0,
            "lr": 0.01, "discriminator_lr": 0.01, "discriminator_prompts": 4, "policy_per_prompt": 4,
            "perturbations": 0, "expert_in_group": False,
        }
    )  # fmt: skip
    start = runs.backbone_dir("qwen2")
    trainer = train_airl(
        start, start, splits.split("demonstrations"), [], section, settings=settings, sft_adapter=None,
        seed=0, output_dir=runs.SCRATCH,
    )  # fmt: skip
    rank = trainer.args.process_index
    weights = {name: p.detach() for name, p in trainer.reward_model.trained().items()}
    save_file(weights, f"discriminator{rank}.safetensors")
    assert trainer.args.world_size == int(os.environ.get("WORLD_SIZE", 1))
    if rank == 0:
        steps = [row for row in trainer.state.log_history if "disc_loss" in row]
        Path("log.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
