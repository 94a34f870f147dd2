"""Tokenizers of the hub's kinds, in small: what is changed in them, and which are refused."""

import copy
import re

import pytest

from lib.models import templates
from lib.text import chat, traces
from tests import stand_ins

TRACE = traces.render(["3+4=7 beads"], "7")
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = "{% for m in messages %}" + TURN + "{% endfor %}" + ASKS
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
SILENT_SYSTEM = "{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}" + ASKS
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    '<|im_start|>system\nToday: {{ date_string }}. {{ strftime_now("%Y") }}<|im_end|>\n' + CHATML
)
# what the reasoners' templates do with the reasoning of an answer
DROPS_THINKING = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
PREFILLS_THINKING = CHATML.replace("assistant\n", "assistant\n<think>\n")
REWRITES_THINKING = CHATML.replace(
    "{{ m.content }}", "{{ m.content | replace('\n</think>', '\n\n</think>\n') }}"
)
NO_END = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" + (
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def plain(experts, tmp_path_factory):
    return stand_ins.tokenizer("qwen2", [text for e in experts for text in (e.question, e.trace)])


@pytest.fixture
def made(plain, tmp_path):
    """Makes a tokenizer with a template, settled, saved and loaded."""

    def _made(template, **named):
        tokenizer = copy.deepcopy(plain)
        tokenizer.chat_template = template
        for name, token in named.items():
            setattr(tokenizer, name, token)
        templates.settle(tokenizer)
        tokenizer.save_pretrained(tmp_path)
        return type(tokenizer).from_pretrained(tmp_path)

    return _made


@pytest.mark.parametrize("system_prompt", ["", "Think first."])
@pytest.mark.parametrize(
    "template", [CHATML, NO_SYSTEM, SILENT_SYSTEM, DATED], ids=["chatml", "no system", "silent", "dated"]
)
def test_prompt_and_trace_are_the_tokens_of_the_whole_conversation(made, template, system_prompt):
    tokenizer = made(template)
    asked = chat.messages("How many?", system_prompt)
    ours = chat.prompt_ids(tokenizer, asked) + chat.completion_ids(tokenizer, TRACE)
    whole = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": TRACE}], return_dict=False
    )
    assert tokenizer.decode(whole[: len(ours)]) == tokenizer.decode(ours) and whole[: len(ours)] == ours
    assert tokenizer.decode(whole[len(ours) :]).strip() == ""
    assert system_prompt in tokenizer.decode(ours)


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT_SYSTEM])
def test_a_system_prompt_without_a_role_is_the_users(made, template):
    found = chat.prompt_text(made(template), "How many?", "Think.")
    assert found == "<|im_start|>user\nThink.\n\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    assert chat.prompt_text(made(template), "How many?") == found.replace("Think.\n\n", "")


def test_a_template_with_a_date_has_the_same_one_every_day(made):
    text = chat.prompt_text(made(DATED), "How many?")
    assert text.startswith("<|im_start|>system\nToday: 26 Jul 2024. 2024<|im_end|>\n")
    with pytest.raises(ValueError, match="prints today's date; write a fixed one into it"):
        made("{% set how = '%Y' %}{{ strftime_now(how) }}" + CHATML)


@pytest.mark.parametrize("eos_token", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
def test_the_end_is_the_one_that_the_template_writes(made, eos_token):
    tokenizer = made(CHATML, eos_token=eos_token)
    assert tokenizer.eos_token == "<|im_end|>"
    end = tokenizer.eos_token_id
    assert chat.completion_ids(tokenizer, TRACE)[-1] == end
    assert end not in chat.completion_ids(tokenizer, "a<|im_end|>b")[:-1]
    typed = chat.prompt_ids(tokenizer, chat.messages("a<|im_end|>b"))
    assert typed.count(end) == 1 and "a<|im_end|>b" in tokenizer.decode(typed)


def test_a_tokenizer_without_padding_pads_with_the_end(made):
    assert made(CHATML, pad_token=None).pad_token == "<|im_end|>"
    assert made(CHATML).pad_token == "<|endoftext|>"


@pytest.mark.parametrize("template, theirs", [
    (DROPS_THINKING, "assistant\n\n<answer>2</answer><|im_end|>"),
    (PREFILLS_THINKING, "assistant\n<think>\n1+1=2"),
    (REWRITES_THINKING, "2*1=2\n\n</think>\n\n<answer>"),
    (NO_END, "assistant: <think>\n1+1=2"),
], ids=["drops", "prefills", "rewrites", "no end"])  # fmt: skip
def test_a_template_that_changes_a_trace_is_refused_with_both_texts(made, template, theirs):
    with pytest.raises(ValueError) as error:
        made(template)
    said = str(error.value)
    assert "\n" not in said
    ours, whole = re.fullmatch(r".*Prompt and trace: ('.*'); the whole conversation: ('.*')", said).groups()
    assert repr(templates.TRACE)[1:-1] in ours and repr(theirs)[1:-1] in whole


@pytest.mark.parametrize("template", [None, ""])
def test_a_tokenizer_without_a_template_is_refused(made, template):
    with pytest.raises(ValueError, match="it has no chat template; name an instruct model"):
        made(template)


def test_llamas_prompt_is_the_same_every_day(experts):
    tokenizer = stand_ins.tokenizer("llama", [text for e in experts for text in (e.question, e.trace)])
    assert "26 Jul 2024" not in chat.prompt_text(tokenizer, "How many?")  # today is another day
    templates.settle(tokenizer)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|eot_id|>", "<|eot_id|>")
    text = chat.prompt_text(tokenizer, "How many?", "Think.")
    assert "Today: 26 Jul 2024\n\nThink.<|eot_id|>" in text
    ids = chat.prompt_ids(tokenizer, chat.messages("How many?", "Think."))
    assert tokenizer.decode(ids) == text and ids.count(tokenizer.bos_token_id) == 1


def test_a_sentencepiece_tokenizer_is_taken_if_it_splits_prompt_and_trace_apart(experts):
    texts = [text for e in experts for text in (e.question, e.trace)]
    tokenizer = stand_ins.sentencepiece(texts)
    templates.settle(tokenizer)
    assert tokenizer.eos_token == "</s>"
    spaced = stand_ins.sentencepiece(texts)
    spaced.chat_template = spaced.chat_template.replace(
        "{{ m.content }}{{ eos", "{{ ' ' + m.content }}{{ eos"
    )
    with pytest.raises(ValueError, match="does not write prompt, trace and an end token as they are"):
        templates.settle(spaced)
