"""Samples completions from a language model."""

import torch
from tqdm.auto import tqdm


@torch.no_grad()
def generate(
    model, tokenizer, prompts: list[list[int]], *, temperature: float, max_new_tokens: int, batch_size: int
) -> list[list[int]]:
    """One completion a prompt, as lists of token ids that end with an end token if one was reached.

    Prompts of similar length share a batch; the order of the result is that of `prompts`.
    """
    model.eval()
    ends = end_ids(model, tokenizer)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions: list[list[int]] = [[] for _ in prompts]
    for start in tqdm(range(0, len(order), batch_size), desc="sampling", leave=False):
        rows = order[start : start + batch_size]
        batch = tokenizer.pad(
            {"input_ids": [prompts[i] for i in rows]}, padding_side="left", return_tensors="pt"
        )
        output = model.generate(
            **batch.to(model.device),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max_new_tokens,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
        )
        for i, ids in zip(rows, output[:, batch.input_ids.shape[1] :].tolist(), strict=True):
            length = next((t for t, token in enumerate(ids, 1) if token in ends), len(ids))
            completions[i] = ids[:length]
    return completions


def end_ids(model, tokenizer) -> list[int]:
    """The tokens that end a completion: first the one that ends a trace, then the model's others."""
    own = model.generation_config.eos_token_id
    others = [] if own is None else [own] if isinstance(own, int) else own
    return list(dict.fromkeys([tokenizer.eos_token_id, *others]))
