"""The chain at the profile `smollm2` on published weights, in few steps, where `make weights` put them."""

import pandas as pd
import pytest

from lib import runs
from lib.study.weights import PUBLISHED
from tests import chain

SMOLLM2 = chain.ROOT / "weights" / PUBLISHED[0].name
SMALL = {"steps": 1, "prompts_per_step": 2, "group_size": 2}
OVERLAY = {  # the profile in everything but numbers, and in what takes the same path
    "extends": "smollm2",
    "seeds": [0],
    "data": {"train": 4, "demonstrations": 8, "validation": 2, "test": 3, "test_long": 1},
    "training": {"checkpoint_every": 0},
    "sft": {"demonstrations": 8, "epochs": 4, "batch_size": 2},  # enough that some traces give an answer
    "grpo": {**SMALL, "demonstrations": 8},
    "grpo_variants": {"ttrl": None},
    "spin": {"rounds": 1, "samples": 1, "epochs": 1, "batch_size": 4},
    "airl": {**SMALL, "demonstrations": 8, "unlabelled_questions": 4, "discriminator_steps": 1,
             "discriminator_prompts": 2, "warmup_steps": 1},
    "variants": {"likelihood": None, "airl": {**SMALL, "imitated": 1}},
    "sampling": {"n": 2, "validation_n": 1, "temperatures": [1.0], "max_new_tokens": 48},
    "evaluation": {"ks": [1, 2], "bootstrap": 20, "token_records": 2, "threshold_problems": 2},
    "watching": {"problems": 1, "samples": 1, "times": 2},
}  # fmt: skip


@pytest.mark.skipif(
    not SMOLLM2.exists(), reason=f"{SMOLLM2.name} is not in weights/; `make weights` puts it there"
)
def test_a_pretrained_model_goes_through_every_stage(tmp_path):
    at = chain.run(tmp_path / "study", OVERLAY)
    for method in ("base", "sft", "grpo", "spin", "airl_dense", "airl"):
        run = runs.read(at / "results/runs/smollm2" / method / "seed0")
        assert (run.profile, run.status) == ("tested", "completed"), method
    main = pd.read_csv(at / "results/tables/main.csv")
    assert set(main["backbone"]) == {"smollm2"} and len(set(main["method"])) == 6
    assert (at / "results/report.html").stat().st_size > 10_000
