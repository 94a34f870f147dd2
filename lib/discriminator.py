"""The discriminator: a logit f per token, high for the expert; its loss, its scores, save and load.

f_t = f(x, y_<=t) has read the prompt and the completion up to and including token t. Two forms:
"head" is the output of a token-classification head on a causal LM (the paper's); "log_ratio" is
f_t = b + beta * sum over s <= t of [log p_phi(y_s) - log p_ref(y_s)], the form of the optimal AIRL logit.
"""

from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification
from trl.trainer.utils import selective_log_softmax

from lib import backbones, credit, prefixes, sampling, traces

EXPERT, POLICY, PERTURBED = 0, 1, 2
SCALARS = "log_ratio.safetensors"


class Discriminator(torch.nn.Module):
    """What the forms have in common: `model`, and what of it is trained."""

    adapter = "default"
    reads_prompts_once = False  # faster where samples share a prompt, and rounded a little otherwise

    def in_use(self):
        """A context in which the discriminator can be asked and learn; see `lib.shared`."""
        return nullcontext()

    def outputs(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int, **kwargs):
        """The model's outputs at the last `width_t` + 1 positions, or at more."""
        if self.reads_prompts_once:
            return prefixes.outputs(self.model, ids_BL, attention_BL, width_t, **kwargs)
        return self.model(ids_BL, attention_mask=attention_BL, **kwargs).logits

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are trained, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


class HeadDiscriminator(Discriminator):
    """A causal LM with a token-classification head of one output, LoRA on its linear layers."""

    def __init__(self, model: PeftModel):
        super().__init__()
        self.model = model

    @classmethod
    def new(cls, backbone: str | Path, *, r: int, alpha: int) -> "HeadDiscriminator":
        """A fresh adapter and head on a backbone directory."""
        model = AutoModelForTokenClassification.from_pretrained(**backbones.weights(backbone), num_labels=1)
        return cls(get_peft_model(model, cls.config(r, alpha)))

    @staticmethod
    def config(r: int, alpha: int) -> LoraConfig:
        """The adapter: on every linear layer but the head, which is trained whole."""
        return LoraConfig(
            r=r,
            lora_alpha=alpha,
            target_modules="all-linear",
            exclude_modules=["score"],
            task_type="TOKEN_CLS",
        )

    @classmethod
    def load(cls, backbone: str | Path, directory: str | Path) -> "HeadDiscriminator":
        """A saved adapter and head. Raises FileNotFoundError if the directory holds none."""
        if not (Path(directory) / "adapter_config.json").exists():
            raise FileNotFoundError(
                f"{directory}: no discriminator here; train it with notebooks/04_irl_training"
            )
        model = AutoModelForTokenClassification.from_pretrained(**backbones.weights(backbone), num_labels=1)
        return cls(PeftModel.from_pretrained(model, directory))

    def save(self, directory: str | Path) -> None:
        """Write adapter and head as safetensors."""
        self.model.save_pretrained(directory)

    def logits_BT(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int) -> torch.Tensor:
        """f at the last `width_t` positions, the completion tokens; arbitrary on padding."""
        return self.outputs(ids_BL, attention_BL, width_t)[:, -width_t:, 0].float()


