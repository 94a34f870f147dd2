"""The typed tree of the study's parameters: what there is, and of which type.

Every value stands in params.yaml and none here.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]  # names are parts of paths and stage names


class Section(BaseModel):
    """A part of the tree: exactly these keys, of exactly these types, read only."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Data(Section):
    dataset: Literal["world", "gsm8k", "medreason", "mmlu_pro", "jsonl"]
    path: str
    train: Count
    demonstrations: Count
    validation: Count
    test: Count
    steps: Annotated[tuple[Count, ...], Field(min_length=1)]
    test_long: Count
    long_steps: Annotated[tuple[Count, ...], Field(min_length=1)]
    seed: int


class Backbone(Section):
    architecture: Literal["qwen2", "llama"]
    hidden: Count
    layers: Count
    heads: Count


class Pretrained(Section):
    path: Annotated[str, Field(min_length=1)]
    gguf: str
    sha256: str
    four_bit: bool


class Pretraining(Section):
    steps: Count
    batch_size: Count
    lr_matrices: Positive
    lr_rest: Positive
    malformed: Fraction
    seed: int


class Lora(Section):
    r: Count
    alpha: Count


class Training(Section):
    launch: str
    checkpoint_every: Natural
    micro_batch: Natural
    shared_backbone: bool
    vllm: Literal["off", "colocate", "server"]


class Sft(Section):
    demonstrations: Count
    epochs: Count
    batch_size: Count
    lr: Positive


class Practice(Section):
    """On-policy training, whatever it is rewarded by."""

    steps: Count
    prompts_per_step: Count
    group_size: Annotated[int, Field(ge=2)]
    lr: Positive
    beta: NotNegative


class Grpo(Practice):
    start: Literal["base", "sft"]
    reward: Literal["answer", "vote"]
    questions: Literal["train", "demonstrations"]


class Spin(Section):
    rounds: Count
    samples: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    beta: Positive


class Airl(Practice):
    start: Literal["base", "sft"]
    learner: Literal["practice", "imitation"]
    election: Literal["both", "vote"]
    imitated: Count
    imitation_epochs: Count
    imitation_start: Literal["backbone", "itself"]
    demonstrations: Count
    wrong_experts: Fraction
    families: tuple[Name, ...]
    unlabelled_questions: Natural
    discriminator: str
    parameterisation: Literal["head", "log_ratio"]
    reward: Literal["logit", "log_density"]
    discriminator_r: Count
    likelihood_epochs: Natural
    discriminator_lr: Positive
    discriminator_schedule: Literal["constant", "cosine"]
    discriminator_steps: Natural
    boundaries: Literal["sparse", "interval", "step", "dense"]
    interval: Count
    loss: Literal["bce", "wgan"]
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    discriminator_updates: Count
    discriminator_prompts: Count
    policy_per_prompt: Natural
    policy_label: Annotated[float, Field(ge=0, lt=0.5)]
    perturbations: Natural
    own_near_misses: Natural
    near_misses: Literal["paper", "carried", "all"]
    labels: Literal["sequence", "from_first_error"]
    relabel_correct: bool
    credit: Literal["discounted", "telescoped", "stepwise", "group", "elected"]
    gamma: Fraction
    reward_clip: Positive
    expert_in_group: bool
    warmup_steps: Natural

    @property
    def score_gamma(self) -> float | None:
        """The discount of a trace's score; None where rewards accumulate and the last is the trace's."""
        return self.gamma if self.credit == "discounted" else None


class Labels(Section):
    questions: Count
    samples: Count
    epochs: Count
    questions_per_batch: Count
    r: Count
    lr: Positive


class AblationRuns(Section):
    variant: Name
    changes: dict[str, Any]
    backbones: tuple[Name, ...]
    seeds: tuple[Natural, ...]


class Sampling(Section):
    n: Count
    temperature: Positive
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)]
    validation_n: Count
    max_new_tokens: Count
    batch_size: Count
    system_prompt: str


class Evaluation(Section):
    ks: Annotated[tuple[Count, ...], Field(min_length=1)]
    bootstrap: Count
    token_records: Natural
    threshold_problems: Count


