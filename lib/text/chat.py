"""Chats as prompts: a question as a model reads it, a trace as it is trained to write it."""


def prompt_text(tokenizer, question: str, system_prompt: str = "") -> str:
    """The chat-formatted prompt after which the policy writes its trace."""
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages.append({"role": "user", "content": question})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def without_room(tokenizer, prompts: list[str], max_new_tokens: int, limit: int) -> int:
    """How many prompts leave fewer than `max_new_tokens` of a model's `limit` of tokens; none is ever cut."""
    lengths = map(len, tokenizer(prompts, add_special_tokens=False).input_ids)
    return sum(length + max_new_tokens > limit for length in lengths)


def prompt_ids(tokenizer, messages: list[dict]) -> list[int]:
    """The tokens of a chat's messages, up to where the answer begins."""
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def completion_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a trace with its end; none for no trace."""
    return [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id] if text else []
