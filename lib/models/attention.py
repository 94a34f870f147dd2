"""Attention of one new token by grouped queries, for a CPU; everything else is as transformers does it.

There `sdpa` with a mask copies keys and values once for each query head that shares them, at every token.
Here the query heads of a key head stand as rows of one matrix product, and nothing is copied.
"""

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

GROUPED = "grouped"


def grouped(module, query_BHQD, key_BKLD, value_BKLD, attention_mask, *, scaling=None, **kwargs):
    """What an attention function of transformers returns, the output of shape (B, Q, H, D) and no weights."""
    B, H, Q, D = query_BHQD.shape
    if Q > 1 or query_BHQD.requires_grad or attention_mask is None or query_BHQD.is_cuda:
        return sdpa_attention_forward(
            module, query_BHQD, key_BKLD, value_BKLD, attention_mask, scaling=scaling, **kwargs
        )
    K, scale = key_BKLD.shape[1], D**-0.5 if scaling is None else scaling
    query_BKGD = query_BHQD.reshape(B, K, H // K, D)
    scores_BKGL = (query_BKGD @ key_BKLD.transpose(2, 3)) * scale
    if attention_mask.dtype == torch.bool:
        scores_BKGL = scores_BKGL.masked_fill(~attention_mask, torch.finfo(scores_BKGL.dtype).min)
    else:
        scores_BKGL = scores_BKGL + attention_mask
    weights_BKGL = scores_BKGL.softmax(-1, dtype=torch.float32).to(value_BKLD.dtype)
    return (weights_BKGL @ value_BKLD).reshape(B, 1, H, D), None


AttentionInterface.register(GROUPED, grouped)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
