"""Tokens of chats, on the study's own tokenizer and on small ones in the style of the hub's."""

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lib.text import alignment, chat, traces
from tests import stand_ins

TRACE = traces.render(["3+4=7 beads", "7*2=14 beads"], "14")


@pytest.fixture(scope="module")
def sentencepiece(experts):
    return stand_ins.sentencepiece([text for e in experts for text in (e.question, e.trace)])


def test_a_question_that_comes_again_is_tokenised_once(tokenizer, monkeypatch):
    seen, inner = [], chat.prompt_ids
    monkeypatch.setattr(chat, "prompt_ids", lambda t, asked: seen.append(asked) or inner(t, asked))
    found = chat.questions_ids(tokenizer, ["How many?", "Who?", "How many?"], "Think.")
    assert [tokenizer.decode(ids) for ids in found] == [
        f"Think.<|sep|>{question}<|sep|>" for question in ("How many?", "Who?", "How many?")
    ]
    assert len(seen) == 2


def test_prompts_without_room_are_counted():
    prompts = [[1] * 3, [1] * 7]
    assert [chat.without_room(prompts, 5, limit) for limit in (12, 11, 7)] == [0, 1, 2]


@pytest.mark.parametrize("control", ["<|end|>", "<|sep|>", "<|endoftext|>"])
def test_a_control_token_that_is_typed_is_text(tokenizer, control):
    token = tokenizer.convert_tokens_to_ids(control)
    asked = chat.prompt_ids(tokenizer, chat.messages(f"What is {control}?", f"{control}!"))
    assert asked.count(token) == 2 * (control == "<|sep|>")  # the template's own
    assert tokenizer.decode(asked) == f"{control}!<|sep|>What is {control}?<|sep|>"
    written = chat.completion_ids(tokenizer, f"a{control}b")
    assert written.count(token) == (control == "<|end|>") and written[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(written) == f"a{control}b<|end|>"


def test_the_tags_of_a_trace_stay_single_tokens(tokenizer):
    ids = chat.completion_ids(tokenizer, TRACE)
    assert all(ids.count(tokenizer.convert_tokens_to_ids(tag)) == 1 for tag in traces.TAGS)


@examples(max_examples=100)
@given(text=st.one_of(st.text(), st.lists(st.sampled_from(["<think>", "\n", " ", "7", "a"])).map("".join)))
def test_a_trace_has_the_tokens_of_its_text(tokenizer, text):
    (ids,), (ends,) = chat.completions(tokenizer, [text])
    encoded = tokenizer(text, return_offsets_mapping=True, split_special_tokens=True)
    assert tokenizer.decode(ids[:-1]) == tokenizer.decode(encoded.input_ids)
    assert ends == sorted(ends) and ends[-1] == len(text)
    if not text[:1].isspace():
        assert ids == [*encoded.input_ids, tokenizer.eos_token_id]
        assert ends == [*(end for _, end in encoded.offset_mapping), len(text)]


def test_a_trace_with_sentencepiece_is_split_as_in_its_conversation(sentencepiece):
    """No space before it, which such a tokenizer puts before what starts a text."""
    prompt = chat.prompt_ids(sentencepiece, chat.messages("How many?"))
    whole = sentencepiece(f"<s>[INST]How many?[/INST]\n{TRACE}</s>", add_special_tokens=False).input_ids
    assert prompt + chat.completion_ids(sentencepiece, TRACE) == whole
    alone = sentencepiece(TRACE, add_special_tokens=False).input_ids
    assert alone != whole[len(prompt) : -1]  # so this test could fail


@pytest.mark.parametrize(
    "text", [TRACE, TRACE.replace("beads", "漢字 ß\N{GRINNING FACE}"), "two  spaces ", "a"]
)
def test_sentencepiece_tokens_cover_every_character_each_in_its_own_step(sentencepiece, text):
    (ids,), (ends,) = chat.completions(sentencepiece, [text])
    assert sentencepiece.decode(ids, skip_special_tokens=True) == text
    assert alignment.token_ends(sentencepiece, ids) == ends
    assert ends == sorted(ends) and ends[-1] == len(text)
    written = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    for token, piece in zip(sentencepiece.convert_ids_to_tokens(ids)[:-1], written, strict=False):
        assert piece == token.replace("▁", " ") or token.startswith("<0x")
    units = alignment.units_of_tokens(sentencepiece, ids)
    assert units == alignment.unit_of_token(text, ends)
    if text == TRACE:
        of_unit = ["".join(w for w, u in zip(written, units, strict=True) if u == unit) for unit in range(3)]
        assert of_unit == ["<think>\n3+4=7 beads", "\n7*2=14 beads", "\n</think>\n<answer>14</answer>"]


@examples(max_examples=100)
@given(data=st.data())
def test_whatever_a_sentencepiece_policy_writes_can_be_placed(sentencepiece, data):
    ids = data.draw(st.lists(st.integers(0, len(sentencepiece) - 1), max_size=30))
    ends = alignment.token_ends(sentencepiece, ids)
    assert ends == sorted(ends)
    assert ends[-1:] == [len(sentencepiece.decode(ids, skip_special_tokens=True))][: len(ids)]


def test_of_no_traces_there_are_no_tokens(tokenizer):
    assert chat.completions(tokenizer, []) == ([], [])
