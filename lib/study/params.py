"""The parameters of the study, read from params.yaml and checked, and its profiles.

A key that is missing, unknown or ill-typed is refused by name. `python -m lib.study.params PROFILE` prints
the tree with a profile's overlay applied.
"""

import difflib
import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, get_args

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.runs import JUDGED
from lib.schema import Params, Section, merge

RESERVED = ("base", "sft", "spin")  # no name of a variant or an ablation
REMOVED = {  # what took the place of a key that there was
    "sft_ablations": "such a method is an ablation `of: sft`",
    "airl.replay": "the discriminator sees the step's own samples alone; remove the key",
    "airl.frozen_discriminator": "true is now airl.discriminator_steps: 0",
    "lora.full_weights": "every policy is an adapter, from which others go on; remove the key",
    "discriminators": "name these backbones in backbones; those of the policies stand in policies",
}


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises ValueError with one line for each fault, `file: key: what`.
    """
    tree = _read(path)
    profiles = tree.pop("profiles", {})
    if profiles and tree.get("profile") != "default":
        raise ValueError(
            f"{path}: profile: must stay `default` here; run another profile with `make study PROFILE=name`"
        )
    return validate(tree, str(path))


def validate(tree: dict, source: str) -> Params:
    """Check a tree without `profiles`; `source` names it in messages. Raises ValueError as `load` does."""
    try:
        # as JSON, so that a YAML list may fill a tuple while every other type stays strict
        params = Params.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        raise ValueError("\n".join(f"{source}: {line}" for line in _describe(error, Params))) from error
    faults = list(_contradictions(params))
    if faults:
        raise ValueError("\n".join(f"{source}: {line}" for line in faults))
    return params


def apply_profile(path: str | Path, profile: str) -> dict:
    """The checked tree of a file with a profile's overlay, after those that it `extends`.

    `default` is the tree itself.

    Raises ValueError for an unknown profile and as `load` does.
    """
    tree = _read(path)
    profiles = {"default": {}, **tree.pop("profiles", {})}
    name, overlays = profile, []
    while name:
        if name not in profiles:
            raise ValueError(f"{path}: unknown profile {name!r}; there are {', '.join(profiles)}")
        overlay = dict(profiles.pop(name))  # gone, so that none can extend itself
        name = overlay.pop("extends", None)
        overlays.insert(0, overlay)
    tree = functools.reduce(merge, overlays, tree) | {"profile": profile}
    validate(tree, f"{path}, profile {profile}")
    return tree


def parse_value(text: str) -> Any:
    """A YAML value as DVC reads it: YAML 1.2, in which 1e-05 is a number."""
    return YAML(typ="safe", pure=True).load(text)


def dump(tree: dict, stream: TextIO) -> None:
    """Write a tree as YAML, its keys in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(tree, stream)


