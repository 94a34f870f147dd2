"""Credit: pure functions from rewards at boundaries to per-token advantages.

Shapes: `_B` completions, the `group_size` members of a prompt's group contiguous; `_T` completion
tokens, right-padded. `mask_BT` is true on tokens, `boundaries_BT` on the tokens that are rewarded.
"""

from collections.abc import Sequence

import torch

EPSILON = 1e-4  # TRL's: keeps a group whose rewards are all equal at zero
ROUNDING = 2**-5 / 3**0.5  # nats: the error of a log-probability in bfloat16, see `noise`


def boundaries(kind: str, mask_BT: torch.Tensor, interval: int, step_ends_BT: torch.Tensor) -> torch.Tensor:
    """The rewarded positions, a bool mask of shape (B, T); a completion's last token always is one.

    `kind`: "sparse" the last token only, "interval" every `interval`-th token too, "step" the ends
    of the steps too (`step_ends_BT`), "dense" every token.
    """
    mask_BT = mask_BT.bool()
    count_BT = mask_BT.cumsum(1)
    last_BT = mask_BT & (count_BT == mask_BT.sum(1, keepdim=True))
    if kind == "sparse":
        return last_BT
    if kind == "interval":
        return last_BT | (mask_BT & (count_BT % interval == 0))
    if kind == "step":
        return last_BT | (mask_BT & step_ends_BT.bool())
    if kind == "dense":
        return mask_BT
    raise ValueError(f"boundaries: {kind!r} is none of sparse, interval, step, dense")


def noise(tokens_B: torch.Tensor, group_size: int) -> torch.Tensor:
    """The deviation, in nats, that rounding alone may give a group's returns; shape (B / group_size, 1).

    No standard deviation below it divides anything, so that it is not scaled up to advantages of size 1. A
    log-probability is as exact as its logit. A logit from 8 to 16 is kept in bfloat16, of 8 bits, to the
    nearest multiple of 2^-4: an error uniform between -2^-5 and 2^-5, of deviation 2^-5 / sqrt(3) = 0.018. A
    return adds up at most T of them, those of its T tokens, one independent of the other: 0.018 sqrt(T), with
    T of the group's longest completion. That is 0.14 at 64 tokens and 0.4 at 500. In float32 noise is smaller
    by 2^16, and gets no advantage. What differs is larger: one token that a model of the expert gives a
    tenth of the probability takes 2.3 nats.
    """
    longest = tokens_B.reshape(-1, group_size).amax(1, keepdim=True)
    return ROUNDING * longest.double().sqrt()


def normalise(rewards_BT: torch.Tensor, boundaries_BT: torch.Tensor, group_size: int) -> torch.Tensor:
    """(r - mean) / (std + 1e-4) over all boundaries of all members of a group; 0 elsewhere.

    The standard deviation is the unbiased one, as in GRPO, and at least the `noise` of the tokens up to the
    last boundary.
    """
    positions_T = torch.arange(1, boundaries_BT.shape[1] + 1, device=boundaries_BT.device)
    tokens_B = (boundaries_BT * positions_T).amax(1)
    marked = boundaries_BT.reshape(-1, group_size * boundaries_BT.shape[1])
    # in double precision, so that equal rewards differ from their mean by far less than epsilon
    rewards = rewards_BT.double().reshape(marked.shape).masked_fill(~marked, 0.0)
    count = marked.sum(1, keepdim=True)
    mean = rewards.sum(1, keepdim=True) / count.clamp(min=1)
    centred = (rewards - mean).masked_fill(~marked, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)
    scaled = centred / (variance.sqrt().maximum(noise(tokens_B, group_size)) + EPSILON)
    return scaled.reshape(rewards_BT.shape).to(rewards_BT.dtype)


