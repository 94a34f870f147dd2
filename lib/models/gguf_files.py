"""Published GGUF files: found, checked, and made into ordinary models that can be trained on."""

import hashlib
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from lib import files

WAYS = (
    "`make weights` fetches it, `make weights WEIGHTS=DIRECTORY` takes it from a directory, and "
    "pretrained.NAME.path takes a model of the hub instead"
)
ORIGIN = "gguf.sha256"  # in the directory of a model that was made of a GGUF file: that file's hash


def check(file: str | Path, sha256: str, *, called: Path | None = None) -> Path:
    """The file, if it is there and has the hash.

    Raises ValueError with the ways to get it; that names the file `called` where `file` is a copy of it.
    """
    file = Path(file)
    if not file.is_file():
        raise ValueError(f"{file}: no such file; {WAYS}")
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(
            f"{called or file}: its SHA-256 is {found[:12]}.., not {sha256[:12]}..; delete it: {WAYS}"
        )
    return file


def ordinary(file: str | Path, sha256: str) -> Path:
    """The directory of the file's model and tokenizer, its weights multiplied out to bfloat16; beside the
    file, made the first time.

    Adapters are then trained on weights of 4 bits, as the paper's are. Raises ValueError as `check` does.
    """
    file = Path(file)
    directory = file.with_suffix("")
    made_of = directory / ORIGIN
    if made_of.is_file() and made_of.read_text(encoding="utf-8") == sha256:
        return directory
    check(file, sha256)
    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    if _is_tied(model):
        model.config.tie_word_embeddings = True
        model.tie_weights()
    with files.new_directory(directory) as temporary:
        model.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(**source).save_pretrained(temporary)
        files.write_text(temporary / ORIGIN, sha256)
    return directory


def _is_tied(model) -> bool:
    """Whether the head is the embedding: a GGUF file does not say so, but has one matrix for both."""
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    return torch.equal(head, embedding)