def _read(path: str | Path) -> dict:
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file; run from the root of the repository")
    try:
        tree = parse_value(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        raise ValueError(f"{path}:{error.problem_mark.line + 1}: not YAML: {error.problem}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("profiles", {}), dict):
        raise ValueError(f"{path}: expected sections of `key: value`")
    return tree


def _contradictions(params: Params) -> Iterator[str]:
    """What no single field can tell: names that refer to nothing, overlays that do not fit."""
    if params.data.dataset == "jsonl" and not params.data.path:
        yield "data.path: the dataset jsonl needs the local directory of its train.jsonl"
    backbones = (*params.backbones, *params.pretrained)
    known = ", ".join(backbones)
    for name in params.pretrained:
        if name in params.backbones:
            yield f"pretrained.{name}: the name is taken; choose another"
        source = params.pretrained[name]
        if bool(source.gguf) != bool(source.sha256):
            yield f"pretrained.{name}.sha256: a gguf file needs its hash, and nothing else has one"
        if source.gguf and source.four_bit:
            yield f"pretrained.{name}.four_bit: a gguf file is loaded multiplied out; set it to false"
    for name in params.policies:
        if name not in backbones:
            yield f"policies: {name!r} is not a backbone; there are {known}"
    for name in params.ablation_runs.backbones:
        if name not in params.policies:
            yield f"ablation_runs.backbones: {name!r} is none of policies, {', '.join(params.policies)}"
    for seed in params.ablation_runs.seeds:
        if seed not in params.seeds:
            yield f"ablation_runs.seeds: {seed} is none of seeds, {', '.join(map(str, params.seeds))}"
    for name, asked in params.external.items():
        if asked.backbone not in params.policies:
            known_policies = ", ".join(params.policies)
            yield f"external.{name}.backbone: {asked.backbone!r} is none of policies, {known_policies}"
        if asked.variant not in (*params.with_reward, *JUDGED):
            known_rewards = ", ".join([*params.with_reward, *JUDGED])
            yield (
                f"external.{name}.variant: {asked.variant!r} is no variant, ablation or policy; there are "
                f"{known_rewards}"
            )
    if params.ablation_runs.variant not in params.variants:
        known_variants = ", ".join(params.variants)
        yield f"ablation_runs.variant: {params.ablation_runs.variant!r} is none of {known_variants}"
        return
    faults = list(_method_faults(params, backbones))
    yield from faults or _ablation_faults(params, backbones)
    if params.sampling.temperature not in params.sampling.temperatures:
        yield "sampling.temperatures: sampling.temperature, that of the samples kept, must be one"
    k, n = max(params.evaluation.ks), params.sampling.n
    if k > n:
        yield f"evaluation.ks: pass@{k} needs as many samples; sampling.n is {n}"


def _method_faults(params: Params, backbones: tuple[str, ...]) -> Iterator[str]:
    yield from _section_faults(params, "sft", "sft")
    reserved = (*RESERVED, *params.label_rewards)
    for name in params.grpo_variants:
        yield from _taken(f"grpo_variants.{name}", name, reserved) or _section_faults(
            params, f"grpo_variants.{name}", name
        )
    for name in params.variants:
        yield from _taken(f"variants.{name}", name, (*reserved, *params.grpo_variants)) or _airl_faults(
            params, f"variants.{name}", name, backbones
        )


def _ablation_faults(params: Params, backbones: tuple[str, ...]) -> Iterator[str]:
    changeable = ("sft", *params.without_reward, *params.variants)
    for name in params.ablations:
        of, where = params.ablated(name), f"ablations.{name}"
        if taken := _taken(where, name, (*RESERVED, *changeable, *params.label_rewards)):
            yield from taken
        elif of not in changeable:
            yield f"{where}.of: {of!r} is none of {', '.join(changeable)}"
        elif of in params.variants:
            yield from _airl_faults(params, where, name, backbones)
        else:
            yield from _section_faults(params, where, name)


def _taken(where: str, name: str, others: tuple[str, ...]) -> list[str]:
    return [f"{where}: the name is taken; choose another"] if name in others else []


def _section_faults(params: Params, where: str, name: str) -> Iterator[str]:
    """Faults of any method's section, which stands at `where`."""
    try:
        section = params.section(name)
    except ValidationError as error:
        yield from (f"{where}.{line}" for line in _describe(error, params.resolved(name)[0]))
        return
    if getattr(section, "demonstrations", 0) > params.data.demonstrations:
        yield f"{where}.demonstrations: data.demonstrations is {params.data.demonstrations}"


def _airl_faults(params: Params, where: str, name: str, backbones: tuple[str, ...]) -> Iterator[str]:
    faults = list(_section_faults(params, where, name))
    yield from faults
    if faults:
        return
    airl = params.airl_variant(name)
    if airl.discriminator == "other" and len(params.policies) < 2:
        yield f"{where}.discriminator: there is no `other` of policies; name a second backbone there"
    elif airl.discriminator not in ("same", "other", *backbones):
        known = ", ".join(backbones)
        yield (
            f"{where}.discriminator: {airl.discriminator!r} is none of `same`, `other` and the "
            f"backbones, {known}"
        )
    if airl.expert_in_group and params.training.vllm != "off":
        yield (
            f"{where}.expert_in_group: vLLM has no log-probabilities of an expert that it did not "
            "sample; set expert_in_group to false or training.vllm to off"
        )
    if airl.reward == "log_density" and airl.parameterisation != "log_ratio":
        yield f"{where}.reward: log_density needs parameterisation: log_ratio"
    if airl.learner == "imitation":
        needed = {
            "start": "sft",
            "parameterisation": "log_ratio",
            "reward": "log_density",
            "credit": "elected",
        }
        for key, value in needed.items():
            if getattr(airl, key) != value:
                yield f"{where}.{key}: learner: imitation needs {value}"
    if airl.likelihood_epochs and airl.parameterisation != "log_ratio":
        yield f"{where}.likelihood_epochs: only a log_ratio can be fitted; set it to 0"


def _describe(error: ValidationError, root: type[Section]) -> Iterator[str]:
    """One line a fault: `airl.stepz: unknown key (did you mean steps?)`."""
    for fault in error.errors():
        keys = [str(key) for key in fault["loc"] if key != "[key]"]
        if fault["type"] == "extra_forbidden":
            yield f"{'.'.join(keys)}: {_unknown(_section_at(root, keys[:-1]), keys[-1])}"
        elif fault["type"] == "missing":
            yield f"{'.'.join(keys)}: missing"
        else:
            message = fault["msg"].removeprefix("Input should be ")
            yield f"{'.'.join(keys)}: should be {message}, not {fault['input']!r}"


def _unknown(section: type[Section], key: str) -> str:
    """What there is in place of a key that a section does not have."""
    name = key if section is Params else f"{section.__name__.lower()}.{key}"
    if name in REMOVED:
        return f"there is no such key any more: {REMOVED[name]}"
    close = difflib.get_close_matches(key, section.model_fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(section.model_fields)}"
    return f"unknown key ({hint})"


def _section_at(root: type[Section], keys: list[str]) -> type[Section]:
    """The section a path of keys leads to, through the dictionaries of sections on the way."""
    at = root
    for key in keys:
        is_section = isinstance(at, type) and issubclass(at, Section)
        at = at.model_fields[key].annotation if is_section else get_args(at)[1]
    return at


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lib.study.params PROFILE")
    try:
        tree = apply_profile("params.yaml", sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    dump(tree, sys.stdout)


if __name__ == "__main__":
    main()
