"""A reward taken away: exported, loaded with and without the study's code, asked in Python, shell and TRL."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from lib import files, runs
from lib.airl import discriminator
from lib.models import buckets, pretrained
from lib.reward import recorded, reward, score_file
from lib.reward.reward import Reward
from lib.study import export, params
from lib.text import chat, traces
from tests import stand_ins

ROOT = Path(__file__).parents[2]
KINDS = {
    "airl_dense": {},
    "airl": {},
    "ratio": {"parameterisation": "log_ratio", "boundaries": "step", "credit": "telescoped"},
}
TABLES = {
    "reward_quality": "backbone,variant,auroc,ci_low,ci_high\nqwen2,airl,0.9,0.8,0.95\n",
    "rerank": "backbone,policy,variant,selector,n,accuracy,ci_low,ci_high\n"
    + "".join(
        f"qwen2,base,airl,{selector},{n},0.{n},0.1,0.9\n"
        for n in (1, 4)
        for selector in ("random", "majority", "reward")
    )
    + "qwen2,base,ratio,reward,4,0.2,0.1,0.3\n",
    "localisation": "backbone,detector,error_source,policy,variant,threshold,hit_at_1,ci_low,ci_high,chance\n"
    + "".join(
        f"qwen2,reward,policy,{policy},airl,{threshold},0.{hit},0.6,0.8,0.3\n"
        for policy, threshold, hit in (
            ("base", "none", 5), ("base", "perturbed", 7), ("base", "oracle", 8), ("sft", "perturbed", 4)
        )
    ),
    "false_alarms": "backbone,variant,threshold"
    + "".join(f",{name},{name}_ci_low,{name}_ci_high" for name in ("accuracy_erroneous", "accuracy_correct"))
    + "\nqwen2,airl,perturbed,0.5,0.4,0.6,0.2,0.1,0.3\nqwen2,airl,oracle,0.9,0.9,0.9,0.9,0.9,0.9\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def settings():
    tree = params.apply_profile(ROOT / "params.yaml", "tiny")
    return params.validate({**tree, "variants": {**tree["variants"], "ratio": KINDS["ratio"]}}, "params.yaml")


@pytest.fixture(scope="module")
def results(backbone, settings, tmp_path_factory):
    """A study's results, with a run of each kind of reward, whose adapters say something."""
    at = tmp_path_factory.mktemp("study")
    (at / "results/backbones").mkdir(parents=True)
    for name in ("qwen2", "llama"):  # of which one is the other's stranger
        (at / "results/backbones" / name).symlink_to(backbone)
    (at / "results/tables").mkdir()
    for name, text in TABLES.items():
        (at / f"results/tables/{name}.csv").write_text(text)
    for name in KINDS:
        airl = settings.airl_variant(name)
        torch.manual_seed(1)
        model = discriminator.PARAMETERISATIONS[airl.parameterisation].new(backbone, r=2, alpha=4)
        for parameter in model.trained().values():
            torch.nn.init.normal_(parameter, std=0.3)
        run = runs.Run(
            backbone="qwen2", method=name, seed=0, profile="tiny", metrics={}, seconds=1.0, data_sha256="",
            parameters=airl.model_dump(mode="json") | {"lora": {}}, **runs.provenance(),
        )  # fmt: skip
        with files.new_directory(at / f"results/runs/qwen2/{name}/seed0") as directory:
            model.save(directory / "discriminator")
            (directory / "discriminator/.ipynb_checkpoints").mkdir()
            runs.write(directory, run, log=[], samples=[])
    located = [{"policy": "base", "thresholds": {"perturbed": 0.5, "oracle": 9.0}}]
    runs.write_rows(at / "results/runs/qwen2/airl/seed0" / runs.LOCALISATION, located)
    return at


@pytest.fixture(scope="module")
def exported(results, settings, tmp_path_factory):
    """An exported reward of each kind, by name."""
    with pytest.MonkeyPatch.context() as at:
        at.chdir(results)
        directories = {name: tmp_path_factory.mktemp("rewards") / name for name in KINDS}
        for name, directory in directories.items():
            export.export(runs.run_dir("qwen2", name, 0), directory, settings)
    return directories


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def learned(exported):
    return Reward.load(exported["airl"])


