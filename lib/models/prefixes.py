"""Reads a prompt once for all the completions that follow it."""

import torch
from transformers import DynamicCache

from lib.models import pretrained


def outputs(
    model, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int, *, prompts_once: bool, **kwargs
):
    """The model's output at the last `width_t` + 1 positions, or at more; `kwargs` are the model's.

    Rows are padded as by `alignment.pad_completions`. With `prompts_once` what precedes those positions is
    read once for all rows in which it is the same, and its keys and values are used by each: as in one pass
    but for rounding.
    """
    before_BP = ids_BL[:, : -width_t - 1]
    distinct = before_BP
    if prompts_once and before_BP.shape[1]:  # of a prompt of one token nothing precedes
        distinct, of_row_B = before_BP.unique(dim=0, return_inverse=True)
    if len(distinct) == len(ids_BL):
        return model(ids_BL, attention_mask=attention_BL, **kwargs)
    first_D = torch.stack([(of_row_B == d).nonzero()[0, 0] for d in range(len(distinct))])
    cache = DynamicCache()
    mask_DP = attention_BL[first_D, : -width_t - 1]
    decoder = pretrained.without_adapter(model).base_model  # the adapter's layers are in it, the head is not
    decoder(before_BP[first_D], attention_mask=mask_DP, past_key_values=cache, use_cache=True)
    cache.batch_select_indices(of_row_B)
    return model(ids_BL[:, -width_t - 1 :], attention_mask=attention_BL, past_key_values=cache, **kwargs)
