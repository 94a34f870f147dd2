"""A discriminator on the policy's own backbone: two adapters and one copy of the weights.

The policy's adapter is `default`, the discriminator's `reward`; at rest the policy's is active. What is
trained has the forms of `lib.airl.discriminator` and is saved as there: it loads
as a discriminator of its own.
"""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from trl.trainer.utils import use_adapter

from lib.airl.discriminator import HeadDiscriminator, LogRatioDiscriminator
from lib.models import buckets

ADAPTER = "reward"


class _OnPolicy:
    """What both forms have in common; mixed into a discriminator whose `model` is the policy."""

    adapter = ADAPTER

    def in_use(self):
        """A context in which the discriminator's adapter is active and can learn, and the policy's cannot."""
        return use_adapter(self.model, ADAPTER)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are the discriminator's own, by name."""
        return {
            name: p
            for name, p in self.named_parameters()
            if f".{ADAPTER}." in name or not name.startswith("model.")
        }

    def train(self, mode: bool = True):
        """Leaves the policy's mode to its trainer: nothing here drops out."""
        return self

    def _save_adapter(self, directory: str | Path, config: LoraConfig, more: dict[str, torch.Tensor]) -> None:
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        config.inference_mode = True
        config.save_pretrained(directory)
        weights = get_peft_model_state_dict(self.model, adapter_name=ADAPTER) | more
        weights = {name: w.detach().contiguous() for name, w in weights.items()}
        save_file(weights, directory / "adapter_model.safetensors")


class SharedLogRatio(_OnPolicy, LogRatioDiscriminator):
    """The log-ratio: p_phi is the policy's backbone with the adapter `reward`, p_ref the backbone alone."""

    def __init__(self, policy: PeftModel, *, r: int, alpha: int):
        super().__init__(policy, torch.zeros(()), torch.ones(()))
        policy.add_adapter(ADAPTER, self.config(r, alpha))

    def save(self, directory: str | Path) -> None:
        """As `LogRatioDiscriminator.save`."""
        self._save_adapter(directory, self.model.peft_config[ADAPTER], {})
        self.save_scalars(directory)


class SharedHead(_OnPolicy, HeadDiscriminator):
    """The head, on the policy's last hidden states under the adapter `reward`, without dropout."""

    def __init__(self, policy: PeftModel, *, r: int, alpha: int):
        super().__init__(policy)
        policy.add_adapter(ADAPTER, LogRatioDiscriminator.config(r, alpha))
        self.r, self.alpha = r, alpha
        config = policy.get_base_model().config
        self.score = torch.nn.Linear(config.hidden_size, 1)
        torch.nn.init.normal_(self.score.weight, std=config.initializer_range)
        torch.nn.init.zeros_(self.score.bias)

    def logits_BT(self, ids_BL: torch.Tensor, attention_BL: torch.Tensor, width_t: int) -> torch.Tensor:
        """As `HeadDiscriminator.logits_BT`."""
        decoder = self.model.get_base_model().model

        def read(ids, attention, width, cache):
            hidden_BLH = decoder(ids, attention_mask=attention, past_key_values=cache).last_hidden_state
            return (self.score(hidden_BLH[:, -width:].float())[..., 0],)

        return buckets.in_buckets(read, self.model, ids_BL, attention_BL, width_t)[0]

    def save(self, directory: str | Path) -> None:
        """As `HeadDiscriminator.save`."""
        config = self.config(self.r, self.alpha)
        config.target_modules = self.model.peft_config[ADAPTER].target_modules  # by name: all but the heads
        config.modules_to_save = ["classifier", "score"]
        head = {f"base_model.model.score.{name}": p.detach() for name, p in self.score.named_parameters()}
        self._save_adapter(directory, config, head)


SHARED = {"head": SharedHead, "log_ratio": SharedLogRatio}
