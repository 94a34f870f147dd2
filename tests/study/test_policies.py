import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from lib.models import generation, pretrained, scratch
from lib.study.adversarial.training import new_discriminator, train_airl
from lib.study.training import launch, policies
from lib.text import chat, traces


@pytest.fixture
def start(backbone):
    """The weights of the untrained backbone."""
    return load_file(backbone / "model.safetensors")


def few_steps(settings):
    """The SFT section for three steps on the dozen experts; the first has learning rate 0."""
    return settings.sft.model_copy(update={"batch_size": 4, "epochs": 1})


def few_demonstrations(settings, **changes):
    """The AIRL section for the dozen experts."""
    return settings.airl.model_copy(update={"demonstrations": 12, "start": "base", **changes})


def common(settings, tmp_path):
    sampled = settings.sampling.model_copy(update={"max_new_tokens": 4})
    changed = settings.model_copy(update={"sampling": sampled, "sft": few_steps(settings)})
    return {"settings": changed, "seed": 0, "output_dir": tmp_path}


def base_weights(model):
    """Weights of the backbone inside a policy, under the names they have in its directory."""
    return {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): p.detach()
        for name, p in model.named_parameters()
        if "lora_" not in name
    }


def lora_weights(model):
    return {name: p.detach() for name, p in model.named_parameters() if "lora_" in name}


def changed(model, start) -> set[str]:
    return {name for name, p in base_weights(model).items() if not torch.equal(p, start[name])}


@pytest.mark.parametrize("needs", ["sft", "grpo", "airl"])
def test_an_unknown_backbone_is_one_clear_line(needs, experts, settings, tmp_path):
    nowhere, given = tmp_path / "qwen3", common(settings, tmp_path)
    airl = few_demonstrations(settings)
    with pytest.raises(FileNotFoundError) as error:
        if needs == "sft":
            policies.train_sft(nowhere, experts, settings.sft, **given)
        elif needs == "grpo":
            policies.train_grpo(nowhere, experts, settings.grpo, sft_adapter=None, **given)
        else:
            train_airl(
                nowhere, nowhere, experts, [], airl, sft_adapter=nowhere, **given,
            )  # fmt: skip
    assert str(error.value).startswith(f"{nowhere}: no backbone here; `dvc repro` makes it")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def sft(backbone, experts, settings, tmp_path_factory):
    """A policy after one epoch of SFT."""
    directory = tmp_path_factory.mktemp("sft")
    return policies.train_sft(backbone, experts, few_steps(settings), **common(settings, directory))


def test_sft_is_on_the_trace_alone(sft, experts):
    tokenizer = sft.processing_class
    left = {e.trace + scratch.END: e.question + scratch.SEPARATOR for e in experts}
    for batch in sft.get_train_dataloader():
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            on = labels != -100
            assert torch.equal(ids[on], labels[on])
            first = int(on.int().argmax())
            assert tokenizer.decode(ids[:first]) == left.pop(tokenizer.decode(labels[on]))
    assert not left


def test_an_adapter_leaves_the_backbone_as_it_was(sft, start):
    assert not changed(sft.model, start)
    assert set(base_weights(sft.model)) == set(start)
    lora = {name: p for name, p in sft.model.named_parameters() if "lora_B" in name}
    assert lora and all(p.requires_grad and p.abs().max() > 0 for p in lora.values())


def test_the_trained_policy_is_saved_as_an_adapter(sft, backbone, tmp_path):
    sft.model.save_pretrained(tmp_path)
    model, tokenizer = pretrained.load_backbone(backbone)
    loaded = PeftModel.from_pretrained(model, tmp_path).eval()
    ids = tokenizer("How many now?", return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, sft.model.eval()(ids).logits, atol=1e-6)


def test_the_verifiable_reward_by_hand():
    right, wrong = traces.render(["7+2=9 beads"], "9"), traces.render(["7+2=9 beads"], "8")
    completions = [[{"role": "assistant", "content": text}] for text in (right, wrong, "9", right)]
    assert policies.correct(completions, ["9", "9", "9", "10"]) == [1.0, 0.0, 0.0, 0.0]


def answered(*answers) -> list[list[dict]]:
    """Completions that give these answers, None none."""
    texts = ["no idea" if a is None else traces.render(["a step"], a) for a in answers]
    return [[{"role": "assistant", "content": text}] for text in texts]


@pytest.mark.parametrize("given, rewards", [
    (["7", "8", "8", "9"], [0, 1, 1, 0]),
    (["7", "8", "8", "7"], [1, 0, 0, 1]),  # a tie: the answer given first
    ([None, None, None, "7"], [0, 0, 0, 1]),  # no answer is never elected
    ([None, None, None, None], [0, 0, 0, 0]),
    (["1,000", "7", "1000", None], [1, 0, 1, 0]),  # one answer, however it is written
    (["7", "7", "7", "8", "8", "8", "9", "8"], [1, 1, 1, 0, 1, 1, 0, 1]),  # two groups, each with its own
])  # fmt: skip
def test_the_vote_of_a_group_by_hand(given, rewards):
    assert policies.elected(4)(answered(*given), answer=["7"] * len(given)) == rewards


