"""Reads completions after their prompts: a prompt once for all of its, those of similar length together."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from transformers import DynamicCache

from lib.models import pretrained

ROWS = 32  # at once, at most
TOGETHER = 8 * ROWS  # whose prompts are read together
STATES = 2**20  # numbers at once in the hidden states of a layer on a CPU, whose cache holds no more

Read = Callable[[torch.Tensor, torch.Tensor, int, DynamicCache | None], Sequence[torch.Tensor]]


class _Prompts(NamedTuple):
    """Keys and values, by layer, of each distinct prompt but its last token; and which is a row's."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    of_row_B: torch.Tensor

    def cache(self, rows: torch.Tensor) -> DynamicCache:
        """Those of some rows, whole: a key knows its column, and the model counts on from the last."""
        cache, of = DynamicCache(), self.of_row_B[rows]
        for i, (keys, values) in enumerate(self.layers):
            cache.update(keys[of], values[of], i)
        return cache


def in_buckets(
    read: Read, model, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int
) -> list[torch.Tensor]:
    """What `read(ids, attention, width, cache)` says of the last `width_t` tokens, tensors of shape (B, T).

    Rows are padded as by `alignment.pad_completions`, and 0 is on padding. So are those that `read` gets,
    fewer at a time and without the columns that are padding in all of them: what it says may be a sum over
    the completion so far. Where rows share prompts, `ids` begin with the prompt's last token, and the model's
    keys and values of all before it are in `cache`, which is None elsewhere. Gradients pass; where none are
    kept, adapters are merged.
    """
    with nullcontext() if torch.is_grad_enabled() else pretrained.merged(model):
        return _in_buckets(read, model, ids_BL, attention_BL, width_t)


def _in_buckets(read: Read, model, ids_BL, attention_BL, width_t: int) -> list[torch.Tensor]:
    start = ids_BL.shape[1] - width_t  # of the completions
    prompt_B, completion_B = attention_BL[:, :start].sum(1), attention_BL[:, start:].sum(1)
    prompts = _read_prompts(model, ids_BL[:, : start - 1], attention_BL[:, : start - 1])
    length_B = completion_B if prompts else prompt_B + completion_B
    order_B = length_B.argsort(stable=True)
    parts = []
    for rows in order_B.split(_at_once(model, width_t if prompts else ids_BL.shape[1])):
        width = int(completion_B[rows].max())
        first = 0 if prompts else start - int(prompt_B[rows].max())
        attention = attention_BL[rows, first : start + width]
        ids = ids_BL[rows, start - 1 if prompts else first : start + width]
        cache = prompts.cache(rows) if prompts else None
        found = read(ids, attention, width, cache)
        is_token_BT = attention_BL[rows, start : start + width] == 1
        right = (0, width_t - width)
        parts.append([torch.nn.functional.pad(v.masked_fill(~is_token_BT, 0.0), right) for v in found])
    back_B = order_B.argsort()
    return [torch.cat(part)[back_B] for part in zip(*parts, strict=True)]


def _at_once(model, length: int) -> int:
    """How many rows of a length are read at once."""
    if model.device.type != "cpu":
        return ROWS
    return min(ROWS, max(1, STATES // (length * model.config.hidden_size)))


def once(read: Callable[[list], Sequence], asked: Sequence[Hashable]) -> list:
    """What `read` says of each, in order; it gets equal ones once."""
    distinct = list(dict.fromkeys(asked))
    said = dict(zip(distinct, read(distinct), strict=True))
    return [said[one] for one in asked]


def order(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[int]:
    """Rows in an order in which equal prompts stand together, and what is of similar length."""
    return sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i], len(completions[i])))


def _read_prompts(model, ids_BP: torch.Tensor, attention_BP: torch.Tensor) -> _Prompts | None:
    """None where no rows share a prompt, or where activations are not kept: keys would be lost with them."""
    inner = pretrained.without_adapter(model)
    if not ids_BP.shape[1] or (inner.training and inner.is_activation_checkpointing):
        return None
    distinct, of_row_B = torch.cat([ids_BP, attention_BP], 1).unique(dim=0, return_inverse=True)
    if len(distinct) == len(ids_BP):
        return None
    (ids_DP, attention_DP), cache = distinct.chunk(2, 1), DynamicCache()
    # the adapter's layers are in it, the head is not
    inner.base_model(ids_DP, attention_mask=attention_DP, past_key_values=cache, use_cache=True)
    return _Prompts([(layer.keys, layer.values) for layer in cache.layers], of_row_B)
