"""Every row of the troubled file gets the finding it was made for, and the good rows get none."""

from __future__ import annotations

import json

import pytest

from core.data.check import check
from core.demo import paths
from core.recipe import parse_recipe

pytestmark = pytest.mark.xdist_group("troubled")  # its fixture is dear: made once, in one worker

RECIPE = """
[data]
source = "demo/troubled.jsonl"
eval_source = "demo/yoda_held_out.jsonl"
max_length = 256
"""

# The field "trouble" of a row, and the finding that names the row. Of a pair the later row is named.
EXPECTED = {
    "no messages at all": "no-messages",
    "messages is not a list": "wrong-type",
    "missing answer: ends on the user": "no-answer",
    "empty answer": "empty-answer",
    "answer of blanks only": "empty-answer",
    "over-long: the answer is cut": "answer-cut",
    "over-long: the prompt alone fills max_length": "cut-before-answer",
    "system message that the template refuses: not the first": "system-refused",
    "role order broken: the assistant speaks first": "role-order",
    "consecutive same role: two users": "same-role-twice",
    "consecutive same role: two assistants": "same-role-twice",
    "unknown role": "odd-role",
    "special token typed in the content": "special-in-content",
    "whole turn smuggled in": "special-in-content",
    "marker that is no special token": "looks-special",
    "mojibake": "mojibake",
    "replacement character": "replacement-character",
    "lone surrogate": "lone-surrogate",
    "NUL": "control-character",
    "decomposed accent (NFC changes it)": "normalised",
    "zero-width and right-to-left marks": "invisible-character",
    "escape codes and markup": "control-character",
    "tools that the template ignores": "tools-ignored",
    "tool call and tool result": "tool-call-dropped",
    "null tool argument": "null-argument",
    "content is null": "empty-answer",
    "content is a number": "wrong-type",
    "thinking that the template drops": "thinking-dropped",
    "answer with train = false": "flags-unused",
    "duplicate": "duplicate-row",
    "one prompt, two answers": "prompt-answered-twice",
    "one prompt, two answers: nearly the same": "prompt-answered-twice",
    "leak: also in yoda_held_out.jsonl": "eval-leak",
    "mixed formats: Alpaca": "mixed-formats",
    "mixed formats: ShareGPT": "mixed-formats",
    "mixed formats: prompt and completion": "mixed-formats",
    "mixed formats: text": "mixed-formats",
    "unknown columns": "unknown-columns",
}
READ_AS_THEY_ARE = {"typed content parts"}  # they become text


@pytest.fixture(scope="module")
def codes() -> dict[int, set[str]]:
    """Codes of the findings of each row."""
    report = check(parse_recipe(RECIPE), paths.MODEL)
    found: dict[int, set[str]] = {}
    for finding in report.findings:
        for row in finding.rows:
            found.setdefault(row, set()).add(finding.code)
    return found


def test_every_trouble_is_found(codes: dict[int, set[str]]) -> None:
    last = {trouble: row for row, trouble in enumerate(_troubles())}
    assert {
        trouble: EXPECTED[trouble] in codes.get(last[trouble], set()) for trouble in EXPECTED
    } == dict.fromkeys(EXPECTED, True)


def test_lines_that_are_no_rows_are_found(codes: dict[int, set[str]]) -> None:
    assert (codes[6], codes[7]) == ({"unreadable-row"}, {"unknown-format"})


def test_good_rows_have_no_finding(codes: dict[int, set[str]]) -> None:
    assert [codes.get(row) for row, trouble in enumerate(_troubles()) if trouble == ""] == [None] * 6


def test_every_trouble_of_the_file_is_expected() -> None:
    unreadable = {"bad JSON line", "a JSON line that is no object"}
    assert set(_troubles()) - {""} - unreadable == set(EXPECTED) | READ_AS_THEY_ARE


def _troubles() -> list[str]:
    """The field of every line; for the two that have none, what they are."""
    troubles = []
    for line in paths.TROUBLED.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            troubles.append("bad JSON line")
            continue
        troubles.append(row["trouble"] if isinstance(row, dict) else "a JSON line that is no object")
    return troubles
