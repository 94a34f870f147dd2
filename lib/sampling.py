"""Samples N traces a question from a policy and describes each, once; every analysis reads the rows."""

from collections.abc import Callable

import torch
from tqdm.auto import tqdm

from lib import traces
from lib.demonstrations import Demonstration


def prompt_text(tokenizer, question: str, system_prompt: str = "") -> str:
    """The chat-formatted prompt after which the policy writes its trace."""
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages.append({"role": "user", "content": question})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def without_room(tokenizer, prompts: list[str], max_new_tokens: int, limit: int) -> int:
    """How many prompts leave fewer than `max_new_tokens` of a model's `limit` of tokens; none is ever cut."""
    lengths = map(len, tokenizer(prompts, add_special_tokens=False).input_ids)
    return sum(length + max_new_tokens > limit for length in lengths)


def token_ends(tokenizer, ids: list[int]) -> list[int]:
    """Where each token ends, in characters of the decoded text (special tokens are empty).

    A character that several tokens share ends with the first of them.
    """
    ends, total, first = [], 0, 0
    for i in range(len(ids)):
        piece = tokenizer.decode(ids[first : i + 1], skip_special_tokens=True)
        ends.append(total + len(piece))
        if not piece.endswith("\ufffd"):  # else the character's last bytes may be in the next token
            total, first = ends[-1], i + 1
    return ends


def unit_of_token(text: str, ends: list[int]) -> list[int]:
    """For each token the index of the unit (see `lib.traces`) its first character belongs to.

    What precedes the first step counts to it, and a line break of its own to the next unit. The end
    token, which has no characters, counts to the answer even where none was written.
    """
    unit_ends = [end for _, end in traces.unit_spans(text)]
    # a token without characters, such as a character's last byte, is where the one before it was
    places = [min(start, end - 1) for start, end in zip([0, *ends], ends, strict=False)]
    units = [next((u for u, last in enumerate(unit_ends) if p < last), len(unit_ends) - 1) for p in places]
    if ends[-2:-1] == ends[-1:] == [len(text)]:
        units[-1] = len(unit_ends) - 1
    return units


def units_of_tokens(tokenizer, ids: list[int]) -> list[int]:
    """The unit of each token of a completion."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return unit_of_token(text, token_ends(tokenizer, ids))


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


def pad_completions(tokenizer, prompts: list[list[int]], completions: list[list[int]]):
    """`input_ids_BL`, `attention_BL` and the completion width T: prompts padded left, completions right."""
    width_p, width_t = max(map(len, prompts)), max(map(len, completions))
    ids_BL = torch.full((len(prompts), width_p + width_t), tokenizer.pad_token_id)
    attention_BL = torch.zeros_like(ids_BL)
    for i, (p, c) in enumerate(zip(prompts, completions, strict=True)):
        ids_BL[i, width_p - len(p) : width_p + len(c)] = torch.tensor(p + c)
        attention_BL[i, width_p - len(p) : width_p + len(c)] = 1
    return ids_BL, attention_BL, width_t


@torch.no_grad()
def logprobs_and_entropies(
    model, tokenizer, prompts: list[str], completions: list[list[int]], *, batch_size: int
) -> list[tuple[list[float], list[float]]]:
    """Per completion the log-probability of each token and the entropy (nats) where it was chosen."""
    model.eval()
    encoded = tokenizer(prompts, add_special_tokens=False).input_ids
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]) + len(completions[i]))
    result: list[tuple[list[float], list[float]]] = [([], [])] * len(prompts)
    for start in tqdm(range(0, len(order), batch_size), desc="log-probabilities", leave=False):
        rows = order[start : start + batch_size]
        ids_BL, attention_BL, width_t = pad_completions(
            tokenizer, [encoded[i] for i in rows], [completions[i] for i in rows]
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


def by_unit(units: list[int], values: list[float], n_units: int, reduce) -> list[float]:
    """`reduce` (min or max) of the token values of each unit; a unit without a token gets 0."""
    return [
        round(reduce((v for u, v in zip(units, values, strict=True) if u == unit), default=0.0), 3)
        for unit in range(n_units)
    ]


def sample_rows(
    model,
    tokenizer,
    problems: list[Demonstration],
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    token_records: int,
    first_wrong_unit: Callable[[str, str], int | None],
    system_prompt: str,
) -> list[dict]:
    """The rows of `samples.jsonl.gz`: n traces a problem, graded, with their log-probabilities.

    `first_wrong_unit(text, expert_trace)` judges a trace. Token-level values are kept for the
    first `token_records` problems only.
    """
    which = [(problem, sample) for problem in range(len(problems)) for sample in range(n)]
    prompts = [prompt_text(tokenizer, problems[p].question, system_prompt) for p, _ in which]
    completions = generate(
        model,
        tokenizer,
        prompts,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    values = logprobs_and_entropies(model, tokenizer, prompts, completions, batch_size=batch_size)
    rows = []
    for (problem, sample), ids, (logprobs, entropies) in zip(which, completions, values, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        trace = traces.parse(text)
        ends = token_ends(tokenizer, ids)
        units, n_units = unit_of_token(text, ends), len(traces.unit_spans(text))
        row = {
            "problem": problem,
            "sample": sample,
            "text": text,
            "correct": traces.is_correct(trace.answer, problems[problem].answer),
            "well_formed": trace.well_formed,
            "first_wrong_unit": first_wrong_unit(text, problems[problem].trace),
            "n_tokens": len(ids),
            "logprob": round(sum(logprobs), 3),
            "unit_logprob": by_unit(units, logprobs, n_units, min),
            "unit_entropy": by_unit(units, entropies, n_units, max),
        }
        if problem < token_records:
            row |= {
                "ends": ends,
                "logprobs": [round(v, 2) for v in logprobs],
                "entropies": [round(v, 2) for v in entropies],
            }
        rows.append(row)
    return rows
