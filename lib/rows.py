"""The discriminator's batch: which traces it is shown, as what, and the tensors made of them."""

import random
from typing import NamedTuple

import torch

from lib import credit, discriminator, perturb, sampling, traces
from lib.demonstrations import Demonstration
from lib.discriminator import PERTURBED
from lib.perturb import Perturbed


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
    ids_BL, attention_BL, width_t = sampling.pad_completions(
        tokenizer, [row.prompt for row in rows], [row.completion for row in rows]
    )
    units = [sampling.units_of_tokens(tokenizer, row.completion) for row in rows]
    mask_BT, _, step_ends_BT = discriminator.unit_masks(units, width_t)
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
    rows, prompt = [], prompt_ids(tokenizer, messages)
    for wrong in made:
        ids = completion_ids(tokenizer, wrong.text)
        labelled_from = 0
        if labels == "from_first_error":
            ends = sampling.token_ends(tokenizer, ids)
            labelled_from = next((t for t, end in enumerate(ends) if end > wrong.start), len(ids) - 1)
        rows.append(Row(prompt, ids, PERTURBED, 0.0, labelled_from))
    return rows


def prompt_ids(tokenizer, messages: list[dict]) -> list[int]:
    """The tokens of a chat's messages, up to where the answer begins."""
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def completion_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a trace with its end; none for no trace."""
    return [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id] if text else []


def choose(
    demonstrations: list[Demonstration], train: list[Demonstration], settings, seed: int
) -> tuple[list[Demonstration], list[Demonstration]]:
    """The demonstrations to learn from, and the further questions to practise on, of the families asked for.

    Of the demonstrations `wrong_experts` of them, drawn by seed, become traces that end wrong.
    """
    of_family = [
        [row for row in rows if not settings.families or row.family in settings.families]
        for rows in (demonstrations, train)
    ]
    experts = of_family[0][: settings.demonstrations]
    if len(experts) < settings.demonstrations:
        raise ValueError(
            f"airl.demonstrations: {settings.demonstrations} asked for, {len(experts)} there are of "
            f"families {', '.join(settings.families) or 'all'}; raise data.demonstrations"
        )
    rng = random.Random(seed)
    for i in rng.sample(range(len(experts)), round(settings.wrong_experts * len(experts))):
        experts[i] = experts[i].model_copy(update={"trace": _ends_wrong(experts[i], rng)})
    return experts, of_family[1][: settings.unlabelled_questions]


def _ends_wrong(expert: Demonstration, rng: random.Random) -> str:
    """A carried near miss with another answer; where none is found, the expert with a nearby answer."""
    for _ in range(20):  # of two errors the second may mend the first
        try:
            wrong = perturb.perturb(expert.question, expert.trace, rng, 1, perturb.CARRIED)[0]
        except ValueError:  # no rule can carry an error through this trace
            break
        if not traces.is_correct(traces.parse(wrong.text).answer, expert.answer):
            return wrong.text
    return perturb.nearby_answer(expert.question, expert.trace, rng).text
