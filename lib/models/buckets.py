"""Asks a model about rows of different lengths, similar ones together, so that little is padding."""

from collections.abc import Callable

import torch

ROWS = 32  # at once: on a CPU twice as fast as 512, whose activations no cache holds


def in_buckets(
    values: Callable[[torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, ...]],
    ids_BL: torch.Tensor,
    attention_BL: torch.Tensor,
    width_t: int,
) -> list[torch.Tensor]:
    """What `values(ids, attention, width)` says of the last `width_t` tokens, tensors of shape (B, T).

    Rows are padded as by `alignment.pad_completions`, and 0 is on padding. So are those that `values` gets,
    fewer at a time and without the columns that are padding in all of them: what it says may be a sum over
    the completion so far. Gradients pass.
    """
    start = ids_BL.shape[1] - width_t  # of the completions
    prompt_B, completion_B = attention_BL[:, :start].sum(1), attention_BL[:, start:].sum(1)
    order_B = (prompt_B + completion_B).argsort(stable=True)
    parts = []
    for rows in order_B.split(ROWS):
        width = int(completion_B[rows].max())
        columns = slice(start - int(prompt_B[rows].max()), start + width)
        found = values(ids_BL[rows, columns], attention_BL[rows, columns], width)
        is_token_BT = attention_BL[rows, start : start + width] == 1
        right = (0, width_t - width)
        parts.append([torch.nn.functional.pad(v.masked_fill(~is_token_BT, 0.0), right) for v in found])
    back_B = order_B.argsort()
    return [torch.cat(part)[back_B] for part in zip(*parts, strict=True)]
