from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from lib.data import reading
from lib.models import generation, likelihood, scratch
from lib.study.training import sampling
from lib.text import alignment, chat, traces

HAND_MADE = "<think>\n7+2=9 beads\n9*2=18 beads\n</think>\n<answer>18</answer>"
GENERATION = {"temperature": 1.0, "max_new_tokens": 8}


@pytest.fixture(scope="module", params=list(scratch.CONFIGS))
def model(backbone_dirs, request):
    return AutoModelForCausalLM.from_pretrained(backbone_dirs[request.param]).eval()


@pytest.fixture(scope="module")
def prompts(tokenizer, experts):
    return chat.questions_ids(tokenizer, [e.question for e in experts])


def test_the_prompt_ends_where_the_trace_begins(tokenizer):
    assert chat.prompt_text(tokenizer, "How?") == "How?<|sep|>"
    assert chat.prompt_text(tokenizer, "How?", "Think.") == "Think.<|sep|>How?<|sep|>"


# Tokens and units


def test_token_ends_by_hand(tokenizer):
    ids = tokenizer("7+12=19 beads" + scratch.END).input_ids
    assert alignment.token_ends(tokenizer, ids) == [1, 2, 4, 5, 7, 13, 13]
    assert alignment.token_ends(tokenizer, []) == []
    spread = tokenizer("a\N{GRINNING FACE}b").input_ids  # the face has four bytes, and no token of its own
    assert alignment.token_ends(tokenizer, spread) == [1, 2, 2, 2, 2, 3]


def test_units_of_tokens_by_hand(tokenizer):
    ids = tokenizer(HAND_MADE + scratch.END).input_ids
    units = alignment.units_of_tokens(tokenizer, ids)
    texts = ["", "", ""]
    for i, unit in zip(ids, units, strict=True):
        texts[unit] += tokenizer.decode(i)
    assert texts == ["<think>\n7+2=9 beads", "\n9*2=18 beads", "\n</think>\n<answer>18</answer><|end|>"]
    ends = alignment.token_ends(tokenizer, ids)
    assert alignment.unit_of_token(HAND_MADE, ends) == units
    assert alignment.unit_of_token("", [0, 0]) == [0, 0]
    assert alignment.unit_of_token("ab\ncd", [1, 2, 3, 4, 5]) == [0, 0, 1, 1, 1]  # cut off in a step
    assert alignment.unit_of_token("ab\ncd", [1, 2, 3, 4, 5, 5]) == [0, 0, 1, 1, 1, 2]  # ended without answer


pieces = st.sampled_from(["<think>", "</think>", "<answer>", "\n", " ", "7", "+", "=", "a"])
written_text = st.one_of(st.text(), st.lists(pieces).map("".join))


@hypothesis_settings(max_examples=200)
@given(text=written_text)
def test_tokens_tile_the_text_and_units_never_go_back(tokenizer, text):
    ids = tokenizer(text + scratch.END).input_ids
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    ends = alignment.token_ends(tokenizer, ids)
    assert len(ends) == len(ids) and ends == sorted(ends) and ends[-1] == len(decoded)
    units = alignment.units_of_tokens(tokenizer, ids)
    spans = traces.unit_spans(decoded)
    assert len(units) == len(ids) and units == sorted(units) and units[-1] == len(spans) - 1
    for unit, start, end in zip(units[:-1], [0, *ends], ends, strict=False):
        assert min(start, end - 1) < spans[unit][1] and (unit == 0 or end > spans[unit - 1][1])


@hypothesis_settings(max_examples=200)
@given(ids=st.lists(st.integers(0, 600), max_size=40))
def test_whatever_a_policy_writes_can_be_placed(tokenizer, ids):
    ends = alignment.token_ends(tokenizer, ids)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert ends == [len(tokenizer.decode(ids[: i + 1], skip_special_tokens=True)) for i in range(len(ids))]
    assert len(alignment.unit_of_token(text, ends)) == len(ids)


def test_by_unit_by_hand():
    units, values = [0, 0, 2, 2, 2], [3.0, -1.0, 0.25, 7.0, 0.5]
    assert alignment.by_unit(units, values, 3, min) == [-1.0, 0.0, 0.25]
    assert alignment.by_unit(units, values, 3, max) == [3.0, 0.0, 7.0]


# Padding and log-probabilities


