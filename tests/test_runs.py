import json
import lzma

import pytest

from lib import files, runs

RUN = runs.Run(
    backbone="qwen2",
    method="sft",
    seed=0,
    profile="default",
    parameters={"lr": 0.001},
    metrics={"pass_at_1": 0.5},
    versions={"torch": "2.13.0"},
    code_sha256="c" * 64,
    data_sha256="d" * 64,
    hardware="a computer",
    seconds=1.5,
    peak_memory_mib=100.0,
)
ROWS = [{"text": "<think>\n1 + 1 = 2\u2028é", "reward": 0.125, "wrong": None}, {"ends": [1, 2]}]


def test_a_record_is_read_as_it_was_written(tmp_path):
    directory = tmp_path / "runs" / "qwen2" / "sft" / "seed0"
    log = [{"step": 1, "loss": 0.123456789}, {"step": 2, "kl": 2.0}]
    with files.new_directory(directory) as temporary:
        runs.write(temporary, RUN, log=log, samples=ROWS)
        assert not directory.exists()
    assert runs.read(directory) == RUN
    assert runs.read_rows(directory / "samples.jsonl.xz") == ROWS
    assert (directory / "log.csv").read_text() == "step,loss,kl\n1,0.123457,\n2,,2\n"
    assert [path.name for path in directory.parent.iterdir()] == ["seed0"]


def test_a_run_that_fails_leaves_the_old_record_and_nothing_else(tmp_path):
    directory = tmp_path / "seed0"
    with files.new_directory(directory) as temporary:
        (temporary / "mark").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.new_directory(directory) as temporary:
        (temporary / "mark").write_text("new")
        raise KeyboardInterrupt
    assert (directory / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["seed0"]


def test_a_new_record_replaces_all_of_the_old_one(tmp_path):
    directory = tmp_path / "seed0"
    for name in ("first", "second"):
        with files.new_directory(directory) as temporary:
            (temporary / name).write_text("")
    assert [path.name for path in directory.iterdir()] == ["second"]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        runs.write_rows(tmp_path / name, ROWS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = lzma.decompress((tmp_path / "a").read_bytes()).decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == ROWS


def test_no_rows_are_no_rows(tmp_path):
    runs.write_rows(tmp_path / "rows", [])
    assert runs.read_rows(tmp_path / "rows") == []


def test_a_value_that_json_cannot_hold_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_rows(tmp_path / "rows", [{"reward": float("nan")}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lzma.compress(b'{"a": 1}\n{"a": \n'), ":2: not JSON"),
        (lzma.compress(b'{"a": 1}\n\n'), ":2: not JSON"),
        (lzma.compress(b"[1]\n"), ":1: expected a JSON object"),
        (lzma.compress(b'{"a": 1}\n')[:-9], ": not text in xz"),
        (b'{"a": 1}\n', ": not text in xz"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "rows.jsonl.xz"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        runs.read_rows(path)
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("results/runs/qwen2/sft/seed0/samples.jsonl.xz", "sft"),
        ("results/runs/qwen2/base/seed0/samples.jsonl.xz", "backbone"),
        ("results/runs/qwen2/airl_dense/seed0/samples.jsonl.xz", "irl or ablation"),
        ("results/runs/qwen2/spin/seed0/samples.jsonl.xz", "spin"),
        ("results/runs/qwen2/airl/seed0/scores.jsonl.xz", "irl or ablation"),
        ("results/localisation/qwen2.jsonl.xz", "localisation"),
    ],
)
def test_a_missing_file_is_refused_with_the_stage_that_makes_it(tmp_path, path, stage):
    with pytest.raises(ValueError) as caught:
        runs.read_rows(tmp_path / path)
    message = f"{tmp_path / path}: no such file; run `dvc repro`, whose stage {stage} makes it"
    assert str(caught.value) == message


def test_a_run_with_a_field_missing_is_refused_with_its_name(tmp_path):
    fields = RUN.model_dump()
    del fields["seed"]
    (tmp_path / "run.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"run\.json: seed: Field required"):
        runs.read(tmp_path)


def test_the_hash_tells_content_name_and_order_apart(tmp_path):
    def digest(**contents):
        paths = [tmp_path / name for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_text(content)
        return files.sha256(paths)

    different = [dict(a="1", b="2"), dict(b="2", a="1"), dict(a="12", b=""), dict(a="1", c="2"), dict(a="1")]
    digests = [digest(**each) for each in different]
    assert len(set(digests)) == len(digests)
    assert digest(a="1", b="2") == digests[0]


def test_provenance_fills_a_run():
    where = runs.provenance()
    assert runs.Run(**RUN.model_dump() | where).versions["torch"].startswith("2.13.0")
    assert 10 < where["peak_memory_mib"] < 1e6
    assert runs.provenance()["code_sha256"] == where["code_sha256"]
