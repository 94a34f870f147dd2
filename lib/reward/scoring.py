"""Rewards of traces given as text: as a whole, unit by unit, token by token."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from lib.airl import credit
from lib.airl.discriminator import rewards_BT
from lib.models import buckets
from lib.text import alignment, chat, traces


class Reading(NamedTuple):
    """How a trained model's outputs become rewards (see `lib.schema.Airl`), and its system prompt.

    `gamma` is None where rewards accumulate.
    """

    reward: str
    boundaries: str
    interval: int
    gamma: float | None
    system_prompt: str = ""


def score_texts(
    discriminator,
    tokenizer,
    questions: Sequence[str],
    texts: Sequence[str],
    reading: Reading,
    *,
    logit: bool = False,
) -> list[dict]:
    """Rewards of traces after their questions, in order.

    Texts are scored as they stand: what a policy sampled token by token, what others wrote as it was read
    (`traces.normalised`). Equal pairs are read once, those of one question together. Each is a dict: `reward`
    of the whole trace; `unit_reward`, the reward before the first unit and at each unit's end (the nearest
    boundary at or before it); `rewards`, at every token; and if asked for `logit`, f at its end, which costs
    another pass where it is not the reward.
    """
    asked = list(zip(questions, texts, strict=True))
    found = buckets.once(lambda pairs: _score(discriminator, tokenizer, pairs, reading, logit), asked)
    return [dict(scored) for scored in found]


@torch.no_grad()
def _score(
    discriminator, tokenizer, pairs: list[tuple[str, str]], reading: Reading, logit: bool
) -> list[dict]:
    discriminator.eval()
    device = next(discriminator.parameters()).device
    texts = [text for _, text in pairs]
    prompts = chat.questions_ids(tokenizer, [question for question, _ in pairs], reading.system_prompt)
    completions, ends = chat.completions(tokenizer, texts)
    order = buckets.order(prompts, completions)
    result: list[dict] = [{}] * len(texts)
    starts = range(0, len(order), buckets.TOGETHER)
    for start in tqdm(starts, desc="scoring", leave=False, disable=len(starts) < 2):
        rows = order[start : start + buckets.TOGETHER]
        ids_BL, attention_BL, width_t = alignment.pad_completions(
            tokenizer, [prompts[i] for i in rows], [completions[i] for i in rows]
        )
        units = [alignment.unit_of_token(texts[i], ends[i]) for i in rows]
        mask_BT, answer_BT, step_ends_BT = alignment.unit_masks(units, width_t)
        boundaries_BT = credit.boundaries(reading.boundaries, mask_BT, reading.interval, step_ends_BT)
        inputs = (ids_BL.to(device), attention_BL.to(device), width_t)
        values_BT = logits_BT = rewards_BT(discriminator, reading.reward, *inputs)
        if logit and reading.reward == "log_density":
            logits_BT = discriminator.logits_of_BT(values_BT, *inputs[:2])
        values_BT, logits_BT = values_BT.cpu(), logits_BT.cpu()
        scores_B = credit.trace_score(values_BT, boundaries_BT, mask_BT, answer_BT, reading.gamma)
        logits_B = credit.trace_score(logits_BT, boundaries_BT, mask_BT, answer_BT, None)
        for b, i in enumerate(rows):
            n = len(units[b])
            values, marks = values_BT[b, :n].tolist(), boundaries_BT[b, :n].tolist()
            at_ends = alignment.at_unit_ends(values, marks, units[b], len(traces.unit_spans(texts[i])))
            result[i] = {
                "reward": _short(scores_B[b].item()),
                **({"logit": _short(logits_B[b].item())} if logit else {}),
                "unit_reward": [_short(v) for v in at_ends],
                "rewards": [round(v, 2) for v in values],
            }
    return result


def _short(value: float) -> float:
    """To three decimals, or two from 10 on."""
    return round(value, 3 if abs(value) < 10 else 2)
