"""The pages' templates, filled with data: whatever is not a template's own text is escaped."""

import base64
import hashlib
import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib import runs

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **data) -> str:
    """A file of `templates`, filled. Raises jinja2.UndefinedError for a name that `data` lacks."""
    return ENVIRONMENT.get_template(template).render(data)


def data_url(path: Path, media_type: str) -> str:
    """A file within a URL, which wherever the page is moved stays with it. Raises ValueError without one."""
    return f"data:{media_type};base64,{_base64(runs.require(path).read_bytes())}"


def json_text(value: object) -> Markup:
    """JSON for the inside of a script element, which no text in it can end."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def sha256(text: str) -> str:
    """The hash of a script, as a page's policy names it."""
    return _base64(hashlib.sha256(text.encode()).digest())


def is_numeric(cell: object) -> bool:
    """Whether a cell is a number or an interval, which is not to be broken into lines."""
    return re.match(r"[-+]?\d", str(cell)) is not None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,  # the style sheets and the script stay the bytes that they are
    extensions=["jinja2.ext.do"],
)
ENVIRONMENT.filters |= {"json": json_text, "sha256": sha256}
ENVIRONMENT.tests |= {"numeric": is_numeric}
