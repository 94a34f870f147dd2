import random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lib.airl import batches
from lib.airl.batches import Row
from lib.airl.objective import EXPERT, PERTURBED, POLICY
from lib.data import demonstrations, reading, world
from lib.grading import equations
from lib.models import scratch
from lib.study.adversarial import choice
from lib.text import chat, perturb, traces


@pytest.fixture(scope="module")
def splits():
    sizes = {"train": 30, "demonstrations": 24, "validation": 1, "test": 1, "test_long": 1}
    return demonstrations.make_world_splits(**sizes, steps=[1, 2, 3], long_steps=[4], seed=0)


def choose(splits, seed=0, **changes):
    asked = {"demonstrations": 6, "unlabelled_questions": 4, "families": (), "wrong_experts": 0.0,
             "perturbations": 2, "near_misses": "all", **changes}  # fmt: skip
    return choice.choose(splits["demonstrations"], splits["train"], SimpleNamespace(**asked), seed)


def messages(question):
    return [{"role": "user", "content": question}]


# Tokens


def test_a_prompt_and_a_trace_are_tokens_of_the_same_text_as_in_sampling(tokenizer, experts):
    for e in experts:
        prompt = chat.prompt_ids(tokenizer, messages(e.question))
        assert tokenizer.decode(prompt) == chat.prompt_text(tokenizer, e.question)
        ids = chat.completion_ids(tokenizer, e.trace)
        assert tokenizer.decode(ids) == e.trace + scratch.END
        assert ids.count(tokenizer.eos_token_id) == 1
    assert chat.completion_ids(tokenizer, "") == []


# Near misses


@examples(max_examples=60)
@given(st.integers(0, 10**6))
def test_a_near_miss_is_labelled_from_its_first_wrong_token_on(tokenizer, seed):
    """All before that token is the expert's text, and the token is where it ends, or the number in it."""
    rng = random.Random(seed)
    problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 4))
    trace = world.expert(problem)[0]
    made = perturb.perturb(problem.question, trace, rng, 3, perturb.SETS["all"])
    found = batches.near_misses(tokenizer, messages(problem.question), made, "from_first_error")
    for row, wrong in zip(found, made, strict=True):
        assert tokenizer.decode(row.completion) == wrong.text + scratch.END
        assert tokenizer.decode(row.prompt) == chat.prompt_text(tokenizer, problem.question)
        assert (row.kind, row.expert_is_one) == (PERTURBED, 0.0)
        until, through = (tokenizer.decode(row.completion[: row.labelled_from + more]) for more in (0, 1))
        assert trace.startswith(until)
        if trace.startswith(through):  # a number that goes on in the expert's trace
            after = trace[len(through)], wrong.text[len(through)]
            assert through[-1].isdigit() and [c.isdigit() for c in after] == [True, False]
    everywhere = batches.near_misses(tokenizer, messages(problem.question), made, "sequence")
    assert everywhere == [row._replace(labelled_from=0) for row in found]


def test_an_error_at_the_very_end_leaves_a_label(tokenizer):
    text = "<think>\n1+1=2 beads\n</think>\n<answer>2</answer>"
    wrong = perturb.Perturbed(text, "any", len(text))  # what is missing would come next
    (row,) = batches.near_misses(tokenizer, messages("How many?"), [wrong], "from_first_error")
    assert row.labelled_from == len(row.completion) - 1


# The batch


def test_a_batch_by_hand(tokenizer):
    expert = chat.completion_ids(tokenizer, "<think>\n4+3=7 beads\n</think>\n<answer>7</answer>")
    wrong = chat.completion_ids(tokenizer, "<think>\n4-3=1 beads\n1+1=2 shells\n</think>\n<answer>2</answer>")
    after = 1 + [tokenizer.decode(t).strip() for t in wrong].index("beads")
    chosen = [
        Row([5, 6, 7], expert, EXPERT, 1.0),
        Row([8], expert[-1:], POLICY, 0.2),
        Row([8], wrong, PERTURBED, 0.0, after),
    ]
    batch = batches.collate(tokenizer, chosen, SimpleNamespace(boundaries="step", interval=3))
    assert batch.class_B.tolist() == [EXPERT, POLICY, PERTURBED]
    assert batch.expert_is_one_B.tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert batch.ids_BL.shape == (3, 3 + len(wrong)) and batch.boundaries_BT.shape == (3, len(wrong))
    marked = []
    for b, row in enumerate(chosen):
        assert batch.ids_BL[b][batch.attention_BL[b].bool()].tolist() == [*row.prompt, *row.completion]
        marks = batch.boundaries_BT[b].nonzero().flatten().tolist()
        marked.append([tokenizer.decode(row.completion[t]).strip() for t in marks])
    assert marked == [["beads", scratch.END], [scratch.END], ["shells", scratch.END]]


