import re
from pathlib import Path

import pytest

from lib import schema
from lib.study import params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def write(tmp_path):
    """Write params.yaml with one value replaced (`a.b`), added or, by None, removed; return its path."""

    def write(key: str | None = None, value=None) -> Path:
        tree = params.parse_value((ROOT / "params.yaml").read_text())
        if key:
            *sections, last = key.split(".")
            at = tree
            for section in sections:
                at = at[section]
            if value is None:
                del at[last]
            else:
                at[last] = value
        path = tmp_path / "params.yaml"
        with path.open("w") as out:
            params.dump(tree, out)
        return path

    return write


def test_values_are_read_from_the_file(write):
    settings = params.load(write("airl.gamma", 0.75))
    assert settings.airl.gamma == 0.75
    assert settings.profile == "default"


def test_the_discriminators_backbone(write):
    settings = params.load(write("policies", ["qwen2", "llama"]))

    def of(discriminator: str) -> list[str]:
        airl = settings.airl.model_copy(update={"discriminator": discriminator})
        return [settings.discriminator_backbone(airl, policy) for policy in settings.policies]

    assert of("same") == ["qwen2", "llama"]
    assert of("other") == ["llama", "qwen2"]
    assert of("llama") == ["llama", "llama"]
    with pytest.raises(ValueError, match="discriminator: there is no `other` of policies"):
        params.load(write("policies", ["qwen2"]))


