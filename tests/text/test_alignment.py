from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib.text import alignment

PAD = 7
TOKENIZER = SimpleNamespace(pad_token_id=PAD)
ids = st.lists(st.integers(0, 9), max_size=6)


def test_prompts_are_padded_left_and_completions_right_by_hand():
    padded, attention, width = alignment.pad_completions(TOKENIZER, [[1, 2, 3], [4]], [[5], [6, 7]])
    assert padded.tolist() == [[1, 2, 3, 5, PAD], [PAD, PAD, 4, 6, 7]]
    assert attention.tolist() == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert width == 2
    assert padded.dtype == attention.dtype == torch.long


@hypothesis_settings(max_examples=100)
@given(rows=st.lists(st.tuples(ids, ids), min_size=1, max_size=5))
def test_padded_rows_hold_their_tokens_and_nothing_else(rows):
    """Whatever their lengths, none included, and also of tokens that are the padding."""
    prompts, completions = map(list, zip(*rows, strict=True))
    padded, attention, width = alignment.pad_completions(TOKENIZER, prompts, completions)
    assert padded.shape == attention.shape == (len(rows), max(map(len, prompts)) + width)
    assert width == max(map(len, completions))
    assert alignment.unpad(padded, attention) == [prompt + completion for prompt, completion in rows]
    assert (padded[attention == 0] == PAD).all()
    for mask, (prompt, completion) in zip(attention, rows, strict=True):
        first = padded.shape[1] - width
        assert mask.nonzero()[:, 0].tolist() == list(range(first - len(prompt), first + len(completion)))
