"""Chats as tokens: a question as a model reads it, a trace as it is trained to write it.

Every prompt and every completion of the study is rendered and tokenised here, so that a policy is sampled on
the tokens it is trained on, and a reward judges those it has learned from. Control tokens typed within a
question or a trace are text.
"""

# for `apply_chat_template`, here and in TRL's trainers: what is typed within a message is no control token
TYPED_IS_TEXT = {"sanitize_control_tokens": True}


def messages(question: str, system_prompt: str = "") -> list[dict]:
    """The chat that asks a question."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": question}]


def prompt_text(tokenizer, question: str, system_prompt: str = "") -> str:
    """The chat-formatted prompt after which the policy writes its trace, to look at."""
    chat = messages(question, system_prompt)
    return tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)


def prompt_ids(tokenizer, chat: list[dict]) -> list[int]:
    """The tokens of a chat's messages, up to where the answer begins."""
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False, **TYPED_IS_TEXT)


def questions_ids(tokenizer, questions: list[str], system_prompt: str = "") -> list[list[int]]:
    """The prompt of each question, in order; one that comes again is tokenised once."""
    ids = {q: prompt_ids(tokenizer, messages(q, system_prompt)) for q in dict.fromkeys(questions)}
    return [ids[question] for question in questions]


def without_room(prompts: list[list[int]], max_new_tokens: int, limit: int) -> int:
    """How many prompts leave fewer than `max_new_tokens` of a model's `limit` of tokens; none is ever cut."""
    return sum(len(ids) + max_new_tokens > limit for ids in prompts)


def completion_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a trace with its end; none for no trace."""
    return completions(tokenizer, [text])[0][0] if text else []


def completions(tokenizer, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    """The tokens of traces with their end token, and where each token ends in the characters of its trace."""
    # after a line break, since a SentencePiece tokenizer puts a space before what starts a text
    (line_break,), _ = _tokens(tokenizer, ["\n"])
    all_ids, all_ends = _tokens(tokenizer, ["\n" + text for text in texts])
    for i, text in enumerate(texts):
        if all_ids[i][: len(line_break)] == line_break:
            all_ids[i] = all_ids[i][len(line_break) :]
            all_ends[i] = [end - 1 for end in all_ends[i][len(line_break) :]]
        else:  # one token holds the line break and the trace's first character
            (all_ids[i],), (all_ends[i],) = _tokens(tokenizer, [text])
    return (
        [[*ids, tokenizer.eos_token_id] for ids in all_ids],
        [[*ends, len(text)] for ends, text in zip(all_ends, texts, strict=True)],
    )


def _tokens(tokenizer, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    if not texts:  # which a tokenizer does not take
        return [], []
    encoded = tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    return encoded.input_ids, [[end for _, end in offsets] for offsets in encoded.offset_mapping]
