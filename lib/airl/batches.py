"""The discriminator's batch: which traces it is shown, as what, and the tensors made of them."""

from typing import NamedTuple

import torch

from lib.airl import credit
from lib.airl.objective import PERTURBED
from lib.text import alignment, chat
from lib.text.perturb import Perturbed


class Row(NamedTuple):
    """A row of the discriminator's batch; its label counts from token `labelled_from` on."""

    prompt: list[int]
    completion: list[int]
    kind: int  # EXPERT, POLICY or PERTURBED
    expert_is_one: float
    labelled_from: int = 0


class Batch(NamedTuple):
    """Rows as tensors; `boundaries_BT` marks the labelled ones only."""

    ids_BL: torch.Tensor
    attention_BL: torch.Tensor
    boundaries_BT: torch.Tensor
    class_B: torch.Tensor
    expert_is_one_B: torch.Tensor


def collate(tokenizer, rows: list[Row], settings) -> Batch:
    """Pad the rows to their longest; the boundaries are those of `settings.boundaries`."""
    ids_BL, attention_BL, width_t = alignment.pad_completions(
        tokenizer, [row.prompt for row in rows], [row.completion for row in rows]
    )
    units = [alignment.units_of_tokens(tokenizer, row.completion) for row in rows]
    mask_BT, _, step_ends_BT = alignment.unit_masks(units, width_t)
    boundaries_BT = credit.boundaries(settings.boundaries, mask_BT, settings.interval, step_ends_BT)
    labelled_BT = torch.arange(width_t) >= torch.tensor([row.labelled_from for row in rows])[:, None]
    return Batch(
        ids_BL,
        attention_BL,
        boundaries_BT & labelled_BT,
        torch.tensor([row.kind for row in rows]),
        torch.tensor([row.expert_is_one for row in rows]),
    )


def near_misses(tokenizer, messages: list[dict], made: list[Perturbed], labels: str) -> list[Row]:
    """Rows of near misses of a trace that answers `messages`.

    Under "sequence" labels a near miss is wrong everywhere, else from its first changed token on.
    """
    rows, prompt = [], chat.prompt_ids(tokenizer, messages)
    for wrong in made:
        ids = chat.completion_ids(tokenizer, wrong.text)
        labelled_from = 0
        if labels == "from_first_error":
            ends = alignment.token_ends(tokenizer, ids)
            labelled_from = next((t for t, end in enumerate(ends) if end > wrong.start), len(ids) - 1)
        rows.append(Row(prompt, ids, PERTURBED, 0.0, labelled_from))
    return rows
