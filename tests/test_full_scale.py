"""The chain at the paper's profile, on stand-ins of both families and real GSM8K rows, from nothing."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib import runs
from lib.study import params
from lib.text import alignment
from tests import chain, stand_ins

GSM8K = os.environ.get("STUDY_GSM8K")
FAMILIES = ("qwen2", "llama")
TRAINED = "llama"  # of both there is a base policy; of the one whose template has more traps, all methods
PAIRS = ("qwen25_3b", "qwen25_7b", "llama32_3b", "llama31_8b")
SMALL = {"steps": 2, "prompts_per_step": 2, "group_size": 4, "lr": 0.01}
# the profile `paper` in everything but numbers
OVERLAY = {
    "extends": "paper",
    "seeds": [0],
    "policies": [TRAINED],
    "data": {"train": 12, "demonstrations": 8, "validation": 4, "test": 6, "test_long": 2},
    "lora": {"r": 4, "alpha": 8},
    "training": {"launch": "launch/cpu.yaml", "checkpoint_every": 0, "micro_batch": 4},
    "sft": {"demonstrations": 8, "epochs": 1, "batch_size": 4},
    "grpo": {**SMALL, "demonstrations": 8},
    "grpo_variants": {"ttrl": None},
    "spin": {"rounds": 1, "samples": 2, "epochs": 1, "batch_size": 4},
    "airl": {**SMALL, "demonstrations": 8, "discriminator": "same", "discriminator_prompts": 2,
             "warmup_steps": 1},
    "variants": {
        "airl_no_perturbation": None,
        # random weights write no answers to elect
        "airl": {**SMALL, "learner": "practice", "discriminator_r": 4, "likelihood_epochs": 1,
                 "discriminator_steps": 1, "discriminator_updates": 1, "warmup_steps": 1,
                 "unlabelled_questions": 4},
    },
    "ablations": {
        name: None for name in
        ("sft_64", "sft_1024", "sparse", "interval", "step", "fixed", "wgan", "wrong_experts_10",
         "wrong_experts_25", "relabelled")
    },
    "ablation_runs": {"changes": {}, "backbones": [TRAINED], "seeds": [0]},
    "sampling": {"n": 4, "validation_n": 2, "temperatures": [0.5, 1.0], "max_new_tokens": 32,
                 "batch_size": 16},
    "evaluation": {"ks": [1, 2], "bootstrap": 20, "token_records": 2},
}  # fmt: skip

needs_gsm8k = pytest.mark.skipif(not GSM8K, reason="STUDY_GSM8K names no directory with GSM8K's files")


@pytest.mark.parametrize("profile", PAIRS)
def test_a_pair_has_the_papers_numbers_and_two_sizes_of_one_family(profile):
    settings = params.validate(params.apply_profile(chain.ROOT / "params.yaml", profile), "params.yaml")
    (policy,) = settings.policies
    dense = settings.airl_variant("airl_dense")
    assert (settings.lora.r, dense.discriminator_r, dense.steps, dense.group_size) == (128, 32, 500, 16)
    assert (dense.lr, dense.discriminator_lr, dense.gamma, dense.label_smoothing) == (1e-5, 1e-5, 0.9, 0.1)
    assert (dense.perturbations, dense.beta, dense.temperature) == (2, 0.0, 1.0)
    assert (dense.parameterisation, dense.boundaries, dense.credit) == ("head", "dense", "discounted")
    assert dense.expert_in_group and settings.sampling.n == 16 and max(settings.evaluation.ks) == 10
    assert settings.pretrained[policy].four_bit and not settings.backbones
    sizes = [settings.pretrained[name].path.split("-") for name in (policy, dense.discriminator)]
    assert sizes[0][0] == sizes[1][0] and float(sizes[0][-2][:-1]) > float(sizes[1][-2][:-1])
    own = settings.airl_variant("airl")
    assert (own.learner, own.parameterisation, own.start, own.credit) == (
        "imitation", "log_ratio", "sft", "elected",
    )  # fmt: skip
    assert own.discriminator == dense.discriminator


@pytest.fixture(scope="module")
def published_rows():
    with open(Path(GSM8K) / "train.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def directory(published_rows, tmp_path_factory) -> Path:
    """A study of both families that has just run."""
    root = tmp_path_factory.mktemp("full_scale")
    texts = [text for row in published_rows[:500] for text in (row["question"], row["answer"])]
    overlay = OVERLAY | {"pretrained": {}}
    for family in FAMILIES:
        stand_ins.build(root / "hub" / family, family, texts)
        overlay["pretrained"][family] = stand_ins.source(root / "hub" / family).model_dump()
    overlay["data"] = overlay["data"] | {"path": str(Path(GSM8K).resolve())}
    return chain.run(root / "study", overlay)


@needs_gsm8k
def test_every_method_is_trained_and_recorded(directory):
    for method in ("base", "sft", "grpo", "spin", "airl_dense", "airl"):
        record = directory / "results/runs" / TRAINED / method / "seed0"
        run, rows = runs.read(record), runs.read_rows(record / "samples.jsonl.xz")
        n = 4 if method in runs.JUDGED else 2
        assert (run.profile, run.status, len(rows)) == ("tested", "completed", 6 * n)
        assert all(row["first_wrong_unit"] is None for row in rows)  # of real data no one knows
        adapter = record / ("" if method == "sft" else runs.UNREAD) / "adapter/adapter_model.safetensors"
        assert adapter.exists() == (method != "base")


@needs_gsm8k
def test_the_tables_have_the_rows_of_the_trained_family(directory):
    tables = {path.stem: pd.read_csv(path) for path in (directory / "results/tables").glob("*.csv")}
    for name in ("main", "rerank", "localisation", "reward_quality", "transfer"):
        assert set(tables[name]["backbone"]) == {TRAINED}, name
    assert set(tables["localisation"]["error_source"]) == {"perturbed"}
    assert (directory / "results/report.html").stat().st_size > 10_000


@needs_gsm8k
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pretrained_directory_has_the_tokenizer_and_not_the_weights(directory, family, monkeypatch):
    monkeypatch.chdir(directory)
    at = runs.backbone_dir(family)
    assert not list(at.glob("*.safetensors"))
    assert AutoTokenizer.from_pretrained(at).pad_token is not None


@needs_gsm8k
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_end_where_their_characters_do_however_numbers_are_split(family, published_rows, tmp_path):
    texts = [row["answer"] for row in published_rows[:200]]
    stand_ins.build(tmp_path, family, texts)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "<think>\nHe pays 12345+678 dollars.\nThat is 13023.\n</think>\n<answer>13023</answer>"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    units = alignment.units_of_tokens(tokenizer, [*ids, tokenizer.eos_token_id])
    for unit, written in enumerate(("dollars.\n", "13023.\n", "</answer>")):
        last = len(units) - 1 - units[::-1].index(unit)
        assert tokenizer.decode(ids[: last + 1]).endswith(written), unit
    assert len(units) == len(ids) + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stand_in_is_the_familys_architecture(family, tmp_path):
    stand_ins.build(tmp_path, family, ["some words and 123 numbers"] * 5)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.config.model_type == family
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    assert (model.config.rope_parameters["rope_type"] == "llama3") == (family == "llama")