def test_a_vote_of_part_of_a_group_is_refused():
    with pytest.raises(ValueError, match="reward: vote needs each group whole in one process"):
        policies.elected(4)(answered("7", "7"))


@pytest.mark.parametrize("reward", ["answer", "vote"])
def test_grpo_goes_on_from_sft_by_answers_or_by_votes(
    sft, backbone, experts, settings, tmp_path, monkeypatch, reward
):
    """Every completion gives an answer that is wrong: all are elected, and none passes."""
    wrong = traces.render(["a step"], "123456")
    ids = sft.processing_class(wrong + scratch.END).input_ids
    monkeypatch.setattr(generation, "generate", lambda _, t, prompts, **__: [list(ids) for _ in prompts])
    sft.model.save_pretrained(tmp_path / "adapter")
    section = settings.grpo.model_copy(update={"reward": reward, "lr": 1e-12})
    trainer = policies.train_grpo(
        backbone, experts, section, sft_adapter=tmp_path / "adapter", **common(settings, tmp_path)
    )
    assert trainer.state.global_step == 2
    was, now = lora_weights(sft.model), lora_weights(trainer.model)
    assert was.keys() == now.keys() and all(torch.allclose(now[name], was[name], atol=1e-9) for name in was)
    steps = [row for row in trainer.state.log_history if "reward" in row]
    assert [row["reward"] for row in steps] == [float(reward == "vote")] * 2
    log = launch.training_log(trainer)
    assert [row["pass_rate"] for row in log] == [0.0] * 2


def test_grpo_and_airl_take_the_same_number_of_groups_and_steps(backbone, experts, settings, start, tmp_path):
    grpo = policies.train_grpo(
        backbone, experts, settings.grpo, sft_adapter=None, **common(settings, tmp_path)
    )
    own = few_demonstrations(settings)
    airl = train_airl(
        backbone, backbone, experts, [], own, sft_adapter=None,
        **common(settings, tmp_path),
    )  # fmt: skip
    for trainer, section in ((grpo, settings.grpo), (airl, own)):
        assert trainer.state.global_step == section.steps
        assert trainer.args.per_device_train_batch_size == section.prompts_per_step * section.group_size
        assert trainer.num_generations == section.group_size
        assert trainer.args.gradient_accumulation_steps == 1
        assert not changed(trainer.model, start)
    assert "rewards/correct/mean" in grpo.state.log_history[0]
    assert airl.state.log_history[0]["reward"] == 0.0  # the answer's reward weighs nothing
    assert hasattr(airl.reward_model, "save") and not hasattr(grpo, "reward_model")


def test_airl_practises_on_demonstrations_and_unlabelled_questions_alike(
    backbone, experts, settings, tmp_path
):
    section = few_demonstrations(settings, demonstrations=4, unlabelled_questions=3, steps=1)
    trainer = train_airl(
        backbone, backbone, experts, experts[6:], section, sft_adapter=None,
        **common(settings, tmp_path),
    )  # fmt: skip
    rows = [(row["prompt"][-1]["content"], row["trace"]) for row in trainer.train_dataset]
    assert rows == [(e.question, e.trace) for e in experts[:4]] + [(e.question, "") for e in experts[6:9]]


def test_airl_goes_on_from_the_policy_of_sft(sft, backbone, experts, settings, tmp_path):
    sft.model.save_pretrained(tmp_path / "adapter")
    lora = {}
    section = few_demonstrations(settings, steps=1)  # of learning rate 0, at the first step
    for start, adapter in (("base", None), ("sft", tmp_path / "adapter")):
        trainer = train_airl(
            backbone, backbone, experts, [], section, sft_adapter=adapter, **common(settings, tmp_path)
        )
        lora[start] = lora_weights(trainer.model)
        assert all(p.requires_grad for name, p in trainer.model.named_parameters() if "lora_" in name)
    was = lora_weights(sft.model)
    assert lora["sft"].keys() == was.keys() == lora["base"].keys()
    assert all(torch.equal(lora["sft"][name], was[name]) for name in was)
    assert not all(torch.equal(lora["base"][name], was[name]) for name in was)


