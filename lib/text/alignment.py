"""Aligns tokens with the characters and the units of a trace, and pads rows of tokens."""

from collections.abc import Collection
from functools import partial
from itertools import accumulate

import torch
from trl.trainer.utils import pad

from lib.text import traces


def token_ends(tokenizer, ids: list[int]) -> list[int]:
    """Where each token ends, in characters of the decoded text (special tokens are empty).

    A character that several tokens share ends with the first of them.
    """
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    # a SentencePiece tokenizer drops a space where a text starts: no piece but the first may seem to
    before = tokenizer("a", add_special_tokens=False).input_ids
    ends, total, first = [], 0, 0
    for i in range(len(ids)):
        context = before if total else []
        piece = decode(context + ids[first : i + 1])
        ends.append(total + len(piece) - (1 if context else 0))
        if ends[-1] and not piece.endswith("\ufffd"):  # else the last character may end in the next token
            total, first = ends[-1], i + 1
    if ends and ends[-1] != len(decode(ids)):  # bytes that are a character become none by those that follow
        ends = [len(decode(ids[: i + 1])) for i in range(len(ids))]
    # of an unfinished character some tokenizers decode each byte as one of its own
    return list(accumulate(reversed(ends), min))[::-1]


def unit_of_token(text: str, ends: list[int]) -> list[int]:
    """For each token the index of the unit (see `lib.text.traces`) its first character belongs to.

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


def pad_completions(tokenizer, prompts: list[list[int]], completions: list[list[int]]):
    """`input_ids_BL`, `attention_BL` and the completion width T: prompts padded left, completions right."""
    left = [torch.tensor(ids, dtype=torch.long) for ids in prompts]
    right = [torch.tensor(ids, dtype=torch.long) for ids in completions]
    padding = tokenizer.pad_token_id
    ids_BL = torch.cat([pad(left, padding, "left"), pad(right, padding)], 1)
    is_token = [
        pad([torch.ones_like(ids) for ids in left], 0, "left"),
        pad([torch.ones_like(ids) for ids in right]),
    ]
    return ids_BL, torch.cat(is_token, 1), max(map(len, completions))


def by_unit(units: list[int], values: list[float], n_units: int, reduce) -> list[float]:
    """`reduce` (min or max) of the token values of each unit; a unit without a token gets 0."""
    return [
        round(reduce((v for u, v in zip(units, values, strict=True) if u == unit), default=0.0), 3)
        for unit in range(n_units)
    ]


def unit_masks(units: list[list[int]], width_t: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From each row's unit index per token: the token mask, the last unit's tokens, the ends of the steps."""
    units_BT = torch.tensor([row + [-1] * (width_t - len(row)) for row in units])
    last_B = torch.tensor([row[-1] for row in units])
    mask_BT, step_ends_BT = units_BT >= 0, torch.zeros_like(units_BT, dtype=torch.bool)
    step_ends_BT[:, :-1] = (units_BT[:, :-1] != units_BT[:, 1:]) & mask_BT[:, 1:]
    return mask_BT, units_BT == last_B[:, None], step_ends_BT


def at_unit_ends(values: list[float], boundaries: list[bool], units: list[int], n_units: int) -> list[float]:
    """f before the first unit (at the first token), then at each unit's end: length n_units + 1.

    Where a unit has no boundary of its own the value before it stands, so its drop is 0.
    """
    at_ends, last = [values[0]], values[0]
    for unit in range(n_units):
        for value, marked, u in zip(values, boundaries, units, strict=True):
            if marked and u == unit:
                last = value
        at_ends.append(last)
    return at_ends


def unpad(ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> list[list[int]]:
    """The token ids of each row without its padding."""
    return [ids[mask.bool()].tolist() for ids, mask in zip(ids_BT, mask_BT, strict=True)]


def finished(completions: list[list[int]], end_ids: Collection[int]) -> list[bool]:
    """Whether each completion was written to its end: its last token is one of the model's end tokens."""
    return [ids[-1] in end_ids for ids in completions]
