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
    temperature: Positive
    lr: Positive
    beta: NotNegative


class Grpo(Practice):
    start: Literal["base", "sft"]
    demonstrations: Count
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
    credit: Literal["discounted", "telescoped", "stepwise", "elected"]
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
        return ("sft", *self.without_reward, *self.variants, *self.label_rewards, *self.ablations)

    @property
    def without_reward(self) -> tuple[str, ...]:
        """The methods of notebook 5: GRPO's variants, and SPIN."""
        return (*self.grpo_variants, "spin")

    @property
    def with_reward(self) -> tuple[str, ...]:
        """The methods that learn a reward from demonstrations: AIRL's variants, and the ablations of one."""
        return (*self.variants, *(m for m in self.ablations if self.ablated(m) in tuple(self.variants)))

    def ablated(self, ablation: str) -> str:
        """The method that an ablation changes: what it is `of`, else `ablation_runs.variant`."""
        return self.ablations[ablation].get("of", self.ablation_runs.variant)

    def section(self, method: str) -> Sft | Grpo | Spin | Airl | Labels:
        """The section of a method; raises ValueError for an unknown name."""
        kind, tree = self.resolved(method)
        return kind.model_validate_json(json.dumps(tree, default=str))

    def airl_variant(self, name: str) -> Airl:
        """The section of a method that learns a reward; raises ValueError for another name."""
        if name not in self.with_reward:
            raise ValueError(f"unknown reward {name!r}; params.yaml has {', '.join(self.with_reward)}")
        return self.section(name)

    def discriminator_backbone(self, airl: Airl, backbone: str) -> str:
        """The backbone that the discriminator of a policy on `backbone` starts from; `other` is the next of
        `policies`, after the last the first."""
        if airl.discriminator == "other":
            return self.policies[(self.policies.index(backbone) + 1) % len(self.policies)]
        return backbone if airl.discriminator == "same" else airl.discriminator

    def resolved(self, method: str) -> tuple[type[Section], dict[str, Any]]:
        """The type of a method's section, and its keys; an ablation's come after `ablation_runs.changes`
        where it does not say what it is `of`."""
        if method in self.ablations:
            changes = dict(self.ablations[method])
            kind, tree = self.resolved(self.ablated(method))
            if changes.pop("of", None) is None:
                tree = merge(tree, self.ablation_runs.changes)
            return kind, merge(tree, changes)
        overlays = {"sft": (self.sft, {}), "spin": (self.spin, {})}
        overlays |= dict.fromkeys(self.label_rewards, (self.labels, {}))
        overlays |= {name: (self.airl, changes) for name, changes in self.variants.items()}
        overlays |= {name: (self.grpo, changes) for name, changes in self.grpo_variants.items()}
        if method not in overlays:
            raise ValueError(f"unknown method {method!r}; params.yaml has {', '.join(self.methods)}")
        section, changes = overlays[method]
        return type(section), merge(section.model_dump(), changes)


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
