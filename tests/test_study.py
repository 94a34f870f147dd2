import pytest
import torch
from transformers import AutoModelForCausalLM

from lib import study


@pytest.mark.parametrize("dataset", ["world", "gsm8k"])
def test_only_the_world_says_where_a_sample_goes_wrong(backbone, tokenizer, experts, settings, dataset):
    data = settings.data.model_copy(update={"dataset": dataset})
    sampling = settings.sampling.model_copy(update={"n": 2, "max_new_tokens": 8})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(backbone)
    changed = settings.model_copy(update={"data": data, "sampling": sampling})
    rows = study.sample(model, tokenizer, experts[:2], changed)
    assert len(rows) == 4 and not any(row["correct"] for row in rows)
    assert [row["first_wrong_unit"] is None for row in rows] == [dataset != "world"] * 4
