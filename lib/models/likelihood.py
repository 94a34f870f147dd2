"""How likely a language model finds completions, token by token."""

import torch
from tqdm.auto import tqdm

from lib.text import alignment


@torch.no_grad()
def logprobs_and_entropies(
    model, tokenizer, prompts: list[list[int]], completions: list[list[int]], *, batch_size: int
) -> list[tuple[list[float], list[float]]]:
    """Per completion the log-probability of each token and the entropy (nats) where it was chosen."""
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(completions[i]))
    result: list[tuple[list[float], list[float]]] = [([], [])] * len(prompts)
    for start in tqdm(range(0, len(order), batch_size), desc="log-probabilities", leave=False):
        rows = order[start : start + batch_size]
        ids_BL, attention_BL, width_t = alignment.pad_completions(
            tokenizer, [prompts[i] for i in rows], [completions[i] for i in rows]
        )
        ids_BL, attention_BL = ids_BL.to(model.device), attention_BL.to(model.device)
        logits_BTV = model(ids_BL, attention_mask=attention_BL, logits_to_keep=width_t + 1).logits[:, :-1]
        logprobs_BTV = logits_BTV.float().log_softmax(-1)
        chosen_BT = logprobs_BTV.gather(-1, ids_BL[:, -width_t:, None]).squeeze(-1)
        entropy_BT = -(logprobs_BTV.exp() * logprobs_BTV).sum(-1)
        for i, logprobs, entropies in zip(rows, chosen_BT.tolist(), entropy_BT.tolist(), strict=True):
            n = len(completions[i])
            result[i] = (logprobs[:n], entropies[:n])
    return result
