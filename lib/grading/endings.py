r"""How solutions end: the answer that a text of anyone's gives in one of the common ways.

`\boxed{5}` anywhere, the last one; else a last line with `#### 5`, `A: 5`, `Answer: 5` or `The answer is 5.`
"""

import re

from lib.grading.quantities import SEPARATOR

_BOXED = re.compile(r"\\boxed\s*(?:\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}|([^\s{}\\$]+))")
_ANSWER = r"(?i:(?:the )?(?:(?:final|correct) )?answer)"
_MARK = rf"(?:####|A:|\**{_ANSWER}(?: is)?:?\**:?\**(?<=[:*s]))"
_MARKED = re.compile(rf"{_MARK} *(\S.*)")
_SAID = re.compile(rf".*(?:####|\W{_ANSWER}(?: is\b:?|:)\**) *(\S.*)")


def final_answer(text: str) -> str | None:
    """The answer that a solution ends with, without separators of thousands; None where none can be read."""
    boxed = _BOXED.findall(text)
    if boxed:
        return _clean("".join(boxed[-1]))
    last = text.strip().rpartition("\n")[2].strip()
    found = _MARKED.fullmatch(last) or _SAID.fullmatch(last)
    return _clean(found[1]) if found else None


def is_only_answer(line: str) -> bool:
    r"""Whether a line says nothing but the answer, as `A: 5` or `$\boxed{5}$` does."""
    found = _MARKED.fullmatch(line)
    said = found[1] if found else line
    if _BOXED.search(said):
        return not _BOXED.sub("", said).strip(" .*$\\()[]")
    return found is not None


def _clean(answer: str) -> str | None:
    answer = SEPARATOR.sub("", answer).strip(" *")
    answer = answer.removesuffix(".").strip(" *")
    return answer if answer and not set("<>\n") & set(answer) else None
