"""Pieces of the page: nothing that is written can become markup, and the commit is the inputs' own."""

import json
import re
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from lib.report import page, pages

texts = st.text() | st.sampled_from(["</script>", "<!--<script>", "\u2028", "]]>"])


@given(
    st.recursive(
        texts | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    )
)
def test_data_comes_out_as_it_went_in_and_cannot_end_its_element(value):
    block = page.json_block("data", value)
    inside = re.fullmatch(r'<script type="application/json" id="data">(.*)</script>\n', block, re.DOTALL)[1]
    assert "<" not in inside
    assert json.loads(inside) == value


@given(texts, texts)
def test_a_folded_summary_and_a_caption_are_text(summary, title):
    assert re.findall(r"<(\w+)", page.folded(summary, "")) == ["details", "summary"]
    assert re.findall(r"<(\w+)", page.contents([(title, "")]))[:2] == ["nav", "ol"]
    assert "<script" not in page.contents([(title, "")])


def test_the_commit_is_the_last_that_changed_what_results_come_from(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    git("add", "-A")
    git("commit", "-qm", "parameters")
    made = git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("text\n")
    git("add", "-A")
    git("commit", "-qm", "text")
    assert pages.commit() == made != git("rev-parse", "HEAD")
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert pages.commit() == ""


def test_there_is_no_commit_outside_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert pages.commit() == ""
