"""The discriminator's batch: which traces it is shown, as what, and the tensors made of them."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from lib.airl import credit
from lib.airl.objective import EXPERT, PERTURBED, POLICY
from lib.grading import answers
from lib.text import alignment, chat, perturb, traces
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

    def split(self, n: int) -> Iterator["Batch"]:
        """The same, `n` rows at a time."""
        return map(Batch._make, zip(*(tensor.split(n) for tensor in self), strict=True))


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


def by_kind(logits_BT: torch.Tensor, batch: Batch) -> dict[str, tuple[float, float]]:
    """Of each kind in the batch: how often its labelled boundaries are judged right, and their mean f."""
    right_BT, found = (logits_BT > 0) == (batch.class_B == EXPERT)[:, None], {}
    for name, kind in (("expert", EXPERT), ("policy", POLICY), ("perturbed", PERTURBED)):
        if (batch.class_B == kind).any():
            marked = batch.boundaries_BT & (batch.class_B == kind)[:, None]
            found[name] = (right_BT[marked].float().mean().item(), logits_BT[marked].mean().item())
    return found


def of_groups(
    tokenizer,
    inputs: Sequence[dict],
    prompts: list[list[int]],
    completions: list[list[int]],
    groups: list[list[int]],
    *,
    demonstrations: Sequence[dict],
    settings,
    rng: random.Random,
) -> list[Row]:
    """Of each group an expert, some policy samples, the expert's near misses and a sample's.

    `groups` are the policy's own samples of a question, as places in `completions`; a question without a
    trace brings an expert of another, drawn from `demonstrations`.
    """
    chosen: list[Row] = []
    for own in groups:
        shown = inputs[own[0]] if inputs[own[0]]["trace"] else rng.choice(demonstrations)
        messages = shown["prompt"]
        chosen.append(
            Row(
                chat.prompt_ids(tokenizer, messages),
                chat.completion_ids(tokenizer, shown["trace"]),
                EXPERT,
                1.0,
            )
        )
        for i in rng.sample(own, min(settings.policy_per_prompt, len(own))):
            right = settings.relabel_correct and is_correct(tokenizer, completions[i], inputs[i]["answer"])
            chosen.append(Row(prompts[i], completions[i], POLICY, 1.0 if right else settings.policy_label))
        kinds = perturb.SETS[settings.near_misses]
        made = perturb.perturb(messages[-1]["content"], shown["trace"], rng, settings.perturbations, kinds)
        chosen += near_misses(tokenizer, messages, made, settings.labels)
        if settings.own_near_misses:
            i = rng.choice(own)
            chosen += _own_near_misses(tokenizer, inputs[i]["prompt"], completions[i], settings, rng)
    return chosen


def _own_near_misses(tokenizer, messages: list[dict], ids: list[int], settings, rng) -> list[Row]:
    """Near misses of a policy's sample: a false equation is wrong whether or not the sample was right."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    made = [perturb.wrong_result(messages[-1]["content"], text, rng) for _ in range(settings.own_near_misses)]
    return near_misses(tokenizer, messages, [wrong for wrong in made if wrong is not None], settings.labels)


def answer_codes(texts: Sequence[str], group_size: int) -> list[int]:
    """A code for each completion's answer, the same where a group's answers are equal, -1 for none."""
    given = [traces.parse(text).answer for text in texts]
    starts = range(0, len(given), group_size)
    return [code for start in starts for code in answers.classes(given[start : start + group_size])]


def is_correct(tokenizer, ids: list[int], answer: str) -> bool:
    """Whether a completion gives the answer."""
    return answers.is_correct(traces.parse(tokenizer.decode(ids, skip_special_tokens=True)).answer, answer)
