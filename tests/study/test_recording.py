import pytest
import torch
from transformers import AutoModelForCausalLM

from lib import runs
from lib.data import demonstrations
from lib.study import recording
from lib.study.training import launch, sampling
from lib.text import traces


@pytest.mark.parametrize("dataset", ["world", "gsm8k"])
def test_only_the_world_says_where_a_sample_goes_wrong(backbone, tokenizer, experts, settings, dataset):
    data = settings.data.model_copy(update={"dataset": dataset})
    fewer = settings.sampling.model_copy(update={"max_new_tokens": 8})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(backbone)
    changed = settings.model_copy(update={"data": data, "sampling": fewer})
    rows = sampling.sample(
        model, tokenizer, experts[:2], changed, n=2, token_records=1, with_likelihoods=True
    )
    assert ["ends" in row for row in rows] == [True, True, False, False]
    assert len(rows) == 4 and not any(row["correct"] for row in rows)
    assert [row["first_wrong_unit"] is None for row in rows] == [dataset != "world"] * 4


def test_a_number_with_separators_and_one_without_vote_for_the_same_answer():
    texts = [traces.render(["a step"], answer) for answer in ("1234", "1,234", "5", "(B)", "B", "C")]
    rows = [{"text": text, "correct": i < 2} for i, text in enumerate(texts)]
    codes, correct = sampling.codes_and_correct(rows, 3)
    assert codes.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert correct.tolist() == [[True, True, False], [False] * 3]