class LogRatioDiscriminator(Discriminator):
    """A causal LM with LoRA on its linear layers (p_phi) against itself without (p_ref); b, beta learned.

    p_phi starts as p_ref, f then b everywhere, or as the likeliest model of the demonstrations."""

    def __init__(self, model: PeftModel, bias: torch.Tensor, beta: torch.Tensor):
        super().__init__()
        self.model = model
        self.bias, self.beta = torch.nn.Parameter(bias), torch.nn.Parameter(beta)

    @classmethod
    def new(cls, backbone: str | Path, *, r: int, alpha: int) -> "LogRatioDiscriminator":
        """A fresh adapter on a backbone directory, b = 0, beta = 1."""
        model = AutoModelForCausalLM.from_pretrained(**backbones.weights(backbone))
        return cls.of_policy(get_peft_model(model, cls.config(r, alpha)))

    @staticmethod
    def config(r: int, alpha: int) -> LoraConfig:
        """The adapter of p_phi: on every linear layer."""
        return LoraConfig(r=r, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")

    @classmethod
    def of_policy(cls, policy: PeftModel) -> "LogRatioDiscriminator":
        """p_phi starts as a policy, b = 0, beta = 1."""
        return cls(policy, torch.zeros(()), torch.ones(()))

    @classmethod
    def load(cls, backbone: str | Path, directory: str | Path) -> "LogRatioDiscriminator":
        """A saved adapter with its b and beta. Raises FileNotFoundError if the directory holds none."""
        if not (Path(directory) / SCALARS).exists():
            raise FileNotFoundError(
                f"{directory}: no log-ratio discriminator here; train it with notebooks/04_irl_training"
            )
        model = AutoModelForCausalLM.from_pretrained(**backbones.weights(backbone))
        return cls(PeftModel.from_pretrained(model, directory), **load_file(Path(directory) / SCALARS))

    def save(self, directory: str | Path) -> None:
        """Write the adapter, b and beta as safetensors."""
        self.model.save_pretrained(directory)
        self.save_scalars(directory)

    def save_scalars(self, directory: str | Path) -> None:
        """Write b and beta."""
        scalars = {"bias": self.bias.detach().cpu(), "beta": self.beta.detach().cpu()}
        save_file(scalars, Path(directory) / SCALARS)

    def logits_BT(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int) -> torch.Tensor:
        """f at the last `width_t` positions, the completion tokens; arbitrary on padding."""
        return self.logits_of_BT(self.log_density_BT(ids_BL, attention_BL, width_t), ids_BL, attention_BL)

    def logits_of_BT(
        self, density_BT: torch.Tensor, ids_BL: torch.Tensor, attention_BL: torch.Tensor
    ) -> torch.Tensor:
        """f of completions whose log p_phi is known already."""
        with torch.no_grad(), self.model.disable_adapter():
            reference_BT = self.log_density_BT(ids_BL, attention_BL, density_BT.shape[1])
        return self.bias + self.beta * (density_BT - reference_BT)

    def log_density_BT(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int) -> torch.Tensor:
        """log p_phi of the completion up to and including each token, nats; positions as `logits_BT`."""
        logits_BTV = self.outputs(ids_BL, attention_BL, width_t, logits_to_keep=width_t + 1)[:, :-1]
        logprobs_BT = selective_log_softmax(logits_BTV.float(), ids_BL[:, -width_t:])
        return (logprobs_BT * attention_BL[:, -width_t:]).cumsum(1)


PARAMETERISATIONS = {"head": HeadDiscriminator, "log_ratio": LogRatioDiscriminator}


def rewards_BT(discriminator, reward: str, ids_BL, attention_BL, width_t: int) -> torch.Tensor:
    """The reward at the last `width_t` positions, that of the trace so far.

    "logit": f. "log_density", of the log-ratio form alone: log p_phi. The policy that f was trained
    against is what f divides by; AIRL's reward is what remains without it (Fu et al. 2018).
    """
    if reward == "log_density":
        return discriminator.log_density_BT(ids_BL, attention_BL, width_t)
    return discriminator.logits_BT(ids_BL, attention_BL, width_t)


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
    returns_BT = credit.discounted(rewards_BT.masked_fill(~boundaries_BT, 0.0), boundaries_BT, mask_BT, gamma)
    marked_BT = answer_BT & mask_BT
    return (returns_BT * marked_BT).sum(1) / marked_BT.sum(1).clamp(min=1)


@torch.no_grad()
def score(
    discriminator,
    tokenizer,
    prompts: list[str],
    texts: list[str],
    *,
    reward: str,
    boundaries: str,
    interval: int,
    gamma: float | None,
    batch_size: int,
    logit: bool = True,
) -> list[dict]:
    """Rewards of traces given as text, in order; rows of similar length share a batch.

    Each is a dict: `reward` of the whole trace; `unit_reward`, the reward before the first unit and at each
    unit's end (the nearest boundary at or before it); `rewards`, at every token; and if asked for `logit`, f
    at its end, which costs another pass where it is not the reward.
    """
    discriminator.eval()
    device = next(discriminator.parameters()).device
    prompt_ids = tokenizer(prompts, add_special_tokens=False).input_ids
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    completion_ids = [[*ids, tokenizer.eos_token_id] for ids in encoded.input_ids]
    order = sorted(range(len(texts)), key=lambda i: len(prompt_ids[i]) + len(completion_ids[i]))
    result: list[dict] = [{}] * len(texts)
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc="scoring", leave=False, disable=len(starts) < 2):
        rows = order[start : start + batch_size]
        ids_BL, attention_BL, width_t = sampling.pad_completions(
            tokenizer, [prompt_ids[i] for i in rows], [completion_ids[i] for i in rows]
        )
        ends = [[*(end for _, end in encoded.offset_mapping[i]), len(texts[i])] for i in rows]
        units = [sampling.unit_of_token(texts[i], of_row) for i, of_row in zip(rows, ends, strict=True)]
        mask_BT, answer_BT, step_ends_BT = unit_masks(units, width_t)
        boundaries_BT = credit.boundaries(boundaries, mask_BT, interval, step_ends_BT)
        inputs = (ids_BL.to(device), attention_BL.to(device), width_t)
        values_BT = logits_BT = rewards_BT(discriminator, reward, *inputs)
        if logit and reward == "log_density":
            logits_BT = discriminator.logits_of_BT(values_BT, *inputs[:2])
        values_BT, logits_BT = values_BT.cpu(), logits_BT.cpu()
        scores_B = trace_score(values_BT, boundaries_BT, mask_BT, answer_BT, gamma)
        logits_B = trace_score(logits_BT, boundaries_BT, mask_BT, answer_BT, None)
        for b, i in enumerate(rows):
            n = len(units[b])
            values, marks = values_BT[b, :n].tolist(), boundaries_BT[b, :n].tolist()
            at_ends = at_unit_ends(values, marks, units[b], len(traces.unit_spans(texts[i])))
            result[i] = {
                "reward": round(scores_B[b].item(), 3),
                **({"logit": round(logits_B[b].item(), 3)} if logit else {}),
                "unit_reward": [round(v, 3) for v in at_ends],
                "rewards": [round(v, 2) for v in values],
            }
    return result


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