def discounted(
    rewards_BT: torch.Tensor, boundaries_BT: torch.Tensor, mask_BT: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Each token's return: that of the first boundary at or after it, R_k = r_k + gamma * R_(k+1).

    The discount counts boundaries, not tokens. A backward recursion: dividing suffix sums by
    gamma^t, as the paper's code does, underflows on long completions. Padding gets 0.
    """
    returns_BT = torch.zeros_like(rewards_BT)
    return_B = torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(rewards_BT.shape[1])):
        return_B = torch.where(boundaries_BT[:, t], rewards_BT[:, t] + gamma * return_B, return_B)
        returns_BT[:, t] = return_B
    return returns_BT.masked_fill(~mask_BT.bool(), 0.0)


def telescoped(
    logits_BT: torch.Tensor, boundaries_BT: torch.Tensor, mask_BT: torch.Tensor, group_size: int
) -> torch.Tensor:
    """Each token's return when a boundary's reward is its increment of f: f_K - f_prev(t).

    f_t is cumulative already, so the reward of boundary k is f_k - f_(k-1), a potential-based shaping
    (Ng et al. 1999), and the sum of the rewards to come telescopes: K is the completion's last boundary,
    prev(t) the last one before t. Before the first boundary the baseline is the group's mean of f_K.
    Divided by the group's std of f_K, at least its `noise`, + 1e-4.
    """
    final_B, before_BT, segment_BT = _potentials(logits_BT, boundaries_BT)
    mean_B = final_B.reshape(-1, group_size).mean(1).repeat_interleave(group_size)
    before_BT = torch.where(segment_BT > 0, before_BT, mean_B[:, None])
    return _scaled(final_B[:, None] - before_BT, final_B, mask_BT, group_size)


def stepwise(
    logits_BT: torch.Tensor, boundaries_BT: torch.Tensor, mask_BT: torch.Tensor, group_size: int
) -> torch.Tensor:
    """`telescoped` with a baseline at every boundary: the group's mean return after as many boundaries.

    For an f whose increments are not zero on average, such as a log-density, whose are never positive:
    there `telescoped` would punish whatever follows the first boundary. The mean is over the
    completions that get that far. Divided by the group's std of f_K, at least its `noise`, + 1e-4.
    """
    final_B, before_BT, segment_BT = _potentials(logits_BT, boundaries_BT)
    returns_BT = final_B[:, None] - before_BT
    advantages_BT = torch.zeros_like(returns_BT)
    for segment in range(int(segment_BT.max()) + 1):
        inside_BT = mask_BT.bool() & (segment_BT == segment)
        length_B = inside_BT.sum(1)  # every token of a segment has the same return
        return_B = (returns_BT * inside_BT).sum(1) / length_B.clamp(min=1)
        reached = (length_B > 0).reshape(-1, group_size)
        mean = return_B.reshape(-1, group_size).sum(1) / reached.sum(1).clamp(min=1)
        baseline_BT = mean.repeat_interleave(group_size)[:, None]
        advantages_BT = torch.where(inside_BT, returns_BT - baseline_BT, advantages_BT)
    return _scaled(advantages_BT, final_B, mask_BT, group_size)


def _potentials(
    logits_BT: torch.Tensor, boundaries_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """f at the last boundary (B,); f at the last boundary before each token, 0 before the first; how many
    boundaries precede each token. In double precision."""
    B, T = logits_BT.shape
    positions_BT = torch.arange(T, device=logits_BT.device).expand(B, T)
    latest_BT = positions_BT.masked_fill(~boundaries_BT, -1).cummax(1).values
    logits_BT = logits_BT.double()
    final_B = logits_BT.gather(1, latest_BT[:, -1:])[:, 0]
    previous_BT = torch.nn.functional.pad(latest_BT[:, :-1], (1, 0), value=-1)
    before_BT = logits_BT.gather(1, previous_BT.clamp(min=0)).masked_fill(previous_BT < 0, 0.0)
    segment_BT = torch.nn.functional.pad(boundaries_BT.long().cumsum(1)[:, :-1], (1, 0))
    return final_B, before_BT, segment_BT


def _scaled(
    values_BT: torch.Tensor, final_B: torch.Tensor, mask_BT: torch.Tensor, group_size: int
) -> torch.Tensor:
    """The values over the group's std of f_K, which is at least its `noise`; 0 on padding."""
    std = final_B.reshape(-1, group_size).std(1, keepdim=True)
    std_B = std.maximum(noise(mask_BT.sum(1), group_size)).repeat_interleave(group_size)
    return (values_BT / (std_B[:, None] + EPSILON)).masked_fill(~mask_BT.bool(), 0.0).float()


def group(scores_B: torch.Tensor, group_size: int) -> torch.Tensor:
    """GRPO's advantage of a scalar score: (x - mean) / (std + 1e-4) within the group.

    The std is at least the `noise` of one token.
    """
    one_BT = scores_B[:, None]
    return normalise(one_BT, torch.ones_like(one_BT, dtype=torch.bool), group_size)[:, 0]


def elected(scores_B: torch.Tensor, answers_B: Sequence[int], group_size: int) -> torch.Tensor:
    """1 where a completion gives the answer that its group elects, else 0; shape (B,).

    Each votes for its answer, a code of which -1 means none, with a weight of exp(score), so that of a
    log-density the group's likeliest answer wins; with equal scores the commonest does, as in TTRL. Of equals
    the one given first wins.
    """
    won = []
    for start in range(0, len(answers_B), group_size):
        given = answers_B[start : start + group_size]
        votes: dict[int, float] = {}
        for code, weight in zip(given, scores_B[start : start + group_size].softmax(0).tolist(), strict=True):
            if code >= 0:
                votes[code] = votes.get(code, 0.0) + weight
        winner = max(votes, key=votes.get) if votes else None
        won += [float(code == winner) for code in given]
    return scores_B.new_tensor(won)


def cap_truncated(
    advantages_BT: torch.Tensor, mask_BT: torch.Tensor, finished_B: torch.Tensor, group_size: int
) -> torch.Tensor:
    """Advantages of which none of a truncated completion exceeds that of its group's worst finished one.

    A completion has its own at its first token, whose return is that of the whole. What was cut off has no
    answer, but an f of what it has so far that may be the highest of the group. Where none is finished
    all stand as they are: there is nothing to be worse than.
    """
    whole_B = advantages_BT[:, 0].masked_fill(~finished_B, float("inf"))
    worst_B = whole_B.reshape(-1, group_size).amin(1).repeat_interleave(group_size)
    cap_B = worst_B.masked_fill(finished_B, float("inf"))
    return advantages_BT.minimum(cap_B[:, None]).masked_fill(~mask_BT.bool(), 0.0)


def advantages(
    rewards_BT: torch.Tensor,
    boundaries_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    *,
    credit: str,
    gamma: float,
    group_size: int,
    clip: float,
    answers_B: Sequence[int] = (),
) -> torch.Tensor:
    """Per-token advantages (B, T) from discriminator logits; finite, and 0 on padding.

    "discounted" (the paper): rewards normalised within the group, clipped to [-clip, clip], then
    discounted. "telescoped", "stepwise": see there; each token's value is clipped. With sparse boundaries
    these three agree wherever the clip does not bite. "elected": every token gets GRPO's advantage of whether
    the completion gives the answer that its group elects; of `answers_B` see `elected`.
    """
    if credit == "discounted":
        normalised_BT = normalise(rewards_BT, boundaries_BT, group_size).clamp(-clip, clip)
        return discounted(normalised_BT, boundaries_BT, mask_BT, gamma)
    if credit in ("telescoped", "stepwise"):
        values_BT = {"telescoped": telescoped, "stepwise": stepwise}[credit](
            rewards_BT, boundaries_BT, mask_BT, group_size
        )
        return values_BT.clamp(-clip, clip)
    if credit == "elected":
        last_B = trace_score(rewards_BT, boundaries_BT, mask_BT, boundaries_BT, None)
        advantages_B = group(elected(last_B, answers_B, group_size), group_size)
        return advantages_B[:, None] * mask_BT.to(rewards_BT.dtype)
    raise ValueError(f"credit: {credit!r} is none of discounted, telescoped, stepwise, elected")


def trace_score(
    rewards_BT: torch.Tensor,
    boundaries_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    answer_BT: torch.Tensor,
    gamma: float | None,
) -> torch.Tensor:
    """One reward a trace, shape (B,): the mean discounted reward over the tokens of its last unit (paper).

    Without `gamma` the reward at its last token, which is of the whole trace where rewards accumulate.
    """
    if gamma is None:
        return rewards_BT.gather(1, mask_BT.sum(1, keepdim=True) - 1)[:, 0]
    returns_BT = discounted(rewards_BT.masked_fill(~boundaries_BT, 0.0), boundaries_BT, mask_BT, gamma)
    marked_BT = answer_BT & mask_BT
    return (returns_BT * marked_BT).sum(1) / marked_BT.sum(1).clamp(min=1)
