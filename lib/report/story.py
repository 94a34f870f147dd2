"""Paragraphs of sentences, and each number in them as a row of a table, where it stands with its interval."""

from typing import NamedTuple

import pandas as pd

from lib.evaluation.words import briefly, interval, number, paired, shares


class Finding(NamedTuple):
    """A number on each backbone that has it: the paragraph it is told in, what it is, and the number with its
    interval."""

    of: str
    what: str
    cells: dict[str, str]


class Story:
    """Paragraphs, each a name and its sentences, and a `Finding` for each number that was asked for."""

    def __init__(self):
        self.paragraphs: dict[str, list[str]] = {}
        self.findings: list[Finding] = []

    def tell(self, of: str, sentence: str) -> None:
        self.paragraphs.setdefault(of, []).append(sentence)

    def above(self, of: str, what: str, rows: dict[str, pd.Series], than: str, name: str, prefix="") -> str:
        """The verdict on a paired difference, `better than SFT (llama 0.061, qwen2 0.067)`."""
        cells = {backbone: paired(row, name, prefix) for backbone, row in rows.items()}
        self._find(of, f"{what} above {than}", cells)
        return briefly(rows, name, than, prefix)

    def share(self, of: str, what: str, rows: dict[str, pd.Series], name: str, prefix="") -> str:
        """A share: `0.82 (llama) and 0.83 (qwen2)`."""
        self._find(of, what, {backbone: interval(row, name, prefix) for backbone, row in rows.items()})
        return shares(rows, name)

    def times(self, of: str, what: str, rows: dict[str, pd.Series], name: str) -> str:
        """A number that has no interval, as `share` has it."""
        self._find(of, what, {backbone: number(row[name]) for backbone, row in rows.items()})
        return shares(rows, name)

    def _find(self, of: str, what: str, cells: dict[str, str]) -> None:
        if cells:
            self.findings.append(Finding(of, what, cells))