def test_a_fitted_discriminator_starts_as_the_policy_of_sft(sft, backbone, experts, settings, tmp_path):
    section = few_demonstrations(
        settings, parameterisation="log_ratio", likelihood_epochs=1, discriminator_steps=0, steps=1,
        demonstrations=len(experts), discriminator_r=settings.lora.r,
    )  # fmt: skip
    trainer = train_airl(
        backbone, backbone, experts, [], section, sft_adapter=None,
        **common(settings, tmp_path),
    )  # fmt: skip
    fitted = lora_weights(trainer.reward_model.model)
    was = lora_weights(sft.model)
    assert fitted.keys() == was.keys()
    assert all(torch.equal(fitted[name], was[name]) for name in was)
    assert not changed(trainer.model, load_file(backbone / "model.safetensors"))  # the policy did not move


@pytest.mark.parametrize(
    "changes", [{}, {"likelihood_epochs": 2}, {"discriminator_r": 1}, {"wrong_experts": 0.5}]
)
def test_a_fit_that_would_be_the_sft_over_again_is_that_one(
    sft, backbone, experts, settings, tmp_path, changes
):
    sft.save_model(tmp_path / "sft")
    given = common(settings, tmp_path / "likelihood")
    on_twelve = few_steps(settings).model_copy(update={"demonstrations": 12})
    given["settings"] = given["settings"].model_copy(update={"sft": on_twelve})
    as_sft = {"parameterisation": "log_ratio", "discriminator_r": settings.lora.r, "likelihood_epochs": 1}
    section = few_demonstrations(settings, **as_sft | changes)
    made = new_discriminator(backbone, None, experts, section, sft_adapter=tmp_path / "sft", **given)
    assert (tmp_path / "likelihood").exists() == bool(changes)  # where it is fitted
    was, found = lora_weights(sft.model), lora_weights(made.model)
    assert all(p.requires_grad for name, p in made.named_parameters() if "lora_" in name)
    assert changes or all(torch.equal(found[name], was[name]) for name in was)


def test_training_and_sampling_show_the_policy_the_same_prompt(sft, experts):
    tokenizer = sft.processing_class
    row = policies.question_dataset(experts[:1])[0]
    rendered = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    assert rendered == chat.prompt_text(tokenizer, experts[0].question)
    assert row["answer"] == experts[0].answer and "trace" not in row
    with_system = policies.question_dataset(experts[:1], "Think.")[0]["prompt"]
    rendered = tokenizer.apply_chat_template(with_system, tokenize=False, add_generation_prompt=True)
    assert rendered == chat.prompt_text(tokenizer, experts[0].question, "Think.")


def config(settings, tmp_path, dtype=torch.float32, **changes):
    """The arguments of GRPO of a model of a type, under other `training` parameters."""
    how = settings.training.model_copy(update=changes)
    section = settings.grpo.model_copy(update={"prompts_per_step": 4, "group_size": 4})
    changed = settings.model_copy(update={"training": how})
    model = torch.nn.Module()
    model.dtype = dtype
    return policies.grpo_config(section, model=model, settings=changed, seed=0, output_dir=tmp_path)


def test_a_model_of_bfloat16_is_trained_in_it(settings, tmp_path):
    assert config(settings, tmp_path, torch.bfloat16).bf16 and not config(settings, tmp_path).bf16


@pytest.mark.parametrize("processes, micro_batch, at_once, accumulated", [
    (1, 0, 16, 1), (1, 64, 16, 1), (1, 8, 8, 2), (2, 0, 8, 1), (2, 4, 4, 2), (4, 2, 2, 2),
])  # fmt: skip
def test_a_step_has_the_same_samples_however_they_are_shared_out(
    settings, tmp_path, monkeypatch, processes, micro_batch, at_once, accumulated
):
    monkeypatch.setattr(policies, "processes", lambda: processes)
    made = config(settings, tmp_path, micro_batch=micro_batch)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (at_once, accumulated)
    assert at_once * accumulated * processes == 16


@pytest.mark.parametrize("processes, micro_batch", [(3, 0), (1, 5), (32, 0)])
def test_a_step_that_cannot_be_shared_out_is_refused(settings, tmp_path, monkeypatch, processes, micro_batch):
    monkeypatch.setattr(policies, "processes", lambda: processes)
    with pytest.raises(ValueError, match=f"micro_batch: 16 completions cannot be shared by {processes} proc"):
        config(settings, tmp_path, micro_batch=micro_batch)


@pytest.mark.parametrize(
    "vllm, used, mode", [("off", False, None), ("colocate", True, "colocate"), ("server", True, "server")]
)
def test_samples_come_from_vllm_where_asked(settings, tmp_path, vllm, used, mode):
    made = config(settings, tmp_path, vllm=vllm)
    assert made.use_vllm == used and (not used or made.vllm_mode == mode)


def test_checkpoints_are_written_as_often_as_asked(settings, tmp_path):
    assert config(settings, tmp_path, checkpoint_every=0).save_strategy == "no"
    made = config(settings, tmp_path, checkpoint_every=7)
    assert (made.save_strategy, made.save_steps, made.save_total_limit) == ("steps", 7, 2)
