"""Reads a prompt once for all the completions that follow it."""

import torch
from transformers import DynamicCache


def outputs(model, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int, **kwargs) -> torch.Tensor:
    """The model's outputs at the last `width_t` + 1 positions, or at more where no two prompts are the same.

    Rows are padded as by `sampling.pad_completions`. What precedes those positions is read once for all rows
    in which it is the same, and its keys and values are used by each: as in one pass but for rounding.
    """
    before_BP = ids_BL[:, : -width_t - 1]
    distinct = before_BP
    if before_BP.shape[1]:  # of a prompt of one token nothing precedes
        distinct, of_row_B = before_BP.unique(dim=0, return_inverse=True)
    if len(distinct) == len(ids_BL):
        return model(ids_BL, attention_mask=attention_BL, **kwargs).logits
    first_D = torch.stack([(of_row_B == d).nonzero()[0, 0] for d in range(len(distinct))])
    cache = DynamicCache()
    mask_DP = attention_BL[first_D, : -width_t - 1]
    model(before_BP[first_D], attention_mask=mask_DP, past_key_values=cache, use_cache=True)
    cache.batch_select_indices(of_row_B)
    return model(
        ids_BL[:, -width_t - 1 :], attention_mask=attention_BL, past_key_values=cache, use_cache=True
    ).logits
