import math
import random
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from transformers import set_seed

from lib import schema
from lib.airl import health
from lib.airl.discriminator import Discriminator, HeadDiscriminator, LogRatioDiscriminator
from lib.airl.objective import EXPERT, PERTURBED, POLICY
from lib.airl.trainer import AIRLTrainer
from lib.data import reading
from lib.grading import equations
from lib.models import generation, pretrained, scratch
from lib.models.grpo import Trainer
from lib.study.training import policies
from lib.text import alignment, chat, traces
from lib.text.chat import completion_ids

G, PROMPTS, LENGTH = 4, 2, 6


class Stub(Discriminator):
    """A reward model whose logits are `f(completion ids, their mask)`, of shape (B, T)."""

    def __init__(self, f):
        super().__init__()
        self.f = f
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def logits_BT(self, ids_BL, attention_BL, width_t):
        return self.f(ids_BL[:, -width_t:], attention_BL[:, -width_t:])


def scalar(ids: list[int]) -> float:
    """A reward of a completion that means nothing and differs between completions."""
    return (sum(ids) * 31 % 101) / 10 - 4


def scalar_everywhere(ids_BT, mask_BT):
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(ids_BT, mask_BT, strict=True)]
    return torch.tensor([[scalar(row)] * ids_BT.shape[1] for row in rows])


def by_token(ids_BT, mask_BT):
    """A reward for each token; enormous on the padding, where it must not matter."""
    return (ids_BT * 31 % 101 / 10.0 - 4).masked_fill(mask_BT == 0, 1e6)


def remember(trainer):
    """The list to which the trainer will append every scored batch."""
    outputs, inner = [], trainer._generate_and_score_completions

    def outer(inputs):
        outputs.append(inner(inputs))
        return outputs[-1]

    trainer._generate_and_score_completions = outer
    return outputs


@pytest.fixture
def make(backbone, experts, settings, tmp_path):
    """Makes an AIRLTrainer, or GRPO with the reward `grpo`, on the same questions and seed."""

    def _make(*, reward_model=None, grpo=None, answers=None, evaluate=False, untraced=(), **changes):
        changes = {"steps": 2, "prompts_per_step": PROMPTS, "group_size": G, "warmup_steps": 0,
                   "expert_in_group": False, "perturbations": 2, "lr": 0.01, **changes}  # fmt: skip
        assert set(changes) <= set(schema.Airl.model_fields)  # `model_copy` would take any name
        airl = settings.airl.model_copy(update=changes)
        sampling = settings.sampling.model_copy(update={"max_new_tokens": LENGTH})
        short = settings.model_copy(update={"sampling": sampling})
        set_seed(7)
        model, tokenizer = pretrained.load_backbone(backbone)
        if reward_model is None:
            reward_model = HeadDiscriminator.new(backbone, r=2, alpha=4)
        written = ["" if i in untraced else e.trace for i, e in enumerate(experts)]
        rows = policies.question_dataset(experts).add_column("trace", written)
        if answers:
            rows = rows.remove_columns("answer").add_column("answer", answers)
        common = dict(
            model=model,
            processing_class=tokenizer,
            train_dataset=rows,
            eval_dataset=rows.select(range(2)) if evaluate else None,
            peft_config=pretrained.lora(SimpleNamespace(r=2, alpha=4)),
            args=policies.grpo_config(
                airl, model=model, settings=short, seed=7, output_dir=tmp_path,
                per_device_eval_batch_size=2 * G,
                **({} if grpo else {"reward_weights": [0.0]}),
            ),
        )  # fmt: skip
        set_seed(8)
        if grpo:
            return Trainer(reward_funcs=grpo, **common)
        return AIRLTrainer(reward_model=reward_model, settings=airl, reward_funcs=policies.correct, **common)

    return _make


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def moved(before, module) -> set[str]:
    """Names of the parameters that are no longer what they were."""
    return {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}


def trainable(module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.requires_grad}


# Advantages against GRPO's


@pytest.fixture
def never_end(monkeypatch, tokenizer):
    """Where some completions end, the others are capped by them, as GRPO's are not."""
    choose, end = generation.choose, torch.tensor([tokenizer.eos_token_id])
    monkeypatch.setattr(
        generation, "choose", lambda logits_BV, t: choose(logits_BV.index_fill(1, end, -torch.inf), t)
    )


def assert_same(airl_outputs, grpo_outputs):
    """The same completions, and on each of their tokens the same advantage."""
    assert len(airl_outputs) == len(grpo_outputs) > 0
    for airl, grpo in zip(airl_outputs, grpo_outputs, strict=True):
        assert torch.equal(airl["completion_ids"], grpo["completion_ids"])
        mask_BT = grpo["completion_mask"]
        assert airl["advantages"].shape == mask_BT.shape
        assert torch.allclose(airl["advantages"], grpo["advantages"][:, None] * mask_BT, atol=1e-6)


@pytest.mark.parametrize(
    "boundaries, credit",
    [("dense", "discounted"), ("interval", "discounted"), ("sparse", "discounted"),
     ("dense", "telescoped"), ("interval", "stepwise")],
)  # fmt: skip
def test_under_a_constant_discriminator_all_advantages_are_grpos_zero(make, boundaries, credit):
    stub = Stub(lambda ids_BT, _: torch.full(ids_BT.shape, 2.7))
    airl = make(reward_model=stub, boundaries=boundaries, interval=3, credit=credit, discriminator_steps=0)
    outputs, before = remember(airl), weights(airl.model)
    airl.train()
    grpo = make(grpo=lambda completions, **_: [2.7] * len(completions))
    expected = remember(grpo)
    grpo.train()
    assert_same(outputs, expected)
    assert all((output["advantages"] == 0).all() for output in outputs)
    assert not moved(before, airl.model)


@pytest.mark.parametrize("credit", ["discounted", "stepwise"])
def test_sparse_boundaries_are_grpo_on_a_scalar_reward(make, never_end, credit):
    options = {"boundaries": "sparse", "gamma": 0.5, "credit": credit, "discriminator_steps": 0}
    airl = make(reward_model=Stub(scalar_everywhere), **options)
    outputs = remember(airl)
    airl.train()
    grpo = make(grpo=lambda completion_ids, **_: [scalar(ids) for ids in completion_ids])
    expected = remember(grpo)
    grpo.train()
    assert len(outputs) == 2 and outputs[0]["advantages"].abs().max() > 0.5
    assert_same(outputs, expected)
    for (name, ours), theirs in zip(airl.model.named_parameters(), grpo.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6), name  # so the policy became the same too


def test_an_election_without_a_favourite_is_ttrl(make, never_end, monkeypatch):
    parsed = lambda text: SimpleNamespace(answer=str(len(text) % 3), well_formed=False)  # noqa: E731
    monkeypatch.setattr(traces, "parse", parsed)
    indifferent = Stub(lambda ids_BT, _: torch.full(ids_BT.shape, 2.7))
    airl = make(reward_model=indifferent, credit="elected", discriminator_steps=0)
    outputs = remember(airl)
    airl.train()
    ttrl = make(grpo=policies.elected(G))
    expected = remember(ttrl)
    ttrl.train()
    assert outputs[0]["advantages"].abs().max() > 0.5
    assert_same(outputs, expected)


@pytest.mark.parametrize("boundaries", ["dense", "interval"])
def test_advantages_match_a_loop_over_groups_and_tokens(make, boundaries):
    gamma, clip, interval = 0.7, 1.0, 3
    airl = make(
        reward_model=Stub(by_token), boundaries=boundaries, interval=interval, gamma=gamma, reward_clip=clip,
        discriminator_steps=0, expert_in_group=True,
    )  # fmt: skip
    outputs, capped = remember(airl), 0
    airl.train()
    for output in outputs:
        lengths = output["completion_mask"].sum(1).tolist()
        for first in range(0, len(lengths), G):
            marked = {
                b: [t for t in range(lengths[b])
                    if boundaries == "dense" or (t + 1) % interval == 0 or t == lengths[b] - 1]
                for b in range(first, first + G)
            }  # fmt: skip
            ids = output["completion_ids"].tolist()
            reward = {(b, t): ids[b][t] * 31 % 101 / 10 - 4 for b in marked for t in marked[b]}
            average = sum(reward.values()) / len(reward)
            std = (sum((r - average) ** 2 for r in reward.values()) / (len(reward) - 1)) ** 0.5
            scaled = {key: max(-clip, min(clip, (r - average) / (std + 1e-4))) for key, r in reward.items()}
            returns = {
                (b, t): sum(gamma**k * scaled[b, s] for k, s in enumerate(s for s in marked[b] if s >= t))
                for b in marked for t in range(lengths[b])
            }  # fmt: skip
            ended = [b for b in marked if ids[b][lengths[b] - 1] == airl.processing_class.eos_token_id]
            assert ended  # the expert at least
            cap = min(returns[b, 0] for b in ended)
            for b in marked:
                for t in range(output["advantages"].shape[1]):
                    expected = returns.get((b, t), 0.0)
                    if b not in ended and t < lengths[b]:
                        expected = min(expected, cap)
                        capped += expected == cap
                    assert output["advantages"][b, t].item() == pytest.approx(expected, abs=1e-4)
    assert capped


def test_the_log_density_reward_is_the_likelihood_under_the_expert_model(make, backbone):
    """A fresh adapter's expert model is the backbone, whose own likelihoods GRPO is given."""
    plain, _ = pretrained.load_backbone(backbone)
    airl = make(
        reward_model=LogRatioDiscriminator.new(backbone, r=2, alpha=4), reward="log_density",
        boundaries="sparse", credit="stepwise", reward_clip=9.0, discriminator_steps=0,
    )  # fmt: skip
    outputs = remember(airl)
    airl.train()

    @torch.no_grad()
    def likelihood(prompts, completion_ids, **_):
        asked = [airl.processing_class(p[0]["content"] + scratch.SEPARATOR).input_ids for p in prompts]
        values = []
        for prompt, ids in zip(asked, completion_ids, strict=True):
            logprobs = plain(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            values.append(sum(logprobs[len(prompt) + t - 1, token].item() for t, token in enumerate(ids)))
        return values

    grpo = make(grpo=likelihood)
    expected = remember(grpo)
    grpo.train()
    assert len(outputs) == len(expected) == 2 and outputs[0]["advantages"].abs().max() > 0.5
    for ours, theirs in zip(outputs, expected, strict=True):
        expected_BT = theirs["advantages"][:, None] * theirs["completion_mask"]
        assert torch.allclose(ours["advantages"], expected_BT, atol=1e-3)


# Who is trained by what


def test_the_policys_step_leaves_the_discriminator_alone(make):
    airl = make(discriminator_steps=0)
    policy, reward = weights(airl.model), weights(airl.reward_model)
    airl.train()
    assert moved(policy, airl.model) and moved(policy, airl.model) <= trainable(airl.model)
    assert not moved(reward, airl.reward_model)
    assert all(p.grad is None for p in airl.reward_model.parameters())


def test_the_discriminators_step_leaves_the_policy_alone(make, experts):
    airl = make()
    policy, reward = weights(airl.model), weights(airl.reward_model)
    airl._update_discriminator(*batch_of(airl, experts))
    changed = moved(reward, airl.reward_model)
    assert changed and changed <= trainable(airl.reward_model)
    assert not moved(policy, airl.model)
    assert all(p.grad is None for p in airl.model.parameters())


def test_a_discriminators_step_has_the_same_gradient_a_few_rows_at_a_time(make, experts, monkeypatch):
    airl, gradients, read = make(), [], []
    for module in airl.reward_model.modules():
        if isinstance(module, torch.nn.Dropout):  # before the head
            module.p = 0.0
    batch, logits_BT = batch_of(airl, experts), airl.reward_model.logits_BT
    monkeypatch.setattr(
        airl.reward_model, "logits_BT", lambda ids, *rest: read.append(len(ids)) or logits_BT(ids, *rest)
    )
    monkeypatch.setattr(airl._optimizer, "step", lambda: None)
    for accumulated in (1, 2):
        airl.args.per_device_train_batch_size, airl.args.gradient_accumulation_steps = 3, accumulated
        airl._random.seed(0)
        with monkeypatch.context() as kept:
            kept.setattr(airl._optimizer, "zero_grad", lambda: None)
            airl._update_discriminator(*batch)
        gradients.append({name: p.grad for name, p in airl.reward_model.trained().items()})
        airl._optimizer.zero_grad()
    whole, *few = read
    assert sum(few) == whole > 3 and set(few[:-1]) == {3}
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


def test_training_moves_both_adapters_and_neither_backbone(make):
    airl = make()
    policy, reward = weights(airl.model), weights(airl.reward_model)
    airl.train()
    for before, module in ((policy, airl.model), (reward, airl.reward_model)):
        assert moved(before, module) and moved(before, module) <= trainable(module)
        assert all(p.grad is None for p in module.parameters() if not p.requires_grad)


def test_the_policy_waits_while_the_discriminator_warms_up(make):
    airl = make(warmup_steps=2)
    outputs, policy, reward = remember(airl), weights(airl.model), weights(airl.reward_model)
    airl.train()
    assert len(outputs) == 2 and all((output["advantages"] == 0).all() for output in outputs)
    assert not moved(policy, airl.model) and moved(reward, airl.reward_model)
    longer = make(warmup_steps=1)
    outputs, policy = remember(longer), weights(longer.model)
    longer.train()
    assert (outputs[0]["advantages"] == 0).all() and (outputs[1]["advantages"] != 0).any()
    assert moved(policy, longer.model)


def test_the_discriminator_takes_its_updates_and_then_stays(make):
    airl = make(steps=3, discriminator_steps=2, discriminator_updates=3)
    airl.train()
    assert {int(state["step"]) for state in airl._optimizer.state.values()} == {2 * 3}
    logs = airl.state.log_history
    assert ["disc_loss" in log for log in logs if "pass_rate" in log] == [True, True, False]
    shorter = make(steps=2, discriminator_steps=2, discriminator_updates=3, lr=0.02)
    shorter.train()
    assert not moved(weights(airl.model), airl.model) and moved(weights(airl.model), shorter.model)
    first = [log for log in logs if "disc_loss" in log][0]
    again = [log for log in shorter.state.log_history if "disc_loss" in log][0]
    assert first["disc_loss"] == pytest.approx(again["disc_loss"], abs=1e-6)


def test_the_discriminators_learning_rate_follows_its_schedule(make, experts):
    rates = {}
    for schedule in ("constant", "cosine"):
        airl = make(discriminator_schedule=schedule, discriminator_steps=2, discriminator_updates=2)
        batch, rates[schedule] = batch_of(airl, experts), []
        for _ in range(4):
            rates[schedule].append(airl._optimizer.param_groups[0]["lr"] / airl.settings.discriminator_lr)
            airl._update_discriminator(*batch)
    assert rates["constant"] == [1.0] * 4
    assert rates["cosine"] == pytest.approx([(1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)])


@pytest.mark.parametrize("expert_in_group", [False, True])  # an expert always ends
def test_a_degenerate_run_stops_and_says_why(make, never_end, monkeypatch, expert_in_group):
    monkeypatch.setattr(health, "TRUNCATED_STEPS", 2)
    airl = make(steps=4, discriminator_steps=0, expert_in_group=expert_in_group)
    outputs = remember(airl)
    airl.train()
    assert airl.state.global_step == len(outputs) == 2
    assert airl.fault.startswith("no completion ended for 2 steps")
    assert (outputs[-1]["advantages"] == 0).all()


def test_a_reward_that_is_not_finite_is_an_error(make):
    airl = make(reward_model=Stub(lambda ids_BT, _: ids_BT * float("nan")), discriminator_steps=0)
    with pytest.raises(ValueError, match="airl.discriminator_lr: a reward is not finite; lower it"):
        airl.train()


@pytest.mark.parametrize("completion, ended", [([5, 1], True), ([5, 7], True), ([7, 5], False)])
def test_a_completion_has_ended_at_any_of_the_end_tokens(make, monkeypatch, completion, ended):
    monkeypatch.setattr(health, "TRUNCATED_STEPS", 1)
    airl = make()
    airl._stop_if_degenerate([], torch.tensor(alignment.finished([completion], [1, 7])))
    assert (airl.fault is None) == ended


def test_a_run_that_is_well_has_no_fault(make):
    airl = make()
    airl.train()
    assert airl.fault is None and airl.state.global_step == 2


def test_a_question_without_a_trace_is_practised_on_without_an_expert(make, tokenizer, experts):
    airl = make(untraced=range(6, 12), steps=6, expert_in_group=True, boundaries="step")
    outputs = remember(airl)
    airl.train()
    traced = {e.question + scratch.SEPARATOR: i < 6 for i, e in enumerate(experts)}
    ends = {True: set(), False: set()}
    for output in outputs:
        for row, ids in enumerate(written(output)):
            prompt = tokenizer.decode(output["prompt_ids"][row][output["prompt_mask"][row].bool()])
            if row % G == G - 1:
                ends[traced[prompt]].add(tokenizer.decode(ids))
    assert len(ends[True]) == len(ends[False]) == 6
    texts = {e.trace + scratch.END for e in experts}
    assert ends[True] < texts and not ends[False] & texts
    assert all("disc_loss" in log for log in airl.state.log_history if "pass_rate" in log)


def test_evaluation_only_looks(make):
    airl = make(evaluate=True, expert_in_group=True, warmup_steps=5)
    outputs, policy, reward = remember(airl), weights(airl.model), weights(airl.reward_model)
    state = airl._random.getstate()
    metrics = airl.evaluate()
    assert not moved(policy, airl.model) and not moved(reward, airl.reward_model)
    assert airl._random.getstate() == state and not airl._optimizer.state
    assert 0 <= metrics["eval_pass_rate"] <= 1 and "eval_disc_loss" not in metrics
    assert (outputs[0]["advantages"] != 0).any()  # what training would use, warm-up or not
    experts = {tuple(completion_ids(airl.processing_class, row["trace"])) for row in airl.eval_dataset}
    assert not experts & set(map(tuple, written(outputs[0])))


def written(output) -> list[list[int]]:
    """The completions of a batch without their padding."""
    return [
        ids[mask.bool()].tolist()
        for ids, mask in zip(output["completion_ids"], output["completion_mask"], strict=True)
    ]


def test_the_expert_is_the_last_of_each_group_in_training(make, tokenizer, experts):
    traces_of = {chat.prompt_text(tokenizer, e.question): e.trace for e in experts}
    for expert_in_group in (True, False):
        airl = make(expert_in_group=expert_in_group)
        outputs = remember(airl)
        airl.train()
        for output in outputs:
            for row, ids in enumerate(written(output)):
                prompt = output["prompt_ids"][row][output["prompt_mask"][row].bool()]
                expert = tokenizer(traces_of[tokenizer.decode(prompt)] + scratch.END).input_ids
                assert (ids == expert) == (expert_in_group and row % G == G - 1)
        assert all(log["completion_length"] <= LENGTH for log in airl.state.log_history if "pass_rate" in log)


# The discriminator's batch and loss


def batch_of(airl, experts, right=0):
    """Inputs, prompts and completions of two groups, `right` samples of each with the right answer."""
    rows = [
        {"prompt": [{"role": "user", "content": e.question}], "trace": e.trace, "answer": e.answer}
        for e in experts[:PROMPTS]
        for _ in range(G)
    ]
    airl._experts = [completion_ids(airl.processing_class, row["trace"]) for row in rows[::G]]
    airl.model.train()
    tokenizer = airl.processing_class
    prompts = [tokenizer(row["prompt"][0]["content"] + scratch.SEPARATOR).input_ids for row in rows]
    completions = [
        completion_ids(
            airl.processing_class,
            traces.render([f"sample {i % G}"], row["answer"] if i % G < right else "-1"),
        )
        for i, row in enumerate(rows)
    ]
    return rows, prompts, completions


def test_every_row_of_the_batch_has_its_own_question(make, tokenizer, experts):
    airl = make(perturbations=3, policy_per_prompt=2)
    inputs, prompts, completions = batch_of(airl, experts)
    rows = airl._discriminator_rows(inputs, prompts, completions)
    assert len(rows) == PROMPTS * (1 + 2 + 3)
    for e, own in zip(experts, (rows[:6], rows[6:]), strict=False):
        assert {tokenizer.decode(row.prompt) for row in own} == {e.question + scratch.SEPARATOR}
    assert [row.kind for row in rows] == [EXPERT, POLICY, POLICY, PERTURBED, PERTURBED, PERTURBED] * PROMPTS
    assert [row.expert_is_one for row in rows] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0] * PROMPTS
    assert {row.labelled_from for row in rows} == {0}
    for group, e in enumerate(experts[:PROMPTS]):
        texts = [tokenizer.decode(row.completion) for row in rows[6 * group : 6 * group + 6]]
        assert texts[0] == e.trace + scratch.END
        assert len(set(texts[1:3])) == 2
        assert set(texts[1:3]) < set(map(tokenizer.decode, completions[G * group : G * group + G]))
        for text in texts[3:]:  # a near miss of this question's expert, wrong for this question
            assert text.endswith(scratch.END) and text != texts[0]
            assert reading.first_wrong_unit(text.removesuffix(scratch.END), e.trace) is not None


def test_the_expert_in_the_group_is_no_policy_sample(make, experts):
    airl = make(expert_in_group=True, policy_per_prompt=G)
    inputs, prompts, completions = batch_of(airl, experts)
    rows = airl._discriminator_rows(inputs, prompts, completions)
    sampled = [row.completion for row in rows if row.kind == POLICY]
    assert sorted(sampled) == sorted(c for i, c in enumerate(completions) if i % G != G - 1)


def test_right_samples_are_relabelled_only_when_asked(make, experts):
    for relabel, expected in ((False, 0), (True, 2)):
        airl = make(policy_per_prompt=G, perturbations=0, relabel_correct=relabel)
        inputs, prompts, completions = batch_of(airl, experts, right=2)
        positive = [
            airl.processing_class.decode(row.completion)
            for row in airl._discriminator_rows(inputs, prompts, completions)
            if row.kind == POLICY and row.expert_is_one == 1.0
        ]
        assert len(positive) == expected * PROMPTS
        assert all("sample 0" in text or "sample 1" in text for text in positive)


def test_answers_reach_neither_rewards_nor_weights(make, experts):
    answers = [e.answer for e in experts]
    random.Random(0).shuffle(answers)
    ends = []
    for given in (None, answers):
        airl = make(answers=given)
        outputs = remember(airl)
        airl.train()
        ends.append((outputs, weights(airl.model), weights(airl.reward_model)))
    (outputs, policy, reward), (other_outputs, other_policy, other_reward) = ends
    for output, other in zip(outputs, other_outputs, strict=True):
        assert torch.equal(output["advantages"], other["advantages"])
    assert all(torch.equal(policy[name], other_policy[name]) for name in policy)
    assert all(torch.equal(reward[name], other_reward[name]) for name in reward)


def test_only_the_tokens_from_the_first_error_on_are_called_wrong(make, tokenizer, experts):
    airl = make(labels="from_first_error", perturbations=8)
    expert_of = {e.question: completion_ids(airl.processing_class, e.trace) for e in experts}
    rows = [row for row in airl._discriminator_rows(*batch_of(airl, experts)) if row.kind == PERTURBED]
    for row in rows:
        expert = expert_of[tokenizer.decode(row.prompt).removesuffix(scratch.SEPARATOR)]
        differing = [t for t, (a, b) in enumerate(zip(row.completion, expert, strict=False)) if a != b]
        assert row.labelled_from == differing[0]  # on this world a token is a word or a number
    assert len({row.labelled_from for row in rows}) > 2


def test_a_question_without_a_trace_brings_another_questions_expert(make, tokenizer, experts):
    airl = make(policy_per_prompt=2, perturbations=1, expert_in_group=True)
    inputs, prompts, completions = batch_of(airl, experts)
    for row in inputs[:G]:
        row["trace"] = ""
    airl._experts[0] = []
    rows = airl._discriminator_rows(inputs, prompts, completions)
    assert [row.kind for row in rows] == [EXPERT, POLICY, POLICY, PERTURBED] * PROMPTS
    shown = {e.question: e.trace + scratch.END for e in experts}
    question = tokenizer.decode(rows[0].prompt).removesuffix(scratch.SEPARATOR)
    assert tokenizer.decode(rows[0].completion) == shown[question]
    assert rows[3].prompt == rows[0].prompt
    assert all(row.prompt == prompts[0] for row in rows[1:3])
    assert airl._expert_rows(len(inputs)) == [2 * G - 1]


def tokenizer_text(airl, row) -> str:
    """The text of a row's completion, without its end."""
    return airl.processing_class.decode(row.completion, skip_special_tokens=True)


def test_own_near_misses_are_policy_samples_with_one_false_equation(make, tokenizer, experts):
    airl = make(own_near_misses=3, policy_per_prompt=1, perturbations=1, labels="from_first_error",
                expert_in_group=True)  # fmt: skip
    inputs, prompts, completions = batch_of(airl, experts)
    completions = [completion_ids(tokenizer, traces.render([f"{i + 2}*3={3 * i + 6} beads"], str(3 * i + 6)))
                   for i in range(len(inputs))]  # fmt: skip
    chosen = airl._discriminator_rows(inputs, prompts, completions)
    assert [row.kind for row in chosen] == ([EXPERT, POLICY] + [PERTURBED] * 4) * PROMPTS
    for group in range(PROMPTS):
        own = range(G * group, G * group + G - 1)  # the last place of a group is the expert's
        struck = []
        for row in chosen[6 * group + 3 : 6 * group + 6]:
            text = tokenizer_text(airl, row)
            (equation,) = equations.find(text)
            struck.append(int(equation.expression.split("*")[0]) - 2)
            sample = completions[struck[-1]]
            assert equations.value(equation.expression) != equations.value(equation.result)
            assert traces.parse(text).answer == equation.result
            assert row.prompt == prompts[G * group] and row.expert_is_one == 0.0
            differing = [t for t, (a, b) in enumerate(zip(row.completion, sample, strict=True)) if a != b]
            assert row.labelled_from == differing[0] > 0
        assert len(set(struck)) == 1 and struck[0] in own


def test_a_sample_without_an_equation_brings_no_near_miss(make, experts):
    airl = make(own_near_misses=3, policy_per_prompt=1, perturbations=0)
    chosen = airl._discriminator_rows(*batch_of(airl, experts))
    assert [row.kind for row in chosen] == [EXPERT, POLICY] * PROMPTS


@pytest.mark.parametrize("kinds", ["paper", "carried"])
def test_the_experts_near_misses_are_of_the_rules_asked_for(make, tokenizer, experts, kinds):
    """A carried error leaves the answer consistent with the last step; the paper's one place never does."""
    airl = make(near_misses=kinds, perturbations=6)
    for row in airl._discriminator_rows(*batch_of(airl, experts)):
        if row.kind == PERTURBED:
            text = tokenizer_text(airl, row)
            last = [e.result for e in equations.find(text)][-1:]
            false = sum(
                equations.value(e.expression) != equations.value(e.result) for e in equations.find(text)
            )
            consistent = last in ([], [traces.parse(text).answer])
            assert consistent and false <= 1 if kinds == "carried" else false == 1 or not consistent


def test_the_policys_samples_have_the_label_asked_for(make, experts):
    airl = make(policy_label=0.2, relabel_correct=True, policy_per_prompt=G, perturbations=1)
    chosen = airl._discriminator_rows(*batch_of(airl, experts, right=1))
    labels = [(row.kind, row.expert_is_one) for row in chosen]
    for label, count in (
        ((EXPERT, 1.0), 1),
        ((POLICY, 1.0), 1),
        ((POLICY, 0.2), G - 1),
        ((PERTURBED, 0.0), 1),
    ):
        assert labels.count(label) == count * PROMPTS


def test_few_of_many_groups_are_shown_to_the_discriminator(make, experts):
    airl = make(discriminator_prompts=1, policy_per_prompt=2, perturbations=1)
    inputs, prompts, completions = batch_of(airl, experts)
    seen = set()
    for _ in range(20):
        chosen = airl._discriminator_rows(inputs, prompts, completions)
        assert [row.kind for row in chosen] == [EXPERT, POLICY, POLICY, PERTURBED]
        (prompt,) = {tuple(row.prompt) for row in chosen}
        seen.add(prompt)
    assert seen == set(map(tuple, prompts))


@pytest.mark.parametrize("loss", ["bce", "wgan"])
@pytest.mark.parametrize("boundaries", ["sparse", "dense"])
def test_three_steps_on_a_fixed_batch_lower_the_loss(make, experts, loss, boundaries):
    airl = make(loss=loss, boundaries=boundaries, discriminator_lr=0.01)
    inputs, prompts, completions = batch_of(airl, experts)
    batch = airl._discriminator_rows(inputs, prompts, completions)
    airl._discriminator_rows = lambda *_: batch
    for module in airl.reward_model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # its noise is larger than three steps' gain
    for _ in range(4):
        airl._update_discriminator(inputs, prompts, completions)
    losses = airl._metrics["train"]["disc_loss"]
    assert losses[0] > losses[1] > losses[2] > losses[3]


def test_the_batch_is_as_wide_as_its_own_longest_row(make, experts, monkeypatch):
    airl = make()
    inputs, prompts, completions = batch_of(airl, experts)
    rows = airl._discriminator_rows(inputs, prompts, completions)
    airl._discriminator_rows = lambda *_: rows
    seen, logits_BT = [], airl.reward_model.logits_BT
    monkeypatch.setattr(
        airl.reward_model, "logits_BT", lambda ids, *rest: seen.append(ids.shape) or logits_BT(ids, *rest)
    )
    airl._update_discriminator(inputs, prompts, completions)
    assert seen == [
        (len(rows), max(len(row.prompt) for row in rows) + max(len(row.completion) for row in rows))
    ]


# What is logged


def test_every_step_logs_the_monitors(make):
    airl = make(perturbations=1, policy_per_prompt=2)
    airl.train()
    steps = [log for log in airl.state.log_history if "disc_loss" in log]
    assert len(steps) == 2
    for log in steps:
        for name in ("expert", "policy", "perturbed"):
            assert 0 <= log[f"disc_accuracy_{name}"] <= 1 and f"reward_{name}" in log
        assert 0 <= log["pass_rate"] <= 1 and 1 <= log["completion_length"] <= LENGTH
    assert steps[0]["kl_to_start"] == pytest.approx(0, abs=1e-5)  # the policy has not moved yet


def test_the_kl_to_the_backbone_is_of_the_policys_own_samples(make):
    airl = make(expert_in_group=True, steps=3)
    outputs = remember(airl)
    airl.train()
    output = outputs[-1]
    estimate = airl._kl_to_start(output, [0, 1, 2, 4, 5, 6])
    assert abs(estimate) > 1e-4  # a step has moved the policy
    ids, attention = (
        torch.cat([output[f"prompt_{name}"], output[f"completion_{name}"]], 1) for name in ("ids", "mask")
    )
    width, by_hand = output["completion_ids"].shape[1], []
    for row in (0, 1, 2, 4, 5, 6):
        sums = []
        for context in (nullcontext(), airl.model.disable_adapter()):
            with context, torch.no_grad():
                logits = airl.model(ids[row : row + 1], attention_mask=attention[row : row + 1]).logits[0]
            chosen = logits[:-1].log_softmax(-1).gather(-1, ids[row, 1:, None])[-width:, 0]
            sums.append(chosen[output["completion_mask"][row].bool()].sum().item())
        by_hand.append(sums[0] - sums[1])
    assert estimate == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-4)
    seen = []
    airl._kl_to_start = lambda _, own: seen.append(own) or 0.0
    airl.state.global_step = 0
    airl.model.train()
    airl._record([{"answer": "1"}] * 8, [[1]] * 8, torch.zeros(8), output)
    assert seen == [[0, 1, 2, 4, 5, 6]]


def test_the_logged_auroc_and_pass_rate_are_of_the_policys_own_samples(make, experts):
    airl = make(expert_in_group=True)
    inputs, _, completions = batch_of(airl, experts, right=2)
    mask = torch.ones(len(completions), 1)
    airl.state.global_step = 1  # no KL on this step
    scores = torch.tensor([5.0, 1.0, 2.0, 99.0] * PROMPTS)  # right, right, wrong, the expert's place
    airl.model.train()
    airl._record(inputs, completions, scores, {"completion_mask": mask})
    assert airl._metrics["train"]["pass_rate"] == [pytest.approx(2 / 3)]
    assert airl._metrics["train"]["reward_auroc"] == [pytest.approx(0.5)]


def test_the_same_seed_trains_the_same_reward(make):
    ends = []
    for _ in range(2):
        airl = make(expert_in_group=True)
        airl.train()
        ends.append(weights(airl.reward_model))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
