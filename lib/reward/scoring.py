"""Rewards of traces given as text: as a whole, unit by unit, token by token."""

import torch
from tqdm.auto import tqdm

from lib.airl import credit
from lib.airl.discriminator import rewards_BT
from lib.models import buckets
from lib.text import alignment, chat, traces


@torch.no_grad()
def score_texts(
    discriminator,
    tokenizer,
    prompts: list[list[int]],
    texts: list[str],
    *,
    reward: str,
    boundaries: str,
    interval: int,
    gamma: float | None,
    logit: bool = True,
) -> list[dict]:
    """Rewards of traces given as text after prompts given as tokens, in order.

    Equal prompts share a batch. Each is a dict: `reward` of the whole trace; `unit_reward`, the
    reward before the first unit and at each unit's end (the nearest boundary at or before it); `rewards`, at
    every token; and if asked for `logit`, f at its end, which costs another pass where it is not the reward.
    """
    discriminator.eval()
    device = next(discriminator.parameters()).device
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
        boundaries_BT = credit.boundaries(boundaries, mask_BT, interval, step_ends_BT)
        inputs = (ids_BL.to(device), attention_BL.to(device), width_t)
        values_BT = logits_BT = rewards_BT(discriminator, reward, *inputs)
        if logit and reward == "log_density":
            logits_BT = discriminator.logits_of_BT(values_BT, *inputs[:2])
        values_BT, logits_BT = values_BT.cpu(), logits_BT.cpu()
        scores_B = credit.trace_score(values_BT, boundaries_BT, mask_BT, answer_BT, gamma)
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