def test_the_tree_is_read_only(write):
    with pytest.raises(ValueError, match="frozen"):
        params.load(write()).airl.gamma = 0.5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("airl.stepz", 3, "airl.stepz: unknown key (did you mean steps?)"),
        ("nonsense", 3, "nonsense: unknown key (there are profile, seeds"),
        ("backbones.qwen2.hiden", 3, "backbones.qwen2.hiden: unknown key (did you mean hidden?)"),
        ("airl.gamma", None, "airl.gamma: missing"),
        ("airl.steps", "many", "airl.steps: should be a valid integer, not 'many'"),
        ("airl.steps", 2.5, "airl.steps: should be a valid integer"),
        ("airl.relabel_correct", "false", "airl.relabel_correct: should be a valid boolean, not 'false'"),
        ("airl.relabel_correct", 0, "airl.relabel_correct: should be a valid boolean"),
        ("airl.gamma", 1.5, "airl.gamma: should be less than or equal to 1"),
        ("airl.lr", float("nan"), "airl.lr: should be a finite number"),
        ("airl.boundaries", "none", "airl.boundaries: should be 'sparse', 'interval', 'step' or 'dense'"),
        ("seeds", [0, "one"], "seeds.1: should be a valid integer"),
        ("policies", ["qwen2", "llama", "gpt"], "policies: 'gpt' is not a backbone; there are "),
        ("ablation_runs.backbones", ["gpt"], "ablation_runs.backbones: 'gpt' is none of policies"),
        ("ablation_runs.seeds", [99], "ablation_runs.seeds: 99 is none of seeds"),
        ("variants.airl_dense", {"gama": 1}, "variants.airl_dense.gama: unknown key (did you mean gamma?)"),
        ("variants.airl_dense", {"gamma": 2}, "variants.airl_dense.gamma: should be less than or equal to 1"),
        ("variants.sft", {}, "variants.sft: the name is taken"),
        ("ablations.airl_dense", {}, "ablations.airl_dense: the name is taken"),
        ("ablations.other", {"discriminator": "gpt"}, "ablations.other.discriminator: 'gpt' is none of"),
        ("variants.a/b", {}, "variants.a/b: should"),
        ("variants.other", {"reward": "log_density"}, "variants.other.reward: log_density needs param"),
        ("variants.other", {"likelihood_epochs": 2}, "variants.other.likelihood_epochs: only a log_ratio"),
        ("variants.other", {"start": "reward"}, "variants.other.start: should be 'base' or 'sft'"),
        ("airl.wrong_experts", 1.5, "airl.wrong_experts: should be less than or equal to 1"),
        ("airl.near_misses", "none", "airl.near_misses: should be 'paper', 'carried' or 'all'"),
        ("airl.families", "stock", "airl.families: should be a valid "),
        ("data.long_steps", [], "data.long_steps: should "),
        ("data.dataset", "gsm9k", "data.dataset: should be 'world', 'gsm8k', "),
        (
            "data.dataset",
            "jsonl",
            "data.path: the dataset jsonl needs the local directory of its train.jsonl",
        ),
        ("ablations.other", {"demonstrations": 9999}, "ablations.other.demonstrations: data.demonstr"),
        (
            "ablation_runs.variant",
            "ours",
            "ablation_runs.variant: 'ours' is none of likelihood, airl_dense, ",
        ),
        ("sft.demonstrations", 9999, "sft.demonstrations: data.demonstrations is 1280"),
        ("ablations.few", {"of": "sft", "epoch": 3}, "ablations.few.epoch: unknown key (did you mean epochs"),
        ("ablations.few", {"of": "sft", "demonstrations": 9999}, "ablations.few.demonstrations: data.demons"),
        ("ablations.few", {"of": "ttrl", "demonstrations": 9999}, "ablations.few.demonstrations: data.demo"),
        ("ablations.few", {"of": ["sft"]}, "ablations.few.of: ['sft'] is none of sft, grpo, ttrl, "),
        ("ablations.outcome_labels", {"of": "sft"}, "ablations.outcome_labels: the name is taken"),
        ("variants.step_labels", {}, "variants.step_labels: the name is taken"),
        ("grpo_variants.step_labels", {}, "grpo_variants.step_labels: the name is taken"),
        ("ablations.few", {"of": "few"}, "ablations.few.of: 'few' is none of sft, grpo, ttrl, "),
        ("ablations.few", {"of": "vote"}, "ablations.few.of: 'vote' is none of sft, grpo, ttrl, "),
        ("sft_ablations", {}, "sft_ablations: there is no such key any more: such a method is an ablation"),
        (
            "external.other",
            {"solutions": "a.jsonl", "backbone": "gpt", "variant": "airl", "seed": 0},
            "external.other.backbone: 'gpt' is none of policies, qwen2, llama",
        ),
        (
            "external.other",
            {"solutions": "a.jsonl", "backbone": "qwen2", "variant": "grpo", "seed": 0},
            "external.other.variant: 'grpo' is no variant, ablation or policy; there are likelihood, ",
        ),
        (
            "grpo_variants.ttrl",
            {"reward": "votes"},
            "grpo_variants.ttrl.reward: should be 'answer' or 'vote'",
        ),
        ("grpo_variants.ttrl", {"stepz": 1}, "grpo_variants.ttrl.stepz: unknown key (did you mean steps?)"),
        ("grpo_variants.other", {"group_size": 1}, "grpo_variants.other.group_size: should be greater than"),
        ("grpo_variants.spin", {}, "grpo_variants.spin: the name is taken"),
        ("grpo_variants.sft", {}, "grpo_variants.sft: the name is taken"),
        ("variants.ttrl", {}, "variants.ttrl: the name is taken"),
        ("ablations.ttrl", {}, "ablations.ttrl: the name is taken"),
        ("ablations.spin", {"of": "sft"}, "ablations.spin: the name is taken"),
        ("grpo.questions", "all", "grpo.questions: should be 'train' or 'demonstrations'"),
        ("spin.rounds", 0, "spin.rounds: should be greater than or equal to 1"),
        ("spin.beta", 0.0, "spin.beta: should be greater than 0"),
        ("spin.betta", 0.1, "spin.betta: unknown key (did you mean beta?)"),
        ("sampling.temperatures", [0.3, 0.7], "sampling.temperatures: sampling.temperature, that of the s"),
        ("sampling.temperatures", [], "sampling.temperatures: should "),
        ("evaluation.ks", [1, 99], "evaluation.ks: pass@99 needs as many samples; sampling.n is 16"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_it(write, key, value, message):
    path = write(key, value)
    with pytest.raises(ValueError) as caught:
        params.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_vllm_is_refused_where_the_expert_is_in_the_group(write):
    with pytest.raises(ValueError) as caught:
        params.load(write("training.vllm", "colocate"))
    lines = str(caught.value).splitlines()
    assert {line.split(": ")[1] for line in lines} >= {"variants.airl_dense.expert_in_group"}
    assert all("set expert_in_group to false or training.vllm to off" in line for line in lines)
    assert "variants.airl.expert" not in str(caught.value)  # which is without


def test_every_fault_has_its_line(write):
    path = write("airl", {"gamma": 3})
    with pytest.raises(ValueError) as caught:
        params.load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(schema.Airl.model_fields)
    assert all(line.startswith(f"{path}: airl.") for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("airl.replay", 0, "airl.replay"),
        ("variants.other", {"replay": 1}, "variants.other.replay"),
        ("ablations.other", {"frozen_discriminator": True}, "ablations.other.frozen_discriminator"),
        ("discriminators", ["qwen2_small"], "discriminators"),
    ],
)
def test_a_key_that_there_was_is_refused_with_what_took_its_place(write, key, value, where):
    path = write(key, value)
    with pytest.raises(ValueError) as caught:
        params.load(path)
    (removed,) = (
        said for name, said in params.REMOVED.items() if name.split(".")[-1] == where.split(".")[-1]
    )
    assert str(caught.value) == f"{path}: {where}: there is no such key any more: {removed}"


