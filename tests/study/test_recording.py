import pytest
import torch
from transformers import AutoModelForCausalLM

from lib.study.training import sampling
from lib.text import traces


@pytest.mark.parametrize("dataset", ["world", "gsm8k"])
def test_only_the_world_says_where_a_sample_goes_wrong(backbone, tokenizer, experts, settings, dataset):
    data = settings.data.model_copy(update={"dataset": dataset})
    fewer = settings.sampling.model_copy(update={"n": 2, "max_new_tokens": 8})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(backbone)
    changed = settings.model_copy(update={"data": data, "sampling": fewer})
    rows = sampling.sample(model, tokenizer, experts[:2], changed)
    assert len(rows) == 4 and not any(row["correct"] for row in rows)
    assert [row["first_wrong_unit"] is None for row in rows] == [dataset != "world"] * 4


def test_a_number_with_separators_and_one_without_vote_for_the_same_answer():
    texts = [traces.render(["a step"], answer) for answer in ("1234", "1,234", "5", "(B)", "B", "C")]
    rows = [{"text": text, "correct": i < 2} for i, text in enumerate(texts)]
    codes, correct = sampling.codes_and_correct(rows, 3)
    assert codes.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert correct.tolist() == [[True, True, False], [False] * 3]
