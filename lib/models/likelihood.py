"""How likely a language model finds completions, token by token; the logits of a batch are never held."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from tqdm.auto import tqdm
from trl.trainer import utils

from lib.models import buckets, pretrained
from lib.text import alignment

NOT_SCORED = -100  # the label of a token that the head leaves out

if (
    not torch.cuda.is_available()
):  # tokens of the vocabulary that TRL's head scores at once; a cache holds no more
    utils._CHUNKED_LOGPROB_CHUNK_SIZE = 4096


class Tokens(NamedTuple):
    """Of each token of completions its log-probability and, if asked for, the entropy where it was chosen.

    Both in nats, of shape (B, T), and 0 on padding.
    """

    log_probs_BT: torch.Tensor
    entropies_BT: torch.Tensor | None = None


def of_tokens(
    model,
    ids_BL: torch.Tensor,
    attention_BL: torch.Tensor,
    width_t: int,
    *,
    entropies: bool = False,
    temperature: float = 1.0,
) -> Tokens:
    """How likely the last `width_t` tokens are; gradients reach the model.

    Rows are padded as by `alignment.pad_completions`, and read as by `buckets.in_buckets`.
    """
    outputs = ("log_probs", "entropy")[: 1 + entropies]

    def read(ids, attention, width, cache):
        labels = ids.masked_fill(attention[:, -ids.shape[1] :] == 0, NOT_SCORED)[:, -width - 1 :]
        with _fused_head(model, width + 1, outputs, temperature):
            found = model(
                ids, attention_mask=attention, past_key_values=cache, labels=labels, fused_lm_head=True
            )
        return [getattr(found, name) for name in outputs]

    return Tokens(*buckets.in_buckets(read, model, ids_BL, attention_BL, width_t))


@contextmanager
def _fused_head(model, width: int, outputs: tuple[str, ...], temperature: float) -> Iterator[None]:
    """Put TRL's fused head on a model, for a moment, to project its last `width` positions alone.

    For a moment, since a trainer may have put another on the same model, with a temperature of its own.
    """
    causal_lm = pretrained.without_adapter(model)
    forward = causal_lm.forward
    utils.add_fused_lm_head(causal_lm, temperature, outputs=outputs)

    def keep_last(_module, _args, output):
        output.last_hidden_state = output.last_hidden_state[:, -width:].contiguous()
        return output

    # on a CPU the head would project the prompts too
    hook = causal_lm.base_model.register_forward_hook(keep_last)
    try:
        yield
    finally:
        hook.remove()
        causal_lm.forward = forward


def logprobs_and_entropies(
    model, tokenizer, prompts: list[list[int]], completions: list[list[int]]
) -> list[tuple[list[float], list[float]]]:
    """Per completion the log-probability of each token and the entropy (nats) where it was chosen."""
    result: list[tuple[list[float], list[float]]] = [([], [])] * len(prompts)
    for rows, found in _read(model, tokenizer, prompts, completions, entropies=True):
        for i, logprobs, entropies in zip(
            rows, found.log_probs_BT.tolist(), found.entropies_BT.tolist(), strict=True
        ):
            n = len(completions[i])
            result[i] = (logprobs[:n], entropies[:n])
    return result


def log_densities(model, tokenizer, prompts: list[list[int]], completions: list[list[int]]) -> list[float]:
    """The log-probability of each completion as a whole, nats."""
    result = [0.0] * len(prompts)
    for rows, found in _read(model, tokenizer, prompts, completions, entropies=False):
        for i, total in zip(rows, found.log_probs_BT.sum(1).tolist(), strict=True):
            result[i] = total
    return result


@torch.no_grad()
def _read(model, tokenizer, prompts, completions, *, entropies: bool) -> Iterator[tuple[list[int], Tokens]]:
    """Batches of completions, equal prompts together: which they are, and what `of_tokens` says of them."""
    model.eval()
    order = buckets.order(prompts, completions)
    for start in tqdm(range(0, len(order), buckets.TOGETHER), desc="log-probabilities", leave=False):
        rows = order[start : start + buckets.TOGETHER]
        ids_BL, attention_BL, width_t = alignment.pad_completions(
            tokenizer, [prompts[i] for i in rows], [completions[i] for i in rows]
        )
        ids_BL, attention_BL = ids_BL.to(model.device), attention_BL.to(model.device)
        yield rows, of_tokens(model, ids_BL, attention_BL, width_t, entropies=entropies)
