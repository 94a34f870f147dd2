import pytest
import torch

from lib import runs
from lib.reward import recorded, scoring
from lib.text import traces


def test_a_missing_discriminator_is_one_clear_line(settings, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        recorded.load_discriminator("qwen2", "airl_dense", 1, settings)
    missing = tmp_path / "runs" / "qwen2" / "airl_dense" / "seed1" / "discriminator"
    assert str(error.value).startswith(f"{missing}: no discriminator here") and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="unknown reward 'airl_dens'"):
        recorded.load_discriminator("qwen2", "airl_dens", 1, settings)


@pytest.mark.parametrize("place", ["discriminator", "unread/discriminator"])
def test_a_saved_discriminator_is_found_by_its_run(
    settings, reward_model, backbone, tmp_path, monkeypatch, place
):
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "qwen2").symlink_to(backbone)
    reward_model.save(runs.run_dir("qwen2", "airl_dense", 0) / place)
    loaded = recorded.load_discriminator("qwen2", "airl_dense", 0, settings)
    ids = torch.arange(9)[None]
    with torch.no_grad():
        expected = reward_model.eval().logits_BT(ids, torch.ones_like(ids), 9)
        assert torch.equal(loaded.eval().logits_BT(ids, torch.ones_like(ids), 9), expected)


def test_samples_are_scored_in_order_and_few_keep_their_tokens(
    reward_model, tokenizer, experts, sample_rows, settings
):
    rows = sample_rows
    scored = recorded.score_samples(reward_model, tokenizer, experts, rows, settings.airl, settings)
    kept = settings.evaluation.token_records
    assert 0 < kept < len(experts)
    for row, result in zip(rows, scored, strict=True):
        assert (result["problem"], result["sample"]) == (row["problem"], row["sample"])
        assert ("rewards" in result) == (row["problem"] < kept)
        assert len(result["unit_reward"]) == len(traces.unit_spans(row["text"])) + 1
    backwards = recorded.score_samples(reward_model, tokenizer, experts, rows[::-1], settings.airl, settings)
    assert [s["reward"] for s in backwards[::-1]] == pytest.approx([s["reward"] for s in scored], abs=2e-3)


def test_the_reward_is_scored_as_its_settings_say(monkeypatch, tokenizer, experts, settings):
    """Boundaries, reward and discount are the variant's; there is no discount where rewards accumulate."""
    asked = []

    def score_texts(_model, _tokenizer, _questions, _texts, reading, **_):
        asked.append(reading._asdict())
        return [{}]

    monkeypatch.setattr(scoring, "score_texts", score_texts)
    recorded.score(None, tokenizer, ["How many?"], ["2"], settings.airl_variant("airl"), settings)
    recorded.score(None, tokenizer, ["How many?"], ["2"], settings.airl_variant("airl_dense"), settings)
    ours, paper = ({key: options[key] for key in ("reward", "boundaries", "gamma")} for options in asked)
    assert ours == {"reward": "log_density", "boundaries": "step", "gamma": None}
    assert paper == {"reward": "logit", "boundaries": "dense", "gamma": settings.airl.gamma}


def test_rewards_at_tokens_that_end_elsewhere_by_hand():
    """ "12+3" as 1 2 + 3 and the end, by a reward that reads 12 +3 and the end, and the other way round."""
    assert recorded._at([1, 2, 3, 4, 4], [0.5, 0.7, 0.9], [2, 4, 4]) == [0.5, 0.5, 0.7, 0.7, 0.9]
    assert recorded._at([2, 4, 4], [0.1, 0.2, 0.3, 0.4, 0.5], [1, 2, 3, 4, 4]) == [0.2, 0.4, 0.5]
    assert recorded._at([2, 4, 4], [0.1, 0.2, 0.3], [2, 4, 4]) == [0.1, 0.2, 0.3]
    assert recorded._at([1, 4], [0.1, 0.2, 0.3], [2, 4, 4]) == [0.1, 0.2]  # cut off: there is no end token


def test_a_reward_that_reads_other_tokens_has_a_value_at_each_of_the_policys(
    reward_model, tokenizer, experts, settings
):
    text = experts[0].trace
    row = {"problem": 0, "sample": 0, "text": text, "ends": [*range(1, len(text) + 1), len(text)]}
    (scored,) = recorded.score_samples(reward_model, tokenizer, experts, [row], settings.airl, settings)
    (alone,) = recorded.score(reward_model, tokenizer, [experts[0].question], [text], settings.airl, settings)
    assert len(scored["rewards"]) == len(row["ends"])
    assert list(dict.fromkeys(scored["rewards"])) == list(dict.fromkeys(alone["rewards"]))
    assert scored["reward"] == alone["reward"]
