"""Samples completions from a language model.

What `transformers.generate` costs beyond the model is left out: a prompt is read once for all its samples,
keys and values are written in place, an adapter is merged, and a completion that has ended leaves the batch.
"""

import torch
from tqdm.auto import tqdm
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lib.models import attention, pretrained

ROOM = 32  # tokens for which keys and values get room at a time, where they stand in one piece
AT_ONCE = 8  # rows whose tokens are drawn at once: the vocabulary of more is out of a processor's cache
DROP_AT = 0.75  # of a batch still being written: to drop rows copies the others' keys and values


@torch.no_grad()
def generate(
    model, tokenizer, prompts: list[list[int]], *, temperature: float, max_new_tokens: int, batch_size: int
) -> list[list[int]]:
    """One completion a prompt, as lists of token ids that end with an end token if one was reached.

    Temperature 0 is greedy. Prompts of similar length share a batch; the order of the result is that of
    `prompts`. The random numbers are torch's: a seed gives the same samples again.
    """
    training = model.training
    model.eval()
    ends = torch.tensor(end_ids(model, tokenizer), device=model.device)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
    completions: list[list[int]] = [[] for _ in prompts]
    with pretrained.merged(model):
        for start in tqdm(range(0, len(order), batch_size), desc="sampling", leave=False):
            rows = order[start : start + batch_size]
            written = _sample(model, tokenizer, [prompts[i] for i in rows], ends, temperature, max_new_tokens)
            for i, ids in zip(rows, written, strict=True):
                completions[i] = ids
    model.train(training)
    return completions


def end_ids(model, tokenizer) -> list[int]:
    """The tokens that end a completion: first the one that ends a trace, then the model's others."""
    own = model.generation_config.eos_token_id
    others = [] if own is None else [own] if isinstance(own, int) else own
    return list(dict.fromkeys([tokenizer.eos_token_id, *others]))


def choose(logits_BV: torch.Tensor, temperature: float) -> torch.Tensor:
    """A token a row, shape (B,), with probability softmax(logits / temperature); at 0 the likeliest.

    By the inverse of the cumulative sum: `torch.multinomial` draws a number for each token there is.
    """
    if temperature == 0:
        return logits_BV.argmax(1)
    drawn_B = torch.rand(len(logits_BV), device=logits_BV.device)
    few = zip(logits_BV.split(AT_ONCE), drawn_B.split(AT_ONCE), strict=True)
    return torch.cat([_at(logits_bV, drawn_b, temperature) for logits_bV, drawn_b in few])


def _at(logits_BV: torch.Tensor, drawn_B: torch.Tensor, temperature: float) -> torch.Tensor:
    """The token of each row at a fraction of its probability mass, in the order of the vocabulary."""
    mass_BV = torch.softmax(logits_BV.float() / temperature, 1).cumsum(1)
    at_B1 = drawn_B[:, None] * mass_BV[:, -1:]
    return torch.searchsorted(mass_BV, at_B1, right=True)[:, 0].clamp(max=mass_BV.shape[1] - 1)


def _sample(model, tokenizer, prompts, ends, temperature, max_new_tokens) -> list[list[int]]:
    """One completion a prompt, all in one batch; equal prompts stand next to each other."""
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    place = {prompt: i for i, prompt in enumerate(distinct)}
    of_row_B = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=model.device)
    batch = tokenizer.pad(
        {"input_ids": [list(p) for p in distinct]}, padding_side="left", return_tensors="pt"
    )
    read, cache = batch.to(model.device), DynamicCache()
    positions_DL = (read.attention_mask.cumsum(1) - 1).clamp(min=0)
    logits_DV = model(
        **read, position_ids=positions_DL, past_key_values=cache, use_cache=True, logits_to_keep=1
    ).logits[:, -1]
    grouped = model.config._attn_implementation == attention.GROUPED
    for i, layer in enumerate(cache.layers):
        cache.layers[i] = _Whole(layer, of_row_B, 0) if grouped else _InPlace(layer, of_row_B, max_new_tokens)
    mask_BL, logits_BV = read.attention_mask[of_row_B], logits_DV[of_row_B]
    positions_B = mask_BL.sum(1)
    written_BT = torch.full((len(prompts), max_new_tokens), int(ends[0]), device=model.device)
    rows_B = torch.arange(len(prompts), device=model.device)  # those in the batch
    lengths_B = torch.full_like(rows_B, max_new_tokens)
    writing_B = torch.ones_like(rows_B, dtype=torch.bool)
    for t in range(max_new_tokens):
        tokens_B = choose(logits_BV, temperature)
        written_BT[rows_B, t] = tokens_B
        ended_B = writing_B & torch.isin(tokens_B, ends)
        lengths_B[rows_B[ended_B]] = t + 1
        writing_B &= ~ended_B
        left = int(writing_B.sum())
        if t + 1 == max_new_tokens or not left:
            break
        if left <= DROP_AT * len(rows_B):
            on_B = writing_B.nonzero()[:, 0]
            tokens_B, rows_B, mask_BL, positions_B, writing_B = (
                x[on_B] for x in (tokens_B, rows_B, mask_BL, positions_B, writing_B)
            )
            for layer in cache.layers:
                layer.keep(on_B)
        mask_BL = torch.nn.functional.pad(mask_BL, (0, 1), value=1)
        logits_BV = model(
            input_ids=tokens_B[:, None],
            attention_mask=mask_BL,
            position_ids=positions_B[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        positions_B = positions_B + 1
    return [ids[:n] for ids, n in zip(written_BT.tolist(), lengths_B.tolist(), strict=True)]


class _InPlace(DynamicLayer):
    """Keys and values of a layer with room for what is to come, so that a token copies nothing before it."""

    def __init__(self, read: DynamicLayer, of_row_B: torch.Tensor, room: int):
        super().__init__()
        self.dtype, self.device, self.is_initialized = read.dtype, read.device, True
        self._length = read.keys.shape[2]
        pad = torch.nn.functional.pad
        self._buffers = [pad(x[of_row_B], (0, 0, 0, room)) for x in (read.keys, read.values)]
        self._show()

    def update(self, key_states, value_states, *args, **kwargs):
        new = self._length + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._length : new] = states
        self._length = new
        self._show()
        return self.keys, self.values

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the rows that are not among these."""
        self._buffers = [buffer[rows] for buffer in self._buffers]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)


class _Whole(_InPlace):
    """Keys and values in one piece, with some room at their end that the mask leaves out.

    On two cores a matrix product with a part of each row's takes eight times as long as with the whole.
    """

    def update(self, key_states, value_states, *args, **kwargs):
        lacks = self.get_mask_sizes(key_states.shape[2])[0] - self._buffers[0].shape[2]
        if lacks > 0:
            self._buffers = [torch.nn.functional.pad(buffer, (0, 0, 0, lacks)) for buffer in self._buffers]
        return super().update(key_states, value_states, *args, **kwargs)

    def get_seq_length(self) -> int:
        return self._length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return -(-(self._length + query_length) // ROOM) * ROOM, 0

    def _show(self) -> None:
        self.keys, self.values = self._buffers