@pytest.mark.parametrize("boundaries", ["sparse", "interval", "step", "dense"])
def test_only_boundaries_from_the_first_labelled_token_on_count(tokenizer, experts, boundaries):
    ids = chat.completion_ids(tokenizer, experts[1].trace)
    asked = SimpleNamespace(boundaries=boundaries, interval=3)
    batch = batches.collate(tokenizer, [Row([1], ids, PERTURBED, 0.0, t) for t in range(len(ids))], asked)
    for t, row in enumerate(batch.boundaries_BT):
        assert torch.equal(row[t:], batch.boundaries_BT[0][t:]) and not row[:t].any()
        assert row[-1]  # the end always is one, so that no row is without a label


def test_what_is_logged_of_each_kind_by_hand():
    boundaries = torch.tensor([[1, 1], [0, 1], [1, 1]]).bool()
    batch = batches.Batch(None, None, boundaries, torch.tensor([EXPERT, POLICY, POLICY]), None)
    logits = torch.tensor([[2.0, -1.0], [9.0, -3.0], [1.0, -4.0]])
    found = batches.by_kind(logits, batch)
    assert found == {"expert": (0.5, 0.5), "policy": (pytest.approx(2 / 3), -2.0)}  # and no near misses


# The choice


def test_the_first_of_the_families_asked_for_are_chosen(splits):
    experts, unlabelled = choose(splits)
    assert experts == splits["demonstrations"][:6] and unlabelled == splits["train"][:4]
    experts, unlabelled = choose(splits, families=("shop",))
    assert experts == [row for row in splits["demonstrations"] if row.family == "shop"][:6]
    assert unlabelled == [row for row in splits["train"] if row.family == "shop"][:4]
    assert {row.family for row in choose(splits, families=("shop", "trip"))[0]} == {"shop", "trip"}
    assert choose(splits, unlabelled_questions=0)[1] == []


def test_too_few_demonstrations_are_refused(splits):
    with pytest.raises(ValueError, match="9 asked for, 8 there are of families trip; raise data.demonstr"):
        choose(splits, demonstrations=9, families=("trip",))
    with pytest.raises(ValueError, match="25 asked for, 24 there are of families all"):
        choose(splits, demonstrations=25)


def test_wrong_experts_go_wrong_and_are_consistent_from_there_on(splits):
    before = list(splits["demonstrations"])
    for fraction, count in ((0.25, 6), (0.1, 2), (1.0, 24)):
        experts, unlabelled = choose(splits, demonstrations=24, wrong_experts=fraction)
        changed = [(was, now) for was, now in zip(before, experts, strict=True) if was != now]
        assert len(changed) == count and unlabelled == splits["train"][:4]
        for was, now in changed:
            assert now == was.model_copy(update={"trace": now.trace})
            assert reading.first_wrong_unit(now.trace, was.trace) is not None
            stated = equations.find(now.trace)
            assert sum(equations.value(e.expression) != equations.value(e.result) for e in stated) <= 1
    assert splits["demonstrations"] == before


def in_words(splits, answer):
    """A demonstration without a calculation, of a question with options."""
    fields = {"question": "Which?\nA. hives\nB. measles", "trace": traces.render(["Red spots."], answer)}
    return splits["demonstrations"][0].model_copy(update={**fields, "answer": answer})


def test_an_expert_without_a_calculation_ends_wrong_too(splits):
    one = {"demonstrations": 1, "wrong_experts": 1.0}
    experts, _ = choose({"demonstrations": [in_words(splits, "B")], "train": []}, **one)
    assert experts[0].trace == traces.render(["Red spots."], "A")
    with pytest.raises(ValueError, match="^airl.wrong_experts: .* 'measles' of demonstrations-00000"):
        choose({"demonstrations": [in_words(splits, "measles")], "train": []}, **one)


def test_experts_without_near_misses_are_counted_and_refused_where_none_has_any(splits, capsys):
    words, number = in_words(splits, "B"), splits["demonstrations"][0]
    mixed = {"demonstrations": [words, number, words], "train": []}
    assert choose(mixed, demonstrations=3, near_misses="carried")[0] == mixed["demonstrations"]
    assert capsys.readouterr().out == "2 of 3 experts have no near miss of carried\n"
    choose(mixed, demonstrations=3)
    assert capsys.readouterr().out == ""  # another option is a nearby answer
    with pytest.raises(ValueError, match="^airl.near_misses: no rule of carried applies to any of the 1 "):
        choose(mixed, demonstrations=1, near_misses="carried")
    assert choose(mixed, demonstrations=1, near_misses="carried", perturbations=0)[0] == [words]


def test_which_experts_are_wrong_depends_on_the_seed_alone(splits):
    first, again, other = (choose(splits, seed, wrong_experts=0.5)[0] for seed in (0, 0, 1))
    assert first == again != other
