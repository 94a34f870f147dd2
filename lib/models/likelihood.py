"""How likely a language model finds completions, token by token; the logits of a batch are never held."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from tqdm.auto import tqdm
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from lib.models import prefixes, pretrained
from lib.text import alignment

NOT_SCORED = -100  # the label of a token that the head leaves out


def of_tokens(
    model,
    ids_BL: torch.Tensor,
    attention_BL: torch.Tensor,
    width_t: int,
    *,
    entropies: bool = False,
    prompts_once: bool = False,
) -> FusedCausalLMOutput:
    """`log_probs` of the last `width_t` tokens and, if asked for, the `entropy` where each was chosen.

    Both in nats, of shape (B, T), and 0 on padding; gradients reach the model. Rows are padded
    as by `alignment.pad_completions`; for `prompts_once` see `prefixes.outputs`.
    """
    labels_BL = ids_BL.masked_fill(attention_BL == 0, NOT_SCORED)[:, -width_t - 1 :]
    with _fused_head(model, width_t + 1, ("log_probs", "entropy") if entropies else ("log_probs",)):
        return prefixes.outputs(
            model,
            ids_BL,
            attention_BL,
            width_t,
            prompts_once=prompts_once,
            labels=labels_BL,
            fused_lm_head=True,
        )


@contextmanager
def _fused_head(model, width: int, outputs: tuple[str, ...]) -> Iterator[None]:
    """Put TRL's fused head on a model, for a moment, to project its last `width` positions alone.

    For a moment, since a trainer may have put another on the same model, with a temperature of its own.
    """
    causal_lm = pretrained.without_adapter(model)
    forward = causal_lm.forward
    add_fused_lm_head(causal_lm, outputs=outputs)

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
    model, tokenizer, prompts: list[list[int]], completions: list[list[int]], *, batch_size: int
) -> list[tuple[list[float], list[float]]]:
    """Per completion the log-probability of each token and the entropy (nats) where it was chosen."""
    result: list[tuple[list[float], list[float]]] = [([], [])] * len(prompts)
    for rows, found in _read(model, tokenizer, prompts, completions, batch_size, entropies=True):
        for i, logprobs, entropies in zip(
            rows, found.log_probs.tolist(), found.entropy.tolist(), strict=True
        ):
            n = len(completions[i])
            result[i] = (logprobs[:n], entropies[:n])
    return result


def log_densities(
    model, tokenizer, prompts: list[list[int]], completions: list[list[int]], *, batch_size: int
) -> list[float]:
    """The log-probability of each completion as a whole, nats."""
    result = [0.0] * len(prompts)
    for rows, found in _read(model, tokenizer, prompts, completions, batch_size, entropies=False):
        for i, total in zip(rows, found.log_probs.sum(1).tolist(), strict=True):
            result[i] = total
    return result


@torch.no_grad()
def _read(
    model, tokenizer, prompts, completions, batch_size: int, *, entropies: bool
) -> Iterator[tuple[list[int], FusedCausalLMOutput]]:
    """Batches of completions of similar length: which they are, and what `of_tokens` says of them."""
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(completions[i]))
    for start in tqdm(range(0, len(order), batch_size), desc="log-probabilities", leave=False):
        rows = order[start : start + batch_size]
        ids_BL, attention_BL, width_t = alignment.pad_completions(
            tokenizer, [prompts[i] for i in rows], [completions[i] for i in rows]
        )
        ids_BL, attention_BL = ids_BL.to(model.device), attention_BL.to(model.device)
        yield rows, of_tokens(model, ids_BL, attention_BL, width_t, entropies=entropies)
