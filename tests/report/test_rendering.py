"""Templates against an HTML parser: data comes out as the text that it is, and never as markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from lib.report import rendering
from lib.report.shown_tables import Shown

HOSTILE = """</script><script>alert("1")</script> & '<img src=x onerror='alert(1)'>"""
# a parser makes one line break of carriage returns, and another character of NUL and lone surrogates
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


class Parsed(HTMLParser):
    """The elements of a page in order, each a tag, its attributes and the text right inside it."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self._open: list[tuple[str, dict, list[str]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if self._open:
            self._open[-1][2].append(data)

    def tags(self) -> list[str]:
        return [tag for tag, _, _ in self.elements]

    def texts(self, tag: str) -> list[str]:
        return ["".join(text) for name, _, text in self.elements if name == tag]

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes, _ in self.elements if name == tag]


def pieces(call: str, **data) -> Parsed:
    """What a macro of pieces.html gives."""
    source = '{% from "pieces.html" import bullets, figure, folded, table with context %}' + call
    data |= {"svg": lambda name: f"data:{name}", "csv": lambda name: f"data:{name}"}
    return Parsed(rendering.ENVIRONMENT.from_string(source).render(data))


@given(
    st.recursive(
        texts | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    )
)
@example([HOSTILE, "<!--<script>", "\u2028", "]]>"])
def test_data_comes_out_as_it_went_in_and_cannot_end_its_element(value):
    page = Parsed(rendering.render("viewer_page.html", traces=value))
    assert page.tags().count("script") == 2
    assert json.loads(page.texts("script")[0]) == value


@given(texts)
@example(HOSTILE)
def test_sentences_summaries_and_captions_are_text(text):
    assert pieces("{{ bullets([text, text]) }}", text=text).texts("li") == [text] * 2
    page = pieces("{% call folded(text) %}{{ text }}{% endcall %}", text=text)
    assert page.texts("summary") == [text]
    assert page.texts("details")[0].strip() == text.strip() and page.tags() == ["details", "summary"]
    page = pieces("{{ figure(text, text, numbers) }}", text=text, numbers=f"of {text}")
    assert page.tags() == ["figure", "div", "img", "figcaption", "span", "a", "a"]
    assert page.attributes("img") == [{"alt": text, "src": f"data:{text}"}]
    assert page.texts("figcaption")[0].strip() == text.strip()
    assert page.attributes("a")[1] == {"download": f"of {text}.csv", "href": f"data:of {text}"}


@given(st.lists(st.lists(texts | st.floats() | st.integers(), min_size=2, max_size=2), min_size=1))
@example([[HOSTILE, HOSTILE]])
def test_cells_are_text(rows):
    page = pieces('{{ table("name", "Title", shown) }}', shown=Shown([HOSTILE, "b"], rows))
    assert page.texts("th") == [HOSTILE, "b"]
    assert page.texts("td") == [str(cell) for row in rows for cell in row]
    assert page.texts("summary") == [f"Title ({len(rows)} rows)"]
    assert ("open" in page.attributes("details")[0]) == (len(rows) <= 20)


def test_a_table_without_rows_is_left_out():
    assert pieces('{{ table("name", "Title", shown) }}', shown=Shown(["a"], [])).tags() == []


def test_numbers_and_published_rows_look_different():
    rows = [["-0.5 [-0.6, -0.4]", "n/a", 3, "+1", "airl"]]
    page = pieces('{{ table("n", "T", shown) }}', shown=Shown("abcde", rows, is_published=True))
    classes = [attributes.get("class") for attributes in page.attributes("td")]
    assert classes == ["number", None, "number", "number", None]
    assert page.attributes("tr") == [{}, {"class": "published"}]


def test_the_policy_allows_the_script_that_stands_in_the_page_and_no_other():
    page = Parsed(rendering.render("viewer_page.html", traces={}))
    (policy,) = (a["content"] for a in page.attributes("meta") if "http-equiv" in a)
    script = page.texts("script")[1]
    assert script == (rendering.TEMPLATES / "viewer.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    wanted = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert policy == wanted


def test_a_name_that_is_not_given_is_an_error_and_not_a_gap():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        rendering.render("heatmap.html")


def test_no_template_trusts_a_text():
    for path in rendering.TEMPLATES.glob("*.html"):
        assert not re.search(r"\bsafe\b|autoescape", path.read_text()), path
