"""Tiny models with random weights that look like the hub's: architecture, tokenizer, chat template.

The tokenizers are byte-level BPE trained on the given texts, with the families' way to split numbers (Qwen2
into digits, Llama 3 into up to three), special tokens and chat formats; Llama has no padding token, and its
prompts print today's date. `sentencepiece` is a tokenizer of the older kind.
"""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from lib.schema import Pretrained

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = {
    "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
}
TEMPLATES = {
    "qwen2": (
        "{% if messages[0].role != 'system' %}"
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "llama": (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: {{ date_string }}\n\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}"
        "{% endif %}<|eot_id|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "sentencepiece": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
        "{% else %}[INST]{{ m.content }}[/INST]{{ '\n' }}{% endif %}{% endfor %}"
    ),
}


def tokenizer(family: str, texts: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer of a family's stand-in."""
    tokenizer = Tokenizer(models.BPE())
    digits = r"\p{N}" if family == "qwen2" else r"\p{N}{1,3}"
    tokenizer.normalizer = normalizers.NFC() if family == "qwen2" else None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS % digits), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    special = SPECIAL[family]
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    named = {"eos_token": special[-1], "pad_token" if family == "qwen2" else "bos_token": special[0]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATES[family], **named)


def build(directory: Path, family: str, texts: list[str]) -> None:
    """Write a stand-in of a family, "qwen2" or "llama", as a directory of the hub's layout."""
    fast = tokenizer(family, texts)
    fast.save_pretrained(directory)
    shape = dict(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=fast.eos_token_id,
    )
    if family == "qwen2":
        config = Qwen2Config(**shape, rope_theta=1e6)
    else:
        scaling = {
            "rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 1024,
        }  # fmt: skip
        config = LlamaConfig(**shape, rope_parameters=scaling, bos_token_id=fast.bos_token_id)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)


def source(directory: Path) -> Pretrained:
    """A directory of weights as `pretrained` of the parameters names it."""
    return Pretrained(path=str(directory), gguf="", sha256="", four_bit=False)


def sentencepiece(texts: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer in Llama 2's style: spaces as ▁, one before what starts a text, bytes for the unknown."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=500, show_progress=False)
    words.train_from_iterator([text.replace("\n", " ") for text in texts], trainer)
    trained = json.loads(words.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *trained["vocab"]]
    tokenizer = Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate(pieces)},
            [tuple(pair) for pair in trained["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        chat_template=TEMPLATES["sentencepiece"],
    )
