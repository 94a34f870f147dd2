"""Answers: `answers` grades and groups them for the majority vote; `endings` finds a text's; `quantities`."""
