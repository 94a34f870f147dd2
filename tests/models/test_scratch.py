import random
import unicodedata
from itertools import cycle, islice, repeat

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.data import world
from lib.data.texts import expert_texts, world_texts
from lib.models import scratch
from lib.text import traces

CLASSES = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}


def batches(tokenizer, seed, batch_size, held_out=frozenset()):
    rng = random.Random(seed)
    texts = world_texts(rng, steps=(1, 2), malformed=0.1, held_out=held_out)
    return scratch.corpus(tokenizer, texts, rng, batch_size)


def build(tokenizer, architecture="qwen2", seed=0):
    torch.manual_seed(seed)
    return scratch.build(architecture, hidden=32, layers=1, heads=2, tokenizer=tokenizer)


@pytest.mark.parametrize("architecture", list(scratch.CONFIGS))
def test_a_saved_backbone_is_an_ordinary_directory(tokenizer, tmp_path, architecture):
    model = build(tokenizer, architecture)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded).__name__ == CLASSES[architecture] and (tmp_path / "model.safetensors").exists()
    ids = torch.arange(20)[None]
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert loaded.generation_config.eos_token_id == AutoTokenizer.from_pretrained(tmp_path).eos_token_id


@pytest.fixture(scope="module")
def tokenizers(backbone_dirs):
    """What AutoTokenizer makes of the same tokenizer under each architecture."""
    return [AutoTokenizer.from_pretrained(directory) for directory in backbone_dirs.values()]


@hypothesis_settings(max_examples=200)
@given(text=st.text())
def test_any_text_gets_the_same_ids_from_every_backbone_and_comes_back(tokenizers, text):
    first, *others = (t(text, add_special_tokens=False).input_ids for t in tokenizers)
    assert all(ids == first for ids in others)
    assert {t.decode(first) for t in tokenizers} == {unicodedata.normalize("NFC", text)}


def test_numbers_and_tags_are_single_tokens(tokenizers):
    for tokenizer in tokenizers:
        for number in range(world.LARGEST + 1):
            tokens = tokenizer.tokenize(f"7+{number}={number} beads")
            assert tokens[:4] == ["7", "+", str(number), "="], number
        for tag in traces.TAGS:
            assert tokenizer.tokenize(tag) == [tag]


def test_the_chat_template_separates_question_and_trace(tokenizers):
    messages = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
    for tokenizer in tokenizers:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        assert text == "How?" + scratch.SEPARATOR + "So." + scratch.END
        assert tokenizer.decode(tokenizer(text).input_ids[-1]) == tokenizer.eos_token


def questions_and_solutions(tokenizer, batch):
    """The texts on either side of the separator, with the padding left out."""
    for ids in batch["input_ids"]:
        text = tokenizer.decode(ids[ids != tokenizer.pad_token_id])
        yield text.split(scratch.SEPARATOR)


def test_the_loss_is_on_the_solution_alone(tokenizer):
    for batch in islice(batches(tokenizer, 1, 8), 4):
        pairs = questions_and_solutions(tokenizer, batch)
        for ids, labels, (_, solution) in zip(batch["input_ids"], batch["labels"], pairs, strict=True):
            trained_on = labels != -100
            assert torch.equal(labels[trained_on], ids[trained_on])
            assert tokenizer.decode(labels[trained_on]) == solution
            assert solution.endswith(scratch.END)


def test_a_held_out_question_never_occurs(tokenizer):
    def drawn(held_out):
        first_pool = islice(batches(tokenizer, 2, 8, held_out), 16)
        return [q for batch in first_pool for q, _ in questions_and_solutions(tokenizer, batch)]

    held_out = frozenset(drawn(frozenset())[::2])
    assert held_out and not held_out & set(drawn(held_out))


def test_experts_come_again_and_again_each_time_all_of_them(experts):
    texts = expert_texts(random.Random(0), experts)
    first, second = ([*islice(texts, len(experts))] for _ in range(2))
    assert set(first) == set(second) == {(row.question, row.trace) for row in experts}
    assert len(first) == len(set(first)) and first != second


def test_without_whole_numbers_every_digit_is_a_token():
    tokenizer = scratch.train_tokenizer(["She has 12 cats and 3456 dogs."] * 3, whole_numbers=0)
    assert tokenizer.tokenize("3456 12") == ["3", "4", "5", "6", "Ġ", "1", "2"]


def test_the_corpus_depends_on_the_seed_alone(tokenizer):
    def first(seed):
        return next(batches(tokenizer, seed, 4))["input_ids"].tolist()

    assert first(3) == first(3) != first(4)


@pytest.mark.parametrize("architecture", list(scratch.CONFIGS))
def test_pretraining_fits_a_fixed_batch_and_repeats_under_its_seed(tokenizer, architecture):
    batch = next(batches(tokenizer, 5, 8))

    def losses():
        model = build(tokenizer, architecture)
        return scratch.pretrain(model, repeat(batch), steps=8, lr_matrices=0.02, lr_rest=0.003)

    first = losses()
    assert first[2] < first[0] and first[-1] < first[0] - 0.1
    assert losses() == first


def test_a_corpus_is_padded_right_and_its_loss_is_on_the_solutions(tokenizer):
    """Of pairs that come again: each row is a question and its solution, then padding."""
    pairs = [("1 bead", "2"), ("1 bead and 2 beads", "1+2=3 beads"), ("3", "")]
    batch = next(scratch.corpus(tokenizer, cycle(pairs), random.Random(0), batch_size=24))
    assert {rows.dtype for rows in batch.values()} == {torch.long}
    expected = set()
    for question, solution in pairs:
        q, s = (tokenizer(text).input_ids for text in (question + scratch.SEPARATOR, solution + scratch.END))
        expected.add((tuple(q + s), tuple([-100] * len(q) + s)))
    found = set()
    for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        n = max(i for i, label in enumerate(labels) if label != -100) + 1
        assert ids[n:] == [tokenizer.pad_token_id] * (len(ids) - n) and labels[n:] == [-100] * (len(ids) - n)
        found.add((tuple(ids[:n]), tuple(labels[:n])))
    assert found <= expected and len(found) > 1