def test_what_took_the_place_of_a_key_is_there():
    """No key of the tree is called removed, and every key that is named instead exists."""
    tree = params.load(ROOT / "params.yaml").model_dump()
    for name, said in params.REMOVED.items():
        *sections, last = name.split(".")
        assert last not in (tree[sections[0]] if sections else tree), name
        for section, key in re.findall(r"(\w+)\.(\w+)", said):
            assert key in tree[section], said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", ":3: not YAML"),
        ("a: 1\na: 2\n", ":2: not YAML: found duplicate key"),
        ("- 1\n", ": expected sections of `key: value`"),
        ("", ": expected sections of `key: value`"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        params.load(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_another_profile_is_not_run_in_place(write):
    with pytest.raises(ValueError, match="make study PROFILE="):
        params.load(write("profile", "tiny"))


def test_variants_differ_from_airl_in_their_overlay_alone(write):
    settings = params.load(write("variants.other", {"gamma": 0.25, "families": ["stock"]}))
    other = settings.airl_variant("other")
    assert (other.gamma, other.families) == (0.25, ("stock",))
    as_airl = {"gamma": settings.airl.gamma, "families": settings.airl.families}
    assert other.model_copy(update=as_airl) == settings.airl
    assert settings.airl_variant("airl_dense") == settings.airl


def test_an_ablation_differs_from_the_shorter_run_of_its_variant():
    """First the variant's changes, then the shorter run's, then its own."""
    tree = params.apply_profile(ROOT / "params.yaml", "tiny")
    tree["ablations"] = {"reference": {}, "other": {"boundaries": "sparse", "group_size": 7}}
    tree["ablation_runs"]["changes"] = {"steps": 1, "group_size": 2}
    settings = params.validate(tree, "params.yaml")
    own = settings.airl_variant(settings.ablation_runs.variant)
    assert own.steps > 1 and own.group_size not in (2, 7)
    shorter = own.model_copy(update={"steps": 1, "group_size": 2})
    assert settings.airl_variant("reference") == shorter
    expected = shorter.model_copy(update={"boundaries": "sparse", "group_size": 7})
    assert settings.airl_variant("other") == expected


@pytest.mark.parametrize(("key", "value"), [("start", "base"), ("reward", "logit"), ("credit", "stepwise")])
def test_what_imitation_cannot_do_without_is_named(write, key, value):
    settings = params.load(ROOT / "params.yaml")
    with pytest.raises(ValueError, match=f"variants.other.{key}: learner: imitation needs "):
        params.load(write("variants.other", {**settings.variants["airl"], key: value}))


@pytest.mark.parametrize("of", ["sft", "ttrl", "airl_dense", "airl_practice"])
def test_an_ablation_differs_from_what_it_is_of_in_its_overlay_alone(write, of):
    path = write("ablations.other", {"of": of, "demonstrations": 7, "lr": 0.5})
    settings = params.load(path)
    whole = settings.section(of)
    assert settings.section("other") == whole.model_copy(update={"demonstrations": 7, "lr": 0.5})
    assert settings.ablated("other") == of
    assert ("other" in settings.with_reward) == of.startswith("airl")


def test_what_is_trained_without_a_reward_differs_from_grpo_in_its_overlay_alone(write):
    settings = params.load(write("grpo_variants.other", {"start": "sft", "steps": 7}))
    assert settings.section("grpo") == settings.grpo
    assert settings.section("other") == settings.grpo.model_copy(update={"start": "sft", "steps": 7})
    assert settings.section("spin") == settings.spin
    assert settings.without_reward == (*settings.grpo_variants, "spin") and "other" in settings.without_reward
    assert set(settings.without_reward) < set(settings.methods)
    assert len(set(settings.methods)) == len(settings.methods)


def test_only_discounted_rewards_are_scored_with_a_discount(write):
    settings = params.load(write("variants.other", {"credit": "telescoped", "gamma": 0.5}))
    assert settings.airl_variant("airl_dense").score_gamma == settings.airl.gamma
    assert settings.airl_variant("other").score_gamma is None


def test_unknown_names_are_refused_with_the_known_ones():
    settings = params.load(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="'dense'; params.yaml has likelihood, airl_d"):
        settings.airl_variant("dense")
    with pytest.raises(ValueError, match="unknown reward 'sft'; params.yaml has likelihood, airl_dense"):
        settings.airl_variant("sft")
    with pytest.raises(ValueError, match="unknown method 'sft_17'; params.yaml has sft, grpo, "):
        settings.section("sft_17")
    with pytest.raises(ValueError, match="unknown backbone 'gpt'; params.yaml has qwen2"):
        settings.backbone("gpt")


def test_merge_by_hand():
    tree = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    assert params.merge(tree, {"a": {"y": 5, "x": None}, "b": [9], "d": {"e": None}}) == {
        "a": {"y": 5},
        "b": [9],
        "c": 3,
        "d": {},
    }
    assert tree == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}


@pytest.mark.parametrize("profile", ["default", "tiny"])
def test_every_profile_is_valid_and_loads_from_what_is_printed(profile, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["lib.study.params", profile])
    params.main()
    path = tmp_path / "params.yaml"
    path.write_text(capsys.readouterr().out)
    assert params.load(path).profile == profile


def test_a_profile_typo_is_refused_with_the_profiles(write):
    with pytest.raises(ValueError, match="unknown profile 'tinny'; there are default, tiny"):
        params.apply_profile(write(), "tinny")


def test_an_overlay_that_does_not_fit_is_refused(write):
    with pytest.raises(ValueError, match="profile tiny: sft.epoch: unknown key .did you mean epochs"):
        params.apply_profile(write("profiles.tiny.sft", {"epoch": 1}), "tiny")


def test_numbers_are_read_as_dvc_writes_them():
    assert params.parse_value("1e-05") == 1e-5
    assert params.parse_value("false") is False
    assert params.parse_value("qwen2") == "qwen2"
