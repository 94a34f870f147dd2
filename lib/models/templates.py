"""Makes a tokenizer of the hub fit for training on traces, or says why it is not."""

import re
from datetime import date

from jinja2 import TemplateError

from lib.text import chat, traces

TODAY = date(2024, 7, 26)  # the date that Llama 3's template takes where it cannot ask for today's
ASKS_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
SYSTEM_INTO_USER = (
    "{% if messages[0]['role'] == 'system' %}{% set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\\n\\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)
QUESTION, SYSTEM, TRACE = "What is 1 + 1?", "Think first.", traces.render(["1+1=2", "2*1=2"], "2")


def settle(tokenizer) -> None:
    """Change a tokenizer so that prompts stay the same and traces are trained on as they are sampled.

    Its chat template prints a fixed date and has a place for a system prompt, the user's message if it has no
    other. Its end token becomes the one that the template writes after an answer. Raises ValueError if
    prompt, trace and end are not the text and the tokens of the whole conversation.
    """
    if not tokenizer.chat_template:
        raise ValueError("it has no chat template; name an instruct model")
    template = ASKS_TODAY.sub(lambda call: repr(TODAY.strftime(call[2])), tokenizer.get_chat_template())
    if "strftime_now(" in template:
        raise ValueError("its chat template prints today's date; write a fixed one into it")
    tokenizer.chat_template = template
    if not _shows_system(tokenizer):
        tokenizer.chat_template = SYSTEM_INTO_USER + template
    for system_prompt in ("", SYSTEM):
        _require_same(tokenizer, system_prompt)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _shows_system(tokenizer) -> bool:
    try:
        return SYSTEM in chat.prompt_text(tokenizer, QUESTION, SYSTEM)
    except TemplateError:
        return False


def _require_same(tokenizer, system_prompt: str) -> None:
    asked = chat.messages(QUESTION, system_prompt)
    ours = chat.prompt_text(tokenizer, QUESTION, system_prompt) + TRACE
    whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": TRACE}], tokenize=False)
    after = whole.removeprefix(ours)
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    ends = [token for token in added if after.startswith(token) and not token.isspace()]
    if after == whole or not ends:
        raise ValueError(
            "its chat template does not write prompt, trace and an end token as they are; give it one that "
            f"does. Prompt and trace: {ours!r}; the whole conversation: {whole!r}"
        )
    tokenizer.eos_token = max(ends, key=len)
    trace_ids = chat.completion_ids(tokenizer, TRACE)
    our_ids = chat.prompt_ids(tokenizer, asked) + trace_ids
    whole_ids = tokenizer(whole, add_special_tokens=False).input_ids[: len(our_ids)]
    if our_ids != whole_ids:
        tokens = [" ".join(tokenizer.convert_ids_to_tokens(ids)) for ids in (our_ids, whole_ids)]
        raise ValueError(
            f"it splits prompt and trace otherwise than the whole conversation: {tokens[0]!r}; {tokens[1]!r}"
        )
    if tokenizer.decode(trace_ids, skip_special_tokens=True) != TRACE:
        raise ValueError(f"it does not give a trace back: {TRACE!r} becomes {tokenizer.decode(trace_ids)!r}")
