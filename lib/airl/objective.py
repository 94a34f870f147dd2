"""The discriminator's loss: experts against policy samples and perturbed experts."""

import torch
import torch.nn.functional as F

EXPERT, POLICY, PERTURBED = 0, 1, 2


def loss(
    logits_BT: torch.Tensor,
    boundaries_BT: torch.Tensor,
    expert_is_one_B: torch.Tensor,
    class_B: torch.Tensor,
    *,
    kind: str,
    label_smoothing: float,
) -> torch.Tensor:
    """The discriminator's loss, a scalar.

    Averaged over a sequence's boundaries, then over the sequences of a class, then such that the
    positives and the negatives weigh the same, whatever the classes' sizes. A target between 0 and 1, for
    samples some of which may be right, counts to the nearer side.
    "bce": binary cross-entropy on smoothed labels. "wgan": E_negative f - E_positive f + 0.01 E f^2,
    where the last term bounds f in the place of a Lipschitz constraint.
    """
    target_BT = expert_is_one_B[:, None].expand_as(logits_BT)
    if kind == "bce":
        smoothed_BT = target_BT * (1 - label_smoothing) + (1 - target_BT) * label_smoothing
        loss_BT = F.binary_cross_entropy_with_logits(logits_BT, smoothed_BT, reduction="none")
    elif kind == "wgan":
        loss_BT = (1 - 2 * target_BT) * logits_BT + 0.01 * logits_BT.square()
    else:
        raise ValueError(f"loss: {kind!r} is none of bce, wgan")
    marked_BT = boundaries_BT.to(logits_BT.dtype)
    loss_B = (loss_BT * marked_BT).sum(1) / marked_BT.sum(1).clamp(min=1)
    sides = []
    for side in (1.0, 0.0):
        on_side_B = expert_is_one_B.round() == side
        classes = [loss_B[(class_B == c) & on_side_B] for c in (EXPERT, POLICY, PERTURBED)]
        means = [members.mean() for members in classes if len(members)]
        if means:
            sides.append(torch.stack(means).mean())
    return torch.stack(sides).mean()
