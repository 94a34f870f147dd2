"""The discriminator's loss: experts against policy samples and perturbed experts."""

import torch
import torch.nn.functional as F

EXPERT, POLICY, PERTURBED = 0, 1, 2


def losses_B(
    logits_BT: torch.Tensor,
    boundaries_BT: torch.Tensor,
    expert_is_one_B: torch.Tensor,
    *,
    kind: str,
    label_smoothing: float,
) -> torch.Tensor:
    """Each sequence's loss, averaged over its boundaries. The discriminator's is their sum by `weights_B`.

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
    return (loss_BT * marked_BT).sum(1) / marked_BT.sum(1).clamp(min=1)


def weights_B(expert_is_one_B: torch.Tensor, class_B: torch.Tensor) -> torch.Tensor:
    """What each sequence of a batch weighs; the sum is 1.

    The positives and the negatives weigh the same, and on either side its classes, whatever their sizes. A
    target between 0 and 1, for samples some of which may be right, counts to the nearer side.
    """
    result_B = torch.zeros_like(expert_is_one_B)
    sides = expert_is_one_B.round().unique()
    for side in sides:
        on_side_B = expert_is_one_B.round() == side
        classes = class_B[on_side_B].unique()
        for c in classes:
            members_B = on_side_B & (class_B == c)
            result_B[members_B] = 1 / (len(sides) * len(classes) * int(members_B.sum()))
    return result_B
