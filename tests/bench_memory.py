"""What a training at the paper's scale needs of a GPU, from measured peaks: `python -m tests.bench_memory`.

Of each model of the profiles a few layers with random weights take an optimizer step on a few rows of 512
tokens after a prompt of 150, as on a GPU: bfloat16, adapters in float32, activations of one layer at a time.
The peak grows by layers, by rows, and by rows in each layer; four measurements give all of these, and so the
peak of the whole model on `training.micro_batch` rows. A policy's layers are then counted in 4 bits. While it
samples it holds keys and values of all completions of a step, and no activations. The policy and the paper's
discriminator keep their weights beside each other, and take their steps one after the other.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from lib import runs
from lib.models import likelihood, pretrained
from lib.schema import Lora
from lib.study import params

PROMPT, WIDTH = 150, 512  # tokens; GSM8K's longest prompts have more, most have fewer
LAYERS, ROWS = (1, 2), (1, 4)
FOUR_BITS, TWO_BYTES, TRAINED = (
    0.52,
    2,
    16,
)  # bytes a weight; nf4's with its scales; float32, gradient, Adam's two
GIB = 2**30


class Size(NamedTuple):
    """A published model's shape."""

    config: type
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head: int  # numbers of one head
    vocabulary: int
    tied: bool


PROFILES = ("qwen25_3b", "qwen25_7b", "llama32_3b", "llama31_8b")
SIZES = {
    "qwen25_3b": Size(Qwen2Config, 36, 2048, 11008, 16, 2, 128, 151936, True),
    "qwen25_7b": Size(Qwen2Config, 28, 3584, 18944, 28, 4, 128, 152064, False),
    "llama32_3b": Size(LlamaConfig, 28, 3072, 8192, 24, 8, 128, 128256, True),
    "llama31_8b": Size(LlamaConfig, 32, 4096, 14336, 32, 8, 128, 128256, False),
    "qwen25_05b": Size(Qwen2Config, 24, 896, 4864, 14, 2, 64, 151936, True),
    "qwen25_15b": Size(Qwen2Config, 28, 1536, 8960, 12, 2, 128, 151936, True),
    "llama32_1b": Size(LlamaConfig, 16, 2048, 8192, 32, 8, 64, 128256, True),
}


def build(size: Size, layers: int, lora: Lora):
    """So many layers of a model, with an adapter."""
    config = size.config(
        num_hidden_layers=layers,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head,
        vocab_size=size.vocabulary,
        tie_word_embeddings=size.tied,
        attn_implementation="sdpa",
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return get_peft_model(model, pretrained.lora(lora))


def peak_of_a_step(size: Size, layers: int, rows: int, lora: Lora) -> float:
    """Bytes at which a step of a process of its own peaks."""
    model = build(size, layers, lora)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    ids_BL = torch.randint(size.vocabulary, (rows, PROMPT + WIDTH))
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        likelihood._fused_head(model, WIDTH + 1, ("log_probs",), 1.0),
    ):
        found = model(
            ids_BL, attention_mask=torch.ones_like(ids_BL), labels=ids_BL[:, -WIDTH - 1 :], fused_lm_head=True
        )
        found.log_probs.sum().backward()
    optimizer.step()
    return runs.peak_memory_mib() * 2**20


def measured(size: Size, lora: Lora) -> dict[tuple[int, int], float]:
    """Peaks by layers and rows, each of a process of its own."""
    found = {}
    for layers in LAYERS:
        for rows in ROWS:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found[layers, rows] = pool.submit(peak_of_a_step, size, layers, rows, lora).result()
    return found


def grown(peaks: dict[tuple[int, int], float], layers: int, rows: int) -> float:
    """The peak of so many layers and rows: linear in either, from two of each."""
    (l1, l2), (r1, r2) = LAYERS, ROWS
    up, right = (layers - l1) / (l2 - l1), (rows - r1) / (r2 - r1)
    by_rows = [peaks[layer, r1] + right * (peaks[layer, r2] - peaks[layer, r1]) for layer in LAYERS]
    return by_rows[0] + up * (by_rows[1] - by_rows[0])


def counted(size: Size, lora: Lora) -> tuple[int, int, int]:
    """How many weights a layer has, its adapter, and the embeddings with the head."""
    with torch.device("meta"):
        one, two = (build(size, layers, lora) for layers in LAYERS)
    adapters = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in (one, two)]
    every = [sum(p.numel() for p in model.parameters()) for model in (one, two)]
    adapter, layer = adapters[1] - adapters[0], every[1] - every[0]
    return layer - adapter, adapter, every[0] - layer


class Needs(NamedTuple):
    """Bytes of one model in training: what it keeps between steps, and the peak of a step."""

    kept: float
    step: float


def needs(size: Size, lora: Lora, rows: int, bytes_a_weight: float) -> Needs:
    """Of a whole model, its layers' weights in so many bytes each, on so many rows at once."""
    layer, adapter, ends = counted(size, lora)
    kept = size.layers * (layer * bytes_a_weight + adapter * TRAINED) + ends * TWO_BYTES
    saved = size.layers * layer * (TWO_BYTES - bytes_a_weight)
    return Needs(kept, grown(measured(size, lora), size.layers, rows) - saved)


def main() -> None:
    print(f"{'GiB':12s} {'policy':>7s} {'sampling':>9s} {'discriminator':>14s} {'together':>9s}")
    for profile in PROFILES:
        settings = params.validate(params.apply_profile("params.yaml", profile), "params.yaml")
        airl, rows, size = settings.airl, settings.training.micro_batch, SIZES[profile]
        policy = needs(size, settings.lora, rows, FOUR_BITS)
        lora = Lora(r=airl.discriminator_r, alpha=2 * airl.discriminator_r)
        other = needs(SIZES[airl.discriminator], lora, rows, TWO_BYTES)
        completions = airl.prompts_per_step * airl.group_size
        keys = size.layers * size.kv_heads * size.head * completions * (PROMPT + WIDTH)
        sampling = policy.kept + 2 * keys * TWO_BYTES
        together = max(max(policy.step, sampling) + other.kept, policy.kept + other.step)
        cells = (policy.step / GIB, sampling / GIB, other.step / GIB, together / GIB)
        print("{:12s} {:7.1f} {:9.1f} {:14.1f} {:9.1f}".format(profile, *cells), flush=True)


if __name__ == "__main__":
    main()