@pytest.fixture
def pairs(experts):
    """Questions with traces of different lengths: right, wrong, in letters the tokenizer never saw."""
    odd = ["no tags at all", "ß ☃ 漢字 \U0001f600", "<script>alert(1)</script>", "typed <|end|> within"]
    odd.append(experts[0].trace.replace("\n", "\r\n") + " \n")
    questions = [*(d.question for d in experts[:3]), "What does <|sep|> mean?"]
    return [(q, t) for q in questions for t in (experts[0].trace, traces.render(["1+1=3"], "3"), *odd)]


# --- export ---


def test_the_card_loads_it_without_this_study(exported, kind, pairs, monkeypatch):
    """The card's own code, run as it stands, says of every token what `Reward` says."""
    card = (exported[kind] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert "lib" not in re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE)
    monkeypatch.chdir(exported[kind])
    space = {}
    exec(code, space)
    for (question, trace), found in zip(pairs, Reward.load(".").score_pairs(pairs), strict=True):
        assert space["token_rewards"](question, trace).tolist() == pytest.approx(found.tokens, abs=0.02)


def test_only_the_models_files_are_exported(exported, kind):
    assert not list(exported[kind].glob("**/.*")) and (exported[kind] / "adapter").exists()


def test_the_card_tells_what_was_measured(exported, kind):
    card = (exported[kind] / "README.md").read_text()
    assert "$" not in card and "It read no graded answer." in card
    imitates = "the log-density of a language model that imitates them" in card
    assert imitates == (kind == "airl") != ("trained adversarially" in card)
    if kind == "airl":
        assert "AUROC: 0.90 [0.80, 0.95]" in card and "choices of 4 samples" in card
        assert "found in the base policy's errors: 0.70 [0.60, 0.80], by chance 0.30" in card
        assert (
            "step in 0.50 [0.40, 0.60] of the base policy's wrong traces, none in 0.20 [0.10, 0.30]" in card
        )
        assert card.count("first wrong step found") == 1
    else:
        assert "none are recorded for this run" in card


def test_the_threshold_is_one_that_takes_no_label(exported):
    assert {name: Reward.load(d).manifest.threshold for name, d in exported.items()} == {
        "airl": 0.5, "airl_dense": None, "ratio": None,
    }  # fmt: skip


