"""Backbones: a tokenizer and causal LMs built and trained from scratch, saved as Hugging Face directories."""

import random
from collections.abc import Iterator

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tqdm.auto import tqdm
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from trl.trainer.utils import pad

from lib.text import traces

PAD, END, SEPARATOR = "<|endoftext|>", "<|end|>", "<|sep|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '" + END + "' }}{% endgeneration %}"
    "{% else %}{{ message.content + '" + SEPARATOR + "' }}{% endif %}{% endfor %}"
)
# AutoTokenizer gives every Qwen2 directory this word pattern and NFC, whatever its tokenizer.json says
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONFIGS = {"qwen2": Qwen2Config, "llama": LlamaConfig}


def train_tokenizer(texts: list[str], whole_numbers: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the words of some texts, in which each number up to `whole_numbers` is one token.

    Other numbers are split into digits, and any other text falls back to smaller pieces, bytes at last, so
    nothing is unknown; decoding gives the text back in Unicode's composed form (NFC).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=2,
        special_tokens=[PAD, END, SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers = [str(n) for n in range(10, whole_numbers + 1)]
    tokenizer.add_tokens([*traces.TAGS, *numbers])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build(architecture: str, hidden: int, layers: int, heads: int, tokenizer) -> PreTrainedModel:
    """A causal LM with random weights; `architecture` is a key of `CONFIGS`."""
    config = CONFIGS[architecture](
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config)


def corpus(
    tokenizer, texts: Iterator[tuple[str, str]], rng: random.Random, batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches of questions with their solutions; the loss is on the solutions."""

    def row() -> tuple[list[int], list[int]]:
        question, solution = next(texts)
        return tokenizer(question + SEPARATOR).input_ids, tokenizer(solution + END).input_ids

    while True:
        # rows of similar length share a batch, so that little of it is padding
        pool = sorted((row() for _ in range(16 * batch_size)), key=lambda r: len(r[0]) + len(r[1]))
        batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        rng.shuffle(batches)
        for rows in batches:
            ids = pad([torch.tensor(p + s) for p, s in rows], tokenizer.pad_token_id)
            labels = pad([torch.tensor([-100] * len(p) + s) for p, s in rows], -100)
            # right padding behind a causal mask needs no attention mask
            yield {"input_ids": ids, "labels": labels}


def pretrain(
    model: PreTrainedModel,
    batches: Iterator[dict[str, torch.Tensor]],
    steps: int,
    lr_matrices: float,
    lr_rest: float,
) -> list[float]:
    """Train from scratch, Muon on the matrices and AdamW on the rest, linear decay; returns the losses."""
    embeddings = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not embeddings]
    rest = [p for p in model.parameters() if p.ndim != 2 or p is embeddings]
    optimizers = [
        torch.optim.Muon(matrices, lr=lr_matrices, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr_rest, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda s: min(1.0, (s + 1) / 20, 1.25 * (1 - s / steps) + 0.02))
        for o in optimizers
    ]
    losses = []
    model.train()
    for _ in tqdm(range(steps), desc="pretraining"):
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        losses.append(loss.item())
    return losses