def given(rates: dict[float, list[bool]]):
    """In place of `sampling.answered`: at each temperature these traces are right, 12 or 13 their answers."""

    def answered(_model, _tokenizer, problems, n, temperature, _settings):
        rows = []
        for i, right in enumerate(rates[temperature]):
            text = traces.render(["a step"], "12" if right else "13")
            rows.append({"problem": i // n, "sample": i % n, "text": text, "correct": right})
        assert len(rows) == n * len(problems)
        return rows

    return answered


@pytest.fixture
def study(experts, tmp_path, monkeypatch):
    """A directory with two problems of each split."""
    monkeypatch.chdir(tmp_path)
    for name in ("validation", "test", "test_long"):
        demonstrations.write_jsonl(runs.DATA / f"{name}.jsonl", experts[:2])
    return tmp_path


def test_a_policy_is_sampled_at_the_temperature_that_validation_prefers(study, settings, monkeypatch):
    """Of equals the lowest; what else is told is at the temperature of training."""
    asked = settings.sampling.model_copy(update={"temperatures": (1.0, 0.7, 0.5, 0.3), "validation_n": 4})
    rates = {
        0.3: [True, False] * 4, 0.5: [True] * 6 + [False] * 2, 0.7: [True, True, True, False] * 2,
        1.0: [True, True, True, False] + [False] * 4,
    }  # fmt: skip
    monkeypatch.setattr(sampling, "answered", given(rates))
    found = sampling.validate(None, None, 0, settings.model_copy(update={"sampling": asked}))
    assert found == {
        "pass_at_1": 0.375, "majority": 0.5, "pass_at_n": 0.5, "well_formed": 1.0,
        "pass_at_1_at_0.3": 0.5, "pass_at_1_at_0.5": 0.75, "pass_at_1_at_0.7": 0.75,
        "pass_at_1_at_1": 0.375, "temperature": 0.5, "pass_at_1_at_best": 0.75,
    }  # fmt: skip


def test_answered_traces_are_graded_and_greedy_ones_the_same(study, backbone, tokenizer, experts, settings):
    model = AutoModelForCausalLM.from_pretrained(backbone)
    few = settings.sampling.model_copy(update={"max_new_tokens": 5})
    settings = settings.model_copy(update={"sampling": few})
    torch.manual_seed(0)
    greedy, drawn = (sampling.answered(model, tokenizer, experts[:2], 3, t, settings) for t in (0.0, 1.0))
    places = [(problem, sample) for problem in range(2) for sample in range(3)]
    for rows in (greedy, drawn):
        assert [(row["problem"], row["sample"]) for row in rows] == places
        assert all(row["correct"] is False and row.keys() == greedy[0].keys() for row in rows)
    assert len({row["text"] for row in greedy}) <= 2 < len({row["text"] for row in drawn})


VALIDATION = {"pass_at_1": 0.25, "temperature": 0.5}


def counts(record, name: str) -> dict:
    """How many rows a file of a record has, by temperature."""
    found = {}
    for row in runs.read_rows(record / name):
        key = row.get("temperature", "")
        found[key] = found.get(key, 0) + 1
    return found


def recorded(settings, tokenizer, backbone, tmp_path, method: str, seed: int = 0):
    """Record a run of the untrained backbone as that of a method; the directory of the record."""
    model, weights = AutoModelForCausalLM.from_pretrained(backbone), tmp_path / "trained"
    for part in ("adapter", "discriminator"):
        (weights / part).mkdir(parents=True)
    trained = launch.Trained(model, tokenizer, None, None, [{"step": 1, "loss": 0.5}], "completed", weights)
    recording.record_run(
        "qwen2", method, seed, settings=settings, section=settings.section(method), trained=trained,
        validation=VALIDATION, seconds=1.0,
    )  # fmt: skip
    return runs.run_dir("qwen2", method, seed)


@pytest.fixture
def few(settings):
    changed = settings.sampling.model_copy(update={"max_new_tokens": 4})
    return settings.model_copy(update={"sampling": changed})


def test_the_base_policy_has_one_record_with_all_that_rewards_judge(study, backbone, tokenizer, few):
    model = AutoModelForCausalLM.from_pretrained(backbone)
    recording.record_base("qwen2", model, tokenizer, few, few.backbones["qwen2"], VALIDATION, [2.0] * 15, 1.0)
    assert [path.name for path in runs.run_dir("qwen2", "base", 0).parent.iterdir()] == ["seed0"]
    record = runs.record_of("qwen2", "base", 7)
    assert record == runs.run_dir("qwen2", "base", 0)
    n, fewer = few.sampling.n, max(few.evaluation.ks)
    assert counts(record, runs.SAMPLES) == counts(record, runs.KNOWN) == {"": 2 * n} and n > fewer
    assert counts(record, runs.TEMPERED) == {"validation": 2 * fewer, "greedy": 2}
    assert counts(record, runs.LONG) == {"1.0": 2 * n, "greedy": 2}
    samples = runs.samples("qwen2", "base", 3)
    assert all({*recording.OF_TOKENS, "logprob", "ends"} <= row.keys() for row in samples)
    known, long, tempered = (runs.read_rows(record / name) for name in (runs.KNOWN, runs.LONG, runs.TEMPERED))
    assert all("logprob" in row and not {*recording.OF_TOKENS, "ends"} & row.keys() for row in known)
    assert all("text" in row for row in long) and not any("text" in row for row in tempered)
    assert runs.read(record).metrics == {f"validation_{name}": value for name, value in VALIDATION.items()}
    assert (record / "log.csv").read_text() == "step,loss\n1,2\n11,2\n"


def test_a_policy_that_no_reward_judges_has_fewer_samples_and_no_likelihoods(
    study, backbone, tokenizer, few, tmp_path
):
    record = recorded(few, tokenizer, backbone, tmp_path, "spin")
    fewer = max(few.evaluation.ks)
    assert counts(record, runs.SAMPLES) == {"": 2 * fewer}
    assert counts(record, runs.TEMPERED) == {"validation": 2 * fewer, "greedy": 2}
    assert counts(record, runs.LONG) == {"greedy": 2} and not (record / runs.KNOWN).exists()
    samples = runs.read_rows(record / runs.SAMPLES)
    assert not any({*recording.OF_TOKENS, "logprob"} & row.keys() for row in samples)
    assert not any("text" in row for row in runs.read_rows(record / runs.LONG))
    assert sorted(path.name for path in (record / runs.UNREAD).iterdir()) == ["adapter", "discriminator"]
    assert not (record / "adapter").exists()


@pytest.mark.parametrize("seed", [0, 1])
def test_sfts_adapter_is_kept_of_every_seed(study, backbone, tokenizer, few, tmp_path, seed):
    record = recorded(few, tokenizer, backbone, tmp_path, "sft", seed)
    assert (record / runs.KNOWN).exists()
    assert runs.sft_adapter("qwen2", seed) == record / "adapter" and (record / "adapter").exists()
    assert len(list(record.rglob("adapter"))) == 1
    with pytest.raises(ValueError, match="seed7: no such file"):
        runs.sft_adapter("qwen2", 7)


def test_the_temperature_of_validation_is_what_a_policy_is_then_sampled_at(
    study, backbone, tokenizer, few, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(sampling, "answered", lambda m, t, rows, n, at, s: asked.append((n, at)) or [])
    recorded(few, tokenizer, backbone, tmp_path, "spin")
    assert asked == [(max(few.evaluation.ks), 0.5), (1, 0.0), (1, 0.0)]