def test_a_run_that_cannot_be_exported_is_refused_in_one_line(results, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(results)
    with pytest.raises(ValueError, match=r"run.json: no such file; run `dvc repro`"):
        export.export("results/runs/qwen2/airl/seed9", tmp_path / "new", settings)
    with pytest.raises(ValueError, match="exists already; name a new directory"):
        export.export("results/runs/qwen2/airl/seed0", tmp_path, settings)
    sft = tmp_path / "sft"
    sft.mkdir()
    (sft / "run.json").write_text((results / "results/runs/qwen2/airl/seed0/run.json").read_text())
    with pytest.raises(ValueError, match="no reward of airl is kept here; name a run of airl"):
        export.export(sft, tmp_path / "new", settings)
    assert not (tmp_path / "new").exists()


# --- Python ---


def test_a_batch_says_what_the_studys_scorer_says_of_each(learned, pairs, settings):
    airl, judge = settings.airl_variant("airl"), (learned.model, learned.tokenizer)
    for (question, trace), found in zip(pairs, learned.score_pairs(pairs), strict=True):
        (alone,) = recorded.score(*judge, [question], [traces.normalised(trace)], airl, settings)
        assert found.trace == pytest.approx(alone["reward"], abs=2e-3)
        assert found.steps == pytest.approx(alone["unit_reward"], abs=2e-3)
        assert found.tokens == pytest.approx(alone["rewards"], abs=0.02)


def test_order_and_company_do_not_matter(learned, pairs, monkeypatch):
    monkeypatch.setattr(buckets, "TOGETHER", 3)
    forwards = [found.trace for found in learned.score_pairs(pairs)]
    backwards = [found.trace for found in learned.score_pairs(pairs[::-1])]
    assert backwards[::-1] == pytest.approx(forwards, abs=2e-3)


def test_ranking_is_by_the_score_of_the_trace(learned, experts):
    of = [d.trace for d in experts[:5]] + [experts[0].trace]
    scores = [found.trace for found in learned.score(experts[0].question, of)]
    ranking = learned.rerank(experts[0].question, of)
    assert sorted(ranking) == list(range(6))
    assert [scores[i] for i in ranking] == sorted(scores, reverse=True)
    assert ranking.index(0) < ranking.index(5)  # the same trace twice: the earlier first


@pytest.mark.parametrize(
    ("threshold", "steps", "unit"),
    [
        (0.5, [0.0, -0.2, -1.0, -9.0], 1),  # the first fall above the threshold, not the largest
        (9.9, [0.0, -0.2, -1.0, -9.0], None),
        (8.0, [0.0, -0.2, -1.0, -9.0], None),  # a fall of the threshold itself is none
        (0.5, [-9.0, -0.2, 1.0, 1.0], None),
        (None, [0.0, -0.2, -1.0, -9.0], 2),
        (None, [1.0, 2.0, 1.5], 1),
    ],
)
def test_the_first_error_by_hand(learned, monkeypatch, threshold, steps, unit):
    monkeypatch.setattr(learned, "manifest", learned.manifest.model_copy(update={"threshold": threshold}))
    monkeypatch.setattr(learned, "score", lambda question, traces: [reward.Score(0.0, steps, [])])
    assert learned.first_error("How many?", "<think>") == unit


def test_a_prompt_of_one_token_has_nothing_to_read_once(learned, experts):
    assert len(learned.tokenizer(chat.prompt_text(learned.tokenizer, "")).input_ids) == 1
    of = [d.trace for d in experts[:3]]
    together = [found.trace for found in learned.score("", of)]
    assert together == pytest.approx([learned.score("", [trace])[0].trace for trace in of], abs=2e-3)


@pytest.mark.parametrize("name", KINDS)
def test_how_lines_and_texts_end_changes_no_reward(exported, experts, name):
    learned, question, trace = Reward.load(exported[name]), experts[0].question, experts[0].trace
    (plain,) = learned.score(question, [trace])
    for other in (trace + "\n", trace + " ", trace.replace("\n", "\r\n") + "\r\n"):
        (found,) = learned.score(question + "\r\n", [other])
        assert found == plain


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_trace_is_refused(learned, empty):
    with pytest.raises(ValueError, match="trace 1 is empty"):
        learned.score("How many?", ["<think>", empty])


def test_weights_that_are_not_on_the_hub_are_taken_along_and_the_tokenizer_is_the_studys(
    experts, tmp_path, monkeypatch
):
    """The directory is moved, the weights it came from are gone, and had another end token in their files."""
    hub, backbone, kept = tmp_path / "hub", tmp_path / "study/backbone", tmp_path / "kept"
    stand_ins.build(hub, "qwen2", [text for e in experts for text in (e.question, e.trace)])
    files.write_json(hub / "special_tokens_map.json", {"eos_token": "<|endoftext|>"})
    backbone.mkdir(parents=True)
    pretrained.write_pretrained(backbone, stand_ins.source(hub))
    model, tokenizer = pretrained.load_backbone(backbone)
    ids = tokenizer("How many?", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model(ids).logits
    export._copy_backbone(backbone, kept / "backbone")
    shutil.rmtree(hub)
    (kept / "backbone").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(kept)
    model, found = pretrained.load_backbone(tmp_path / "elsewhere")
    with torch.no_grad():
        assert torch.equal(model(ids).logits, expected)
    assert found.eos_token == tokenizer.eos_token == "<|im_end|>"
    assert found.chat_template == tokenizer.chat_template


def test_a_directory_that_is_no_whole_reward_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="reward.json: no such file; `python -m lib.study.export"):
        Reward.load(tmp_path)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-R", exported["airl"], copy], check=True)
    (copy / "backbone/.ipynb_checkpoints").mkdir()
    (copy / "backbone/.DS_Store").touch()
    Reward.load(copy)  # what was left there by who looked at it is no part of it
    other = AutoModelForCausalLM.from_pretrained(copy / "backbone")
    torch.nn.init.zeros_(other.lm_head.weight)
    other.save_pretrained(copy / "backbone")
    with pytest.raises(ValueError, match="backbone: not the backbone this reward was trained on"):
        Reward.load(copy)
    (copy / "reward.json").write_text('{"gamma": "much"}')
    with pytest.raises(ValueError, match=r"reward.json: \w+: Field required"):
        Reward.load(copy)


def test_the_readmes_lines_say_what_it_says_they_do(tmp_path, monkeypatch):
    """On the committed reward: the right trace first, the wrong one wrong in its first step."""
    readme = (ROOT / "README.md").read_text()
    (code,) = (found for found in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Reward" in found)
    monkeypatch.chdir(ROOT)
    export.export("results/runs/qwen2/airl/seed0", tmp_path / "my_reward", params.load())
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(code, space)
    found, question, wrong, right = (space[name] for name in ("reward", "question", "wrong", "right"))
    assert found.rerank(question, [wrong, right]) == [1, 0]
    assert found.first_error(question, wrong) == 0
    assert len(found.score(question, [right])[0].tokens) == len(found.tokenizer(right).input_ids) + 1


# --- shell ---


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lib.reward.score_file", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=None, timeout=120)


@pytest.fixture
def run_here(monkeypatch, capsys):
    """The same in this process, whose imports are done."""

    def run_here(*arguments) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["score_file", *map(str, arguments)])
        said, code = "", 0
        try:
            score_file.main()
        except SystemExit as exit:  # with what Python would print
            said, code = f"{exit}\n", 1
        return subprocess.CompletedProcess(arguments, code, stderr=capsys.readouterr().err + said)

    return run_here


def test_lines_come_back_in_order_and_bad_ones_are_named(exported, learned, experts, tmp_path):
    question, trace = experts[0].question, experts[0].trace
    own = {"id": 7, "reward": "a", "steps": [1], "tokens": None, "error": "mine", "rewards": 2, "ranking": {}}
    lines = [
        json.dumps({"question": question, "trace": trace, **own}),
        "{not json",
        json.dumps({"question": question, "traces": ["<think>\n1", trace]}),
        json.dumps({"question": question, "trace": ""}),
        json.dumps({"question": question, "traces": [trace, 3]}),
        json.dumps({"question": question}),
        json.dumps([question]),
        json.dumps({"trace": trace}),
        '{"question": "\\ud800", "trace": "1"}',
        "[" * 5000,
        json.dumps({"question": "?", "traces": []}),
        json.dumps({"question": question, "trace": trace, "weight": float("nan")}),
        '{"question": "?", "trace": "1", "weight": [1e999]}',
        '{"question": "?", "trace": "1", "scored": {}}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    done = run(exported["airl"], tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().endswith(
        f"11 lines could not be scored; see `scored.error` in {tmp_path / 'out.jsonl'}"
    )
    rows = written(tmp_path / "out.jsonl")
    assert len(rows) == len(lines)
    said = {n: row["scored"]["error"] for n, row in enumerate(rows, start=1) if "error" in row["scored"]}
    assert all(rows[n - 1].keys() == {"scored"} for n in said)
    assert {n: text.split(":")[0] for n, text in said.items()} == {
        2: "not JSON",
        4: "trace",
        5: "traces.1",
        6: "give either trace, a text, or traces, a list of texts",
        7: "expected a JSON object",
        8: "question",
        9: "not Unicode text",
        10: "not JSON",
        12: "not JSON",
        13: "not JSON",
        14: "scored",
    }
    for n, text in said.items():
        assert f"in.jsonl:{n}: {text}" in done.stderr
    (alone,) = learned.score(question, [trace])
    scored = rows[0].pop("scored")
    assert rows[0] == {"question": question, "trace": trace, **own}
    assert scored["reward"] == pytest.approx(alone.trace, abs=2e-3)
    assert scored["first_error"] == learned.first_error(question, trace)
    assert len(scored["steps"]) == len(alone.steps) and len(scored["tokens"]) == len(alone.tokens)
    assert rows[2]["scored"]["ranking"] == learned.rerank(question, ["<think>\n1", trace])
    assert rows[10]["scored"] == {"rewards": [], "ranking": []}


def written(path: Path) -> list[dict]:
    """The lines of a file, read by the letter of the standard, which knows no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_blank_lines_are_left_out_and_counted(exported, experts, tmp_path, run_here):
    line = json.dumps({"question": "?", "trace": experts[0].trace})
    (tmp_path / "in.jsonl").write_bytes(f"{line}\r\n\r\n   \n{line}\n\n".encode())
    done = run_here(exported["airl_dense"], tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 0 and f"{tmp_path / 'in.jsonl'}: 3 blank lines left out" in done.stderr
    first, second = written(tmp_path / "out.jsonl")
    assert first == second


def test_a_file_of_good_lines_is_no_error(exported, experts, tmp_path, run_here):
    (tmp_path / "in.jsonl").write_text(json.dumps({"question": "?", "trace": experts[0].trace}) + "\n")
    done = run_here(exported["airl_dense"], tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", [("nowhere", "in.jsonl"), (None, "nowhere.jsonl")])
def test_what_is_not_there_is_one_line_and_leaves_nothing(exported, tmp_path, run_here, given):
    (tmp_path / "in.jsonl").write_text("")
    done = run_here(given[0] or exported["airl"], tmp_path / given[1], tmp_path / "out.jsonl")
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_no_more_than_a_chunk_is_in_memory(learned, tmp_path, monkeypatch):
    """Each chunk is scored and written before the next is read."""
    monkeypatch.setattr(score_file, "CHUNK", 4)
    asked = []

    def score_pairs(pairs):
        asked.append(len(pairs))
        return [reward.Score(0.0, [0.0, 0.0], [0.0])] * len(pairs)

    monkeypatch.setattr(learned, "score_pairs", score_pairs)
    (tmp_path / "in.jsonl").write_text('{"question": "?", "trace": "1"}\n' * 10)
    assert score_file.score_file(learned, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 0
    assert asked == [4, 4, 2] and len((tmp_path / "out.jsonl").read_text().splitlines()) == 10


# --- TRL ---


def user(content) -> dict:
    return {"role": "user", "content": content}


def assistant(content) -> dict:
    return {"role": "assistant", "content": content}


def test_trls_messages_are_read_as_the_texts_they_are(learned, experts):
    asked, question, trace = reward.trl_function(learned), experts[0].question, experts[0].trace
    (alone,) = learned.score(question, [trace])
    parts = [{"type": "text", "text": trace[:9]}, {"type": "text", "text": trace[9:]}]
    prompts = [
        [user(question)],
        [{"role": "system", "content": "Think."}, user([{"type": "text", "text": question}])],
        [user(question), assistant(trace[:8])],  # a prefill, from which the completion goes on
        [user(question), assistant([{"type": "text", "text": trace[:8]}])],
        [user(question), assistant(None)],
    ]
    completions = [
        [assistant(parts)], [assistant(trace)], [assistant(trace[8:])], [assistant(trace[8:])],
        [assistant(trace)],
    ]  # fmt: skip
    assert asked(prompts, completions) == pytest.approx([alone.trace] * 5, abs=2e-3)
    assert len(prompts[2]) == 2  # TRL's own lists stay as they are


@pytest.mark.parametrize("nothing", [[], [assistant(None)], [assistant([])], [assistant("")], ""])
def test_a_completion_that_says_nothing_has_the_lowest_reward(learned, experts, nothing):
    asked, begun = reward.trl_function(learned), [user("?"), assistant("<think>\n")]
    first, second, third = asked([begun] * 3, [[assistant("1")], nothing, [assistant("1+1=2 beads")]])
    assert second == min(first, third)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "the prompt has no question"),
        ([assistant("<think>")], "the prompt has no question"),
        ([user(None)], "the prompt has no question"),
        ([user([{"type": "image", "image": "beads.png"}])], "a message has a part that is not text"),
        ([user(["How many?"])], "a message has a part that is not text"),
    ],
)
def test_a_prompt_that_cannot_be_scored_is_one_clear_line(learned, prompt, message):
    with pytest.raises(ValueError, match=f"^row 1 of TRL's batch: {message}") as error:
        reward.trl_function(learned)([[user("?")], prompt], [[assistant("1")]] * 2)
    assert "\n" not in str(error.value)


def test_trl_trains_with_it(learned, backbone, experts, tmp_path):
    asked = reward.trl_function(learned)
    conversation = [{"role": "user", "content": experts[0].question}]
    reply = [{"role": "assistant", "content": experts[0].trace}]
    (alone,) = learned.score(experts[0].question, [experts[0].trace])
    plain = asked([experts[0].question], [experts[0].trace])
    assert asked([conversation], [reply], completion_ids=[[1]]) == plain == [alone.trace]
    assert asked(["?", "?"], ["", "1"])[0] == asked(["?", "?"], ["", "1"])[1]
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(backbone),
        processing_class=AutoTokenizer.from_pretrained(backbone),
        reward_funcs=asked,
        train_dataset=Dataset.from_list([{"prompt": conversation}] * 2),
        peft_config=LoraConfig(r=2, target_modules="all-linear"),
        args=GRPOConfig(
            output_dir=tmp_path, max_steps=1, per_device_train_batch_size=4, num_generations=4, use_cpu=True,
            max_completion_length=8, report_to=[], logging_steps=1, bf16=False, learning_rate=0.1,
        ),
    )  # fmt: skip
    trainer.train()
    (logged,) = [row for row in trainer.state.log_history if "rewards/learned_reward/mean" in row]
    assert logged["rewards/learned_reward/mean"] < 0 and logged["grad_norm"] > 0
