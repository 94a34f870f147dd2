"""The discriminator: a logit f per token, high for the expert; its loss, its scores, save and load.

f_t = f(x, y_<=t) has read the prompt and the completion up to and including token t. Two forms:
"head" is the output of a token-classification head on a causal LM (the paper's); "log_ratio" is
f_t = b + beta * sum over s <= t of [log p_phi(y_s) - log p_ref(y_s)], the form of the optimal AIRL logit.
"""

from contextlib import nullcontext
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from lib.models import buckets, likelihood, pretrained

SCALARS = "log_ratio.safetensors"


class Discriminator(torch.nn.Module):
    """What the forms have in common: `model`, and what of it is trained."""

    adapter = "default"

    def in_use(self):
        """A context in which the discriminator can be asked and learn; see `lib.airl.shared_backbone`."""
        return nullcontext()

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
        model = AutoModelForTokenClassification.from_pretrained(**pretrained.weights(backbone), num_labels=1)
        return cls(get_peft_model(_with_exact_head(model), cls.config(r, alpha)))

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
        model = AutoModelForTokenClassification.from_pretrained(**pretrained.weights(backbone), num_labels=1)
        return cls(PeftModel.from_pretrained(_with_exact_head(model), directory))

    def save(self, directory: str | Path) -> None:
        """Write adapter and head as safetensors."""
        self.model.save_pretrained(directory)

    def logits_BT(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int) -> torch.Tensor:
        """f at the last `width_t` positions, the completion tokens; arbitrary on padding."""

        def read(ids, attention, width, cache):
            logits_BL1 = self.model(ids, attention_mask=attention, past_key_values=cache).logits
            return (logits_BL1[:, -width:, 0].float(),)

        return buckets.in_buckets(read, self.model, ids_BL, attention_BL, width_t)[0]


def _with_exact_head(model):
    """The model, its head in float32 as adapters are: in bfloat16 most weights do not feel a step of 1e-5."""
    model.score.float()
    model.score.register_forward_pre_hook(lambda _head, args: (args[0].float(),))
    return model


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
        model = pretrained.causal_lm(backbone)
        return cls.of_policy(get_peft_model(model, cls.config(r, alpha)))

    @staticmethod
    def config(r: int, alpha: int) -> LoraConfig:
        """The adapter of p_phi: on every linear layer."""
        return LoraConfig(r=r, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")

    @classmethod
    def of_policy(cls, policy: PeftModel) -> "LogRatioDiscriminator":
        """p_phi starts as a policy, b = 0, beta = 1."""
        device = next(policy.parameters()).device
        return cls(policy, torch.zeros((), device=device), torch.ones((), device=device))

    @classmethod
    def load(cls, backbone: str | Path, directory: str | Path) -> "LogRatioDiscriminator":
        """A saved adapter with its b and beta. Raises FileNotFoundError if the directory holds none."""
        if not (Path(directory) / SCALARS).exists():
            raise FileNotFoundError(
                f"{directory}: no log-ratio discriminator here; train it with notebooks/04_irl_training"
            )
        model = pretrained.causal_lm(backbone)
        return cls(PeftModel.from_pretrained(model, directory), **load_file(Path(directory) / SCALARS))

    def save(self, directory: str | Path) -> None:
        """Write the adapter, b and beta as safetensors."""
        adapter = {name: w for name, w in self.model.state_dict().items() if ".lora_" in name}
        self.model.save_pretrained(directory, state_dict=pretrained.stored(adapter))
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
        return likelihood.of_tokens(self.model, ids_BL, attention_BL, width_t).log_probs_BT.cumsum(1)


PARAMETERISATIONS = {"head": HeadDiscriminator, "log_ratio": LogRatioDiscriminator}


def rewards_BT(discriminator, reward: str, ids_BL, attention_BL, width_t: int) -> torch.Tensor:
    """The reward at the last `width_t` positions, that of the trace so far.

    "logit": f. "log_density", of the log-ratio form alone: log p_phi. The policy that f was trained
    against is what f divides by; AIRL's reward is what remains without it (Fu et al. 2018).
    """
    if reward == "log_density":
        return discriminator.log_density_BT(ids_BL, attention_BL, width_t)
    return discriminator.logits_BT(ids_BL, attention_BL, width_t)
