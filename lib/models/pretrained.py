"""Loads backbones, trained here or elsewhere, and the policies that adapters make of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
)

from lib import files
from lib.models import attention, gguf_files, templates
from lib.schema import Pretrained

SOURCE = "source.json"  # in the directory of a backbone that was trained elsewhere
HERE = "."  # in its place of a path: the weights stand beside it


def write_pretrained(directory: str | Path, source: Pretrained) -> None:
    """Make the directory of a backbone that was trained elsewhere: its tokenizer, and where its weights are.

    Those of a GGUF file are made an ordinary model first (`gguf_files.ordinary`). The tokenizer is settled
    (see `lib.models.templates`). Raises ValueError with the way out if it or the weights cannot be had, or if
    it cannot be trained on traces.
    """
    path = source.path
    if source.gguf:
        path = str(gguf_files.ordinary(Path(path) / source.gguf, source.sha256))
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        AutoConfig.from_pretrained(path)
    except OSError as error:
        raise ValueError(
            f"pretrained: {path} cannot be loaded; name a directory of weights in params.yaml, or connect: "
            f"{str(error).splitlines()[0]}"
        ) from error
    try:
        templates.settle(tokenizer)
    except ValueError as error:
        raise ValueError(f"pretrained: {path}: {error}") from error
    tokenizer.save_pretrained(directory)
    kept = {"path": path, "gguf_sha256": source.sha256, "four_bit": source.four_bit}
    files.write_json(Path(directory) / SOURCE, kept)


def weights(directory: str | Path) -> dict:
    """The arguments with which `from_pretrained` of any class loads a backbone directory's weights.

    Raises FileNotFoundError with the way out if there are none.
    """
    directory = Path(directory)
    if (directory / SOURCE).exists():
        source = json.loads((directory / SOURCE).read_text(encoding="utf-8"))
        on_gpu = torch.cuda.is_available()
        four_bit = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_use_double_quant=True,
        )
        return {
            "pretrained_model_name_or_path": directory if source["path"] == HERE else source["path"],
            "dtype": torch.bfloat16 if on_gpu or source["gguf_sha256"] else torch.float32,
            "quantization_config": four_bit if source["four_bit"] else None,
            "attn_implementation": "sdpa" if on_gpu else attention.GROUPED,
        }
    if not (directory / "config.json").exists():
        raise FileNotFoundError(
            f"{directory}: no backbone here; `dvc repro` makes it, or set its path in params.yaml"
        )
    # kept in bfloat16 (see `stored`), read into full precision
    return {"pretrained_model_name_or_path": directory, "dtype": torch.float32}


def stored(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as records keep them, in bfloat16, half the room; what a record tells was done with these."""
    return {name: weight.detach().to(torch.bfloat16) for name, weight in weights.items()}


def placed(model):
    """The model on the GPU, where there is one; a model in 4 bits is there already."""
    on_gpu = torch.cuda.is_available() and not getattr(model, "is_quantized", False)
    return model.to("cuda") if on_gpu else model


def load_backbone(directory: str | Path):
    """The causal LM and tokenizer of a backbone directory.

    Raises FileNotFoundError with the way out if there is none.
    """
    return causal_lm(directory), AutoTokenizer.from_pretrained(directory)


def causal_lm(directory: str | Path):
    """The causal LM of a backbone directory, with none of its authors' penalties and ways of sampling.

    Raises FileNotFoundError with the way out if there is none.
    """
    model = AutoModelForCausalLM.from_pretrained(**weights(directory))
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    for weight in model.parameters():
        if weight.device.type == "cpu":  # a mapped file's stay in small pages, which slow every product
            weight.data = weight.data.clone()
    return _neutral(model)


def _contiguous(_head, hidden: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Of a slice of each row, `matmul` makes a product a row, with a copy of a frozen head's weight each."""
    return (hidden[0].contiguous(),)


def load_policy(backbone: str | Path, saved: str | Path | None = None):
    """A policy to sample from: the backbone, with the adapter that was saved in a directory."""
    model = placed(load_backbone(backbone)[0])
    return model if saved is None else PeftModel.from_pretrained(model, saved)


def load_to_train(backbone: str | Path, settings, saved: str | Path | None = None):
    """A policy to train, and the adapter that its trainer is to give it.

    None, where it goes on from the one that was saved in a directory.
    """
    model = causal_lm(backbone)
    if saved is None:
        return model, lora(settings)
    return PeftModel.from_pretrained(model, saved, is_trainable=True), None


def without_adapter(model):
    """The transformers model that a model's adapters are on; the model itself where there are none."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def merged(model) -> Iterator[None]:
    """The model with its active adapters in its weights; afterwards these are what they were, bit for bit."""
    quantised = getattr(without_adapter(model), "is_quantized", False)
    adapted = [m for m in model.modules() if isinstance(m, LoraLayer) and not m.disable_adapters]
    layers = [] if quantised else adapted
    weights = [layer.get_base_layer().weight for layer in layers]
    before = [weight.data for weight in weights]
    try:
        for layer in layers:
            layer.merge(safe_merge=True)  # into a copy
        yield
    finally:
        for layer, weight, data in zip(layers, weights, before, strict=True):
            weight.data = data
            layer.merged_adapters.clear()


def _neutral(model):
    """The model without its authors' penalties and ways of sampling, in training as in sampling."""
    theirs = model.generation_config
    kept = {name: getattr(theirs, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**kept)
    return model


def lora(settings) -> LoraConfig:
    """The policy's adapter, on every linear layer."""
    return LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