class Watching(Section):
    seeds: tuple[Natural, ...]
    problems: Natural
    samples: Count
    times: Annotated[int, Field(ge=2)]


class External(Section):
    solutions: Annotated[str, Field(min_length=1)]
    backbone: Name
    variant: Name
    seed: Natural


class Params(Section):
    """The whole tree."""

    profile: Name
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1)]
    policies: Annotated[tuple[Name, ...], Field(min_length=1)]
    data: Data
    backbones: dict[Name, Backbone]
    pretrained: dict[Name, Pretrained]
    pretraining: Pretraining
    lora: Lora
    training: Training
    sft: Sft
    sft_ablations: dict[Name, dict[str, Any]]
    grpo: Grpo
    grpo_variants: dict[Name, dict[str, Any]]
    spin: Spin
    airl: Airl
    variants: dict[Name, dict[str, Any]]
    labels: Labels
    label_rewards: tuple[Literal["outcome_labels", "step_labels"], ...]
    ablations: dict[Name, dict[str, Any]]
    ablation_runs: AblationRuns
    sampling: Sampling
    evaluation: Evaluation
    watching: Watching
    external: dict[Name, External]

    def backbone(self, name: str) -> Backbone:
        """The shape of a backbone; raises ValueError for an unknown name."""
        if name not in self.backbones:
            raise ValueError(f"unknown backbone {name!r}; params.yaml has {', '.join(self.backbones)}")
        return self.backbones[name]

    @property
    def methods(self) -> tuple[str, ...]:
        """What is trained: SFT, what practises without a learned reward, AIRL's variants, rewards from
        labels; and ablations."""
        first = ("sft", *self.sft_ablations, *self.without_reward)
        return (*first, *self.variants, *self.label_rewards, *self.ablations)

    @property
    def without_reward(self) -> tuple[str, ...]:
        """The methods of notebook 5: GRPO's variants, and SPIN."""
        return (*self.grpo_variants, "spin")

    def section(self, method: str) -> Sft | Grpo | Spin | Airl | Labels:
        """The section of a method; raises ValueError for an unknown name."""
        if method in self.grpo_variants:
            return Grpo.model_validate(merge(self.grpo.model_dump(), self.grpo_variants[method]))
        if method == "spin":
            return self.spin
        if method in self.label_rewards:
            return self.labels
        return (
            self.sft_variant(method) if method in ("sft", *self.sft_ablations) else self.airl_variant(method)
        )

    def sft_variant(self, name: str) -> Sft:
        """The SFT section, or that of one of its ablations; raises ValueError for an unknown name."""
        overlays = {"sft": {}, **self.sft_ablations}
        if name not in overlays:
            raise ValueError(f"unknown SFT ablation {name!r}; params.yaml has {', '.join(overlays)}")
        return Sft.model_validate(merge(self.sft.model_dump(), overlays[name]))

    def airl_variant(self, name: str) -> Airl:
        """The AIRL section of a variant or an ablation; raises ValueError for an unknown name."""
        known = (*self.variants, *self.ablations)
        if name not in known:
            raise ValueError(f"unknown variant or ablation {name!r}; params.yaml has {', '.join(known)}")
        tree = merge(self.airl.model_dump(), self._overlay(name))
        return Airl.model_validate_json(json.dumps(tree, default=str))

    def discriminator_backbone(self, airl: Airl, backbone: str) -> str:
        """The backbone that the discriminator of a policy on `backbone` starts from; `other` is the next of
        `policies`, after the last the first."""
        if airl.discriminator == "other":
            return self.policies[(self.policies.index(backbone) + 1) % len(self.policies)]
        return backbone if airl.discriminator == "same" else airl.discriminator

    def _overlay(self, name: str) -> dict[str, Any]:
        """What a variant or an ablation changes in `airl`, an ablation after its variant's changes."""
        if name in self.variants:
            return self.variants[name]
        runs = self.ablation_runs
        return merge(merge(self.variants.get(runs.variant, {}), runs.changes), self.ablations[name])


def merge(tree: dict, overlay: dict) -> dict:
    """`tree` with `overlay` on top, section by section; null removes a key (RFC 7396)."""
    merged = dict(tree)
    for key, value in overlay.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged
