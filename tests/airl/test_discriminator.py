import itertools
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from lib import files
from lib.airl import credit, discriminator, objective
from lib.airl.discriminator import PARAMETERISATIONS, HeadDiscriminator, LogRatioDiscriminator
from lib.airl.objective import EXPERT, PERTURBED, POLICY
from lib.models import pretrained, scratch
from lib.reward import scoring
from lib.text import alignment, chat, traces

KINDS = list(PARAMETERISATIONS)


def new(backbone, kind="head", seed=0):
    """A discriminator whose adapter and head are both random, so that either shows in its logits."""
    torch.manual_seed(seed)
    result = PARAMETERISATIONS[kind].new(backbone, r=2, alpha=4).eval()
    with torch.no_grad():
        for name, parameter in result.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return result


@pytest.fixture(scope="module", params=[(a, kind) for a in scratch.CONFIGS for kind in KINDS], ids=str)
def reward_model(backbone_dirs, request):
    architecture, kind = request.param
    return new(backbone_dirs[architecture], kind)


@pytest.fixture(scope="module")
def rows(tokenizer, experts):
    """Prompt and completion ids of some demonstrations, of different lengths."""
    prompts = [tokenizer(chat.prompt_text(tokenizer, e.question)).input_ids for e in experts[:6]]
    return prompts, [tokenizer(e.trace + scratch.END).input_ids for e in experts[:6]]


@torch.no_grad()
def logits_of(reward_model, prompt, completion):
    """f at each token of one completion, computed without any padding."""
    ids = torch.tensor([prompt + completion])
    return reward_model.logits_BT(ids, torch.ones_like(ids), len(completion))[0]


# The model


def test_a_policy_that_becomes_a_log_ratio_is_in_one_place(backbone):
    policy = LogRatioDiscriminator.new(backbone, r=2, alpha=4).model.to("meta")
    made = LogRatioDiscriminator.of_policy(policy)
    assert {p.device.type for p in made.parameters()} == {"meta"}


def test_only_the_adapter_and_the_head_are_trained(backbone):
    trained = {name for name, p in new(backbone).named_parameters() if p.requires_grad}
    assert any("modules_to_save" in name and "score" in name for name in trained)
    assert all("lora_" in name or "score" in name for name in trained)
    for part in ("q_proj.lora_A", "o_proj.lora_B", "gate_proj.lora_A", "down_proj.lora_B"):
        assert any(part in name for name in trained), part


def test_small_steps_reach_every_trained_weight_of_a_backbone_in_bfloat16(backbone, rows, tmp_path):
    model, tokenizer = pretrained.load_backbone(backbone)
    model.bfloat16().save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    source = {"path": str(tmp_path / "half"), "gguf_sha256": "of bfloat16", "four_bit": False}
    files.write_json(tmp_path / "half" / pretrained.SOURCE, source)
    head = HeadDiscriminator.new(tmp_path / "half", r=2, alpha=4)
    before = {name: p.detach().clone() for name, p in head.trained().items()}
    optimizer = torch.optim.AdamW(head.trained().values(), lr=1e-5, weight_decay=0.0)
    (prompt, *_), (completion, *_) = rows
    ids = torch.tensor([prompt + completion])
    for _ in range(3):
        head.logits_BT(ids, torch.ones_like(ids), len(completion)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert head.model.get_input_embeddings().weight.dtype == torch.bfloat16
    scores = [name for name in before if ".score." in name]
    assert scores and all((head.trained()[name] != before[name]).all() for name in scores)
    assert all(p.dtype == torch.float32 for p in head.trained().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_discriminator_gives_the_same_logits(backbone_dirs, rows, tmp_path, kind):
    for architecture, directory in backbone_dirs.items():
        saved = new(directory, kind)
        for name, p in saved.trained().items():
            if "lora_" in name:
                p.data = p.data.bfloat16().float()  # as they are kept
        if kind == "log_ratio":
            saved.bias.data.fill_(0.3)
            saved.beta.data.fill_(0.7)
        saved.save(tmp_path / architecture)
        torch.manual_seed(99)  # what is not loaded would now differ
        loaded = PARAMETERISATIONS[kind].load(directory, tmp_path / architecture).eval()
        for prompt, completion in zip(*rows, strict=True):
            assert torch.equal(logits_of(loaded, prompt, completion), logits_of(saved, prompt, completion))
        assert not list((tmp_path / architecture).glob("*.bin"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_discriminator_is_one_clear_line(backbone, tmp_path, kind):
    with pytest.raises(FileNotFoundError) as error:
        PARAMETERISATIONS[kind].load(backbone, tmp_path / "none")
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'none'}: no ") and "04_irl_training" in message
    assert "discriminator" in message and "\n" not in message


def test_log_ratio_is_the_cumulative_difference_of_log_probabilities(backbone, rows):
    """Against the models themselves: the adapter merged into the weights, and the plain backbone."""
    reward_model = new(backbone, "log_ratio")
    reward_model.bias.data.fill_(0.3)
    reward_model.beta.data.fill_(0.7)
    plain = AutoModelForCausalLM.from_pretrained(backbone).eval()
    for prompt, completion in zip(*rows, strict=True):
        found = logits_of(reward_model, prompt, completion)
        ids, first = torch.tensor([prompt + completion]), len(prompt)
        with torch.no_grad():
            trained = reward_model.model(ids).logits[0].log_softmax(-1)
            reference = plain(ids).logits[0].log_softmax(-1)
        total = 0.0
        for t, token in enumerate(completion):
            total += (trained[first + t - 1, token] - reference[first + t - 1, token]).item()
            assert found[t].item() == pytest.approx(0.3 + 0.7 * total, abs=1e-4)


def test_the_log_density_is_that_of_the_trained_model_whatever_b_and_beta_are(backbone, rows):
    reward_model = new(backbone, "log_ratio")
    reward_model.bias.data.fill_(0.3)
    reward_model.beta.data.fill_(0.7)
    for prompt, completion in zip(*rows, strict=True):
        ids, first = torch.tensor([prompt + completion]), len(prompt)
        inputs = (ids, torch.ones_like(ids), len(completion))
        with torch.no_grad():
            found = discriminator.rewards_BT(reward_model, "log_density", *inputs)[0]
            logprobs = reward_model.model(ids).logits[0].log_softmax(-1)
            f = discriminator.rewards_BT(reward_model, "logit", *inputs)[0]
        each = [logprobs[first + t - 1, token].item() for t, token in enumerate(completion)]
        assert found.tolist() == pytest.approx(list(itertools.accumulate(each)), abs=1e-4)
        assert torch.equal(f, logits_of(reward_model, prompt, completion))


def test_a_fresh_log_ratio_is_nought_everywhere_and_trains_its_adapter_and_scalars(backbone, rows):
    fresh = LogRatioDiscriminator.new(backbone, r=2, alpha=4).eval()
    for prompt, completion in zip(*rows, strict=True):
        assert logits_of(fresh, prompt, completion).abs().max() < 1e-5
    trained = {name for name, p in fresh.named_parameters() if p.requires_grad}
    assert {"bias", "beta"} < trained
    assert all("lora_" in name for name in trained - {"bias", "beta"})


def test_the_batch_around_a_row_does_not_change_its_logits(reward_model, tokenizer, rows):
    prompts, completions = rows
    prompts, completions = [*prompts, [5]], [*completions, [6] * 60]  # a very short prompt, a very long row
    ids, attention, width = alignment.pad_completions(tokenizer, prompts, completions)
    with torch.no_grad():
        logits = reward_model.logits_BT(ids, attention, width)
    assert logits.shape == (len(prompts), width)
    for row, prompt, completion in zip(logits, prompts, completions, strict=True):
        alone = logits_of(reward_model, prompt, completion)
        assert torch.allclose(row[: len(completion)], alone, atol=1e-4)


def test_the_logit_at_a_token_has_read_it_and_nothing_later(reward_model, rows):
    prompt, completion = rows[0][0], rows[1][0]
    before = logits_of(reward_model, prompt, completion)
    for t in range(len(completion)):
        changed = [*completion[:t], (completion[t] + 1) % 300, *completion[t + 1 :]]
        after = logits_of(reward_model, prompt, changed)
        assert torch.allclose(after[:t], before[:t], atol=1e-6)
        assert abs(after[t] - before[t]) > 1e-4
    assert (logits_of(reward_model, prompt[1:], completion) - before).abs().max() > 1e-4  # the question too


def test_a_prompt_is_read_once_and_gives_the_logits_of_each_row_alone(reward_model, tokenizer, rows):
    prompts, completions = rows
    shared = [prompts[0], prompts[1], prompts[0], prompts[0], prompts[2], prompts[1]]
    batch = alignment.pad_completions(tokenizer, shared, completions)
    read, decoder = [], pretrained.without_adapter(reward_model.model).base_model

    def count(_module, args, kwargs):
        read.append(tuple((args[0] if args else kwargs["input_ids"]).shape))

    counting = decoder.register_forward_pre_hook(count, with_kwargs=True)
    with torch.no_grad():
        found = reward_model.logits_BT(*batch)
    counting.remove()
    passes = len(read) // 2  # a log-ratio asks twice
    assert read == [(3, batch[0].shape[1] - batch[2] - 1), (6, batch[2] + 1)] * passes
    for f, prompt, completion in zip(found, shared, completions, strict=True):
        assert torch.allclose(f[: len(completion)], logits_of(reward_model, prompt, completion), atol=1e-4)


# The loss


def bce(logit, target):
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


# two experts, one policy sample, two perturbed experts; None is not a boundary
LOGITS = [[2.0, None, -1.0], [0.5, 1.5, None], [-0.3, None, None], [1.0, 0.2, -2.0], [None, 3.0, None]]
CLASSES = [EXPERT, EXPERT, POLICY, PERTURBED, PERTURBED]


def loss_of(labels, **options):
    logits = torch.tensor([[0.0 if v is None else v for v in row] for row in LOGITS])
    boundaries = torch.tensor([[v is not None for v in row] for row in LOGITS])
    logits = logits.masked_fill(~boundaries, 77.0)  # whatever stands there must not matter
    return total(logits, boundaries, torch.tensor(labels), torch.tensor(CLASSES), **options)


def total(logits, boundaries, labels, classes, **options) -> float:
    losses_B = objective.losses_B(logits, boundaries, labels, **options)
    return (objective.weights_B(labels, classes) * losses_B).sum().item()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce_by_hand(smoothing):
    def sequence(row, target):
        return mean(bce(v, abs(target - smoothing)) for v in row if v is not None)

    positive = mean([sequence(LOGITS[0], 1), sequence(LOGITS[1], 1)])
    policy, perturbed = sequence(LOGITS[2], 0), mean([sequence(LOGITS[3], 0), sequence(LOGITS[4], 0)])
    expected = mean([positive, mean([policy, perturbed])])
    found = loss_of([1.0, 1.0, 0.0, 0.0, 0.0], kind="bce", label_smoothing=smoothing)
    assert found == pytest.approx(expected, abs=1e-6)

    positive = mean([positive, sequence(LOGITS[2], 1)])  # the policy's sample was relabelled
    found = loss_of([1.0, 1.0, 1.0, 0.0, 0.0], kind="bce", label_smoothing=smoothing)
    assert found == pytest.approx(mean([positive, perturbed]), abs=1e-6)


def test_wgan_by_hand():
    def sequence(row, sign):
        return mean(sign * v + 0.01 * v**2 for v in row if v is not None)

    experts = mean([sequence(LOGITS[0], -1), sequence(LOGITS[1], -1)])
    perturbed = mean([sequence(LOGITS[3], 1), sequence(LOGITS[4], 1)])
    expected = mean([experts, mean([sequence(LOGITS[2], 1), perturbed])])
    found = loss_of([1.0, 1.0, 0.0, 0.0, 0.0], kind="wgan", label_smoothing=0.1)
    assert found == pytest.approx(expected, abs=1e-6)


def test_more_rows_of_a_class_do_not_weigh_more():
    logits, labels = torch.tensor([[1.0], [-1.0], [0.5]]), torch.tensor([1.0, 0.0, 0.0])
    classes = torch.tensor([EXPERT, POLICY, PERTURBED])

    def loss(rows):
        marked, options = torch.ones(len(rows), 1).bool(), {"kind": "bce", "label_smoothing": 0.1}
        return total(logits[rows], marked, labels[rows], classes[rows], **options)

    assert loss([0, 1, 2]) == pytest.approx(loss([0, 1, 2, 2, 2, 1, 1]), abs=1e-6)


def test_a_target_in_between_counts_to_the_nearer_side():
    """Policy samples labelled 0.2 are negatives that pull towards 0.2."""
    negative = mean(
        [mean([bce(-0.3, 0.2)]), mean([mean([bce(1.0, 0), bce(0.2, 0), bce(-2.0, 0)]), bce(3.0, 0)])]
    )
    positive = mean([mean([bce(2.0, 1), bce(-1.0, 1)]), mean([bce(0.5, 1), bce(1.5, 1)])])
    found = loss_of([1.0, 1.0, 0.2, 0.0, 0.0], kind="bce", label_smoothing=0.0)
    assert found == pytest.approx(mean([positive, negative]), abs=1e-6)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="'hinge' is none of bce, wgan"):
        loss_of([1.0, 1.0, 0.0, 0.0, 0.0], kind="hinge", label_smoothing=0.1)


# Scores


def test_unit_masks_by_hand():
    mask, answer, step_ends = alignment.unit_masks([[0, 0, 1, 1, 2], [0, 1], [0, 0, 0]], 5)
    assert mask.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert answer.int().tolist() == [[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert step_ends.int().tolist() == [[0, 1, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_trace_score_by_hand():
    logits = torch.tensor([[1.0, 2.0, 4.0, 8.0], [1.0, 3.0, 9.0, 9.0], [5.0, 1.0, 1.0, 1.0]])
    boundaries = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]]).bool()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    answer = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    scores = credit.trace_score(logits, boundaries, mask, answer, gamma=0.5)
    assert scores.tolist() == [((4 + 0.5 * 8) + 8) / 2, 3.0, 5.0]
    assert credit.trace_score(logits, boundaries, mask, answer, gamma=None).tolist() == [8.0, 3.0, 5.0]


def test_at_unit_ends_by_hand():
    values, units = [1.0, 2.0, 3.0, 4.0, 5.0], [0, 0, 1, 1, 2]
    everywhere, at_unit_ends = [True] * 5, alignment.at_unit_ends
    assert at_unit_ends(values, everywhere, units, 3) == [1.0, 2.0, 4.0, 5.0]
    assert at_unit_ends(values, [True, False, False, False, True], units, 3) == [1.0, 1.0, 1.0, 5.0]
    assert at_unit_ends(values, [False] * 4 + [True], units, 3) == [1.0, 1.0, 1.0, 5.0]
    assert at_unit_ends(values[:2], everywhere[:2], [0, 0], 2) == [1.0, 2.0, 2.0]  # cut off before its answer


@pytest.mark.parametrize("boundaries", ["dense", "step", "sparse"])
def test_traces_are_scored_in_their_order_and_as_if_alone(reward_model, tokenizer, experts, rows, boundaries):
    texts = [e.trace for e in experts[:5]] + ["no idea"]
    reading, questions = scoring.Reading("logit", boundaries, 3, 0.9), [e.question for e in experts[:6]]
    scored = scoring.score_texts(reward_model, tokenizer, questions, texts, reading, logit=True)
    for prompt, text, found in zip(rows[0], texts, scored, strict=True):
        ids = tokenizer(text + scratch.END).input_ids
        logits = logits_of(reward_model, prompt, ids).tolist()
        assert found["rewards"] == pytest.approx(logits, abs=0.006)  # they are rounded to 2 places
        units = alignment.units_of_tokens(tokenizer, ids)
        n_units = len(traces.unit_spans(text))
        last_of_unit = [max(t for t, u in enumerate(units) if u == unit) for unit in range(n_units)]
        end = logits[-1]
        assert found["logit"] == pytest.approx(end, abs=1e-3)
        if boundaries == "sparse":
            assert found["unit_reward"] == pytest.approx([logits[0]] * n_units + [end], abs=1e-3)
            assert found["reward"] == pytest.approx(end, abs=1e-3)
        else:
            expected = [logits[0], *(logits[t] for t in last_of_unit)]
            assert found["unit_reward"] == pytest.approx(expected, abs=1e-3)
        if boundaries == "dense":
            answer = [t for t, u in enumerate(units) if u == units[-1]]
            returns = [sum(0.9 ** (s - t) * logits[s] for s in range(t, len(ids))) for t in answer]
            assert found["reward"] == pytest.approx(mean(returns), abs=2e-3)


def test_traces_are_scored_by_their_log_density_and_keep_the_logit(backbone, tokenizer, experts, rows):
    """Padded among others, against the trained model alone."""
    reward_model = new(backbone, "log_ratio")
    questions, texts = ([getattr(e, part) for e in experts[:6]] for part in ("question", "trace"))
    reading = scoring.Reading("log_density", "step", 3, None)
    scored = scoring.score_texts(reward_model, tokenizer, questions, texts, reading, logit=True)
    for prompt, completion, expert, found in zip(*rows, experts, scored, strict=False):
        with torch.no_grad():
            logprobs = reward_model.model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        each = [logprobs[len(prompt) + t - 1, token].item() for t, token in enumerate(completion)]
        total = list(itertools.accumulate(each))
        assert found["reward"] == pytest.approx(total[-1], abs=0.006)  # of two decimals from 10 on
        assert found["rewards"] == pytest.approx(total, abs=0.006)
        assert found["logit"] == pytest.approx(
            logits_of(reward_model, prompt, completion)[-1].item(), abs=0.006
        )
        units = alignment.units_of_tokens(tokenizer, completion)
        n_units = len(traces.unit_spans(expert.trace))
        ends = [max(t for t, u in enumerate(units) if u == unit) for unit in range(n_units)]
        assert found["unit_reward"] == pytest.approx([total[0], *(total[t] for t in ends)], abs=0.006)


def test_the_head_alone_sets_a_fresh_discriminators_logits(backbone, rows):
    """A fresh adapter changes nothing: its logits are those of the backbone under the same head."""
    torch.manual_seed(3)
    fresh = HeadDiscriminator.new(backbone, r=2, alpha=4).eval()
    torch.manual_seed(3)
    plain = AutoModelForTokenClassification.from_pretrained(backbone, num_labels=1).eval()
    ids = torch.tensor([rows[0][0] + rows[1][0]])
    with torch.no_grad():
        expected = plain(ids).logits[0, -len(rows[1][0]) :, 0]
    assert torch.allclose(logits_of(fresh, rows[0][0], rows[1][0]), expected, atol=1e-6)
