"""Attention of grouped queries, for a CPU, of one new token or with gradients; else as transformers does it.

There `sdpa` with a mask copies keys and values once for each query head that shares them, at every token, and
its gradients take half as long again. Here the query heads of a key head stand as rows of one matrix product,
and nothing is copied.
"""

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

GROUPED = "grouped"


def grouped(module, query_BHQD, key_BKLD, value_BKLD, attention_mask, *, scaling=None, **kwargs):
    """What an attention function of transformers returns, the output of shape (B, Q, H, D) and no weights."""
    B, H, Q, D = query_BHQD.shape
    by_hand = Q == 1 or query_BHQD.requires_grad
    if not by_hand or attention_mask is None or query_BHQD.is_cuda:
        return sdpa_attention_forward(
            module, query_BHQD, key_BKLD, value_BKLD, attention_mask, scaling=scaling, **kwargs
        )
    K, scale = key_BKLD.shape[1], D**-0.5 if scaling is None else scaling
    # the query heads of a key head, Q rows each
    query_BKRD = (query_BHQD * scale).reshape(B, K, H // K * Q, D)
    scores_BHQL = (query_BKRD @ key_BKLD.transpose(2, 3)).reshape(B, H, Q, -1)
    if attention_mask.dtype == torch.bool:
        scores_BHQL = scores_BHQL.masked_fill(~attention_mask, torch.finfo(scores_BHQL.dtype).min)
    else:
        scores_BHQL = scores_BHQL + attention_mask
    weights_BHQL = scores_BHQL.softmax(-1, dtype=torch.float32).to(value_BKLD.dtype)
    output_BKRD = weights_BHQL.reshape(B, K, H // K * Q, -1) @ value_BKLD
    return output_BKRD.reshape(B, H, Q, D).transpose(1, 2), None


AttentionInterface.register(GROUPED, grouped)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