def test_padding_by_hand(tokenizer):
    ids, attention, width = alignment.pad_completions(tokenizer, [[5], [6, 7]], [[8, 9, 10], [11]])
    pad = tokenizer.pad_token_id
    assert ids.tolist() == [[pad, 5, 8, 9, 10], [6, 7, 11, pad, pad]]
    assert attention.tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert width == 3


def test_logprobs_and_entropies_match_one_row_at_a_time(model, tokenizer, prompts, experts):
    completions = [tokenizer(e.trace + scratch.END).input_ids for e in experts]
    values = likelihood.logprobs_and_entropies(model, tokenizer, prompts, completions)
    for prompt, completion, (logprobs, entropies) in zip(prompts, completions, values, strict=True):
        ids = prompt + completion
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        for t, token in enumerate(completion):
            chosen = torch.distributions.Categorical(logits=logits[len(ids) - len(completion) + t - 1])
            assert logprobs[t] == pytest.approx(chosen.log_prob(torch.tensor(token)).item(), abs=1e-4)
            assert entropies[t] == pytest.approx(chosen.entropy().item(), abs=1e-4)
        assert len(logprobs) == len(entropies) == len(completion)


# Rows


def sample(monkeypatch, tokenizer, problems, texts, n, token_records, with_likelihoods=True):
    """`sample_rows` of a policy that writes `texts` in turn, with a log-probability of -t at token t."""
    completions = [tokenizer(text + scratch.END).input_ids for text in texts]
    monkeypatch.setattr(generation, "generate", lambda *_, **__: completions)
    values = [([-float(t) for t in range(len(c))], [float(t) for t in range(len(c))]) for c in completions]
    monkeypatch.setattr(likelihood, "logprobs_and_entropies", lambda *_, **__: values)
    return sampling.sample_rows(
        SimpleNamespace(),
        tokenizer,
        problems,
        n=n,
        **GENERATION,
        batch_size=4,
        token_records=token_records,
        with_likelihoods=with_likelihoods,
        first_wrong_unit=reading.first_wrong_unit,
        system_prompt="",
    )


def test_rows_say_of_each_trace_what_is_true_of_it(monkeypatch, tokenizer, experts):
    first, second = experts[:2]
    wrong = traces.render(["1+1=3 beads"], "3")
    rows = sample(monkeypatch, tokenizer, experts[:2], [first.trace, wrong, "no idea", second.trace], 2, 1)
    assert [(r["problem"], r["sample"]) for r in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [r["text"] for r in rows] == [first.trace, wrong, "no idea", second.trace]
    assert [r["correct"] for r in rows] == [True, False, False, True]
    assert [r["well_formed"] for r in rows] == [True, True, False, True]
    assert [r["first_wrong_unit"] for r in rows] == [None, 0, 0, None]
    assert ["ends" in r for r in rows] == [True, True, False, False]
    for row in rows:
        n_units = len(traces.unit_spans(row["text"]))
        assert len(row["unit_logprob"]) == len(row["unit_entropy"]) == n_units
        last = row["n_tokens"] - 1
        assert row["logprob"] == -last * (last + 1) / 2
        assert row["unit_logprob"][-1] == -last and row["unit_entropy"][-1] == last  # the end token's
    assert {len(rows[0][key]) for key in ("ends", "logprobs", "entropies")} == {rows[0]["n_tokens"]}
    assert rows[0]["ends"][-1] == len(first.trace)


def test_samples_whose_likelihoods_no_one_asks_for_are_not_read_again(monkeypatch, tokenizer, experts):
    asked = monkeypatch, tokenizer, experts[:1], [experts[0].trace, "no idea"], 2, 1
    read, unread = sample(*asked), sample(*asked, with_likelihoods=False)
    of_likelihoods = {"logprob", "unit_logprob", "unit_entropy", "ends", "logprobs", "entropies"}
    assert unread == [{k: v for k, v in row.items() if k not in of_likelihoods} for row in read]
    monkeypatch.setattr(likelihood, "logprobs_and_entropies", None)
    rows = sampling.sample_rows(
        SimpleNamespace(), tokenizer, experts[:1], n=2, **GENERATION, batch_size=4, token_records=1,
        with_likelihoods=False, first_wrong_unit=reading.first_wrong_unit, system_prompt="",
    )  # fmt: skip
    assert len(rows) == 2
