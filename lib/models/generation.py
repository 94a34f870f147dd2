"""Samples completions from a language model."""

import torch
from tqdm.auto import tqdm


@torch.no_grad()
def generate(
    model, tokenizer, prompts: list[str], *, temperature: float, max_new_tokens: int, batch_size: int
):
    """One completion a prompt, as lists of token ids that end with the end token if it was reached.

    Prompts of similar length share a batch; the order of the result is that of `prompts`.
    """
    model.eval()
    encoded = tokenizer(prompts, add_special_tokens=False).input_ids
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    completions: list[list[int]] = [[] for _ in prompts]
    for start in tqdm(range(0, len(order), batch_size), desc="sampling", leave=False):
        rows = order[start : start + batch_size]
        batch = tokenizer.pad(
            {"input_ids": [encoded[i] for i in rows]}, padding_side="left", return_tensors="pt"
        )
        output = model.generate(
            **batch.to(model.device),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
        for i, ids in zip(rows, output[:, batch.input_ids.shape[1] :].tolist(), strict=True):
            completions[i] = (
                ids[: ids.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in ids else ids
            )
    return completions
