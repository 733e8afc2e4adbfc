"""`tunedeck check`: what it prints, and exit codes a pipeline can rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui import cli

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("rows", "fail_on", "code"),
    [
        ([GOOD], "warning", 0),
        ([GOOD, GOOD], "error", 0),
        ([GOOD, GOOD], "warning", 1),
        ([GOOD, {"a": 1}], "error", 1),
    ],
)
def test_exit_codes(tmp_path: Path, rows: list, fail_on: str, code: int) -> None:
    source = write(tmp_path / "rows.jsonl", *rows)
    assert call("check", "--model", "demo", "--data", source, "--fail-on", fail_on) == code


def test_json_holds_the_documented_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "rows.jsonl", GOOD, GOOD)
    assert call("check", "--model", "demo", "--data", source, "--set", "data.eval_fraction=0", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {
        "rows", "examples", "eval_examples", "tokens", "trained_tokens", "engine", "seconds", "findings", "lengths", "before_cut", "cut", "histogram", "sequences", "steps", "steps_per_epoch", "cached",
    }  # fmt: skip
    assert (document["rows"], document["examples"], document["findings"][0]["code"]) == (
        2,
        2,
        "duplicate-row",
    )
    assert set(document["findings"][0]) == {"code", "severity", "count", "scope", "rows", "cause", "fix"}
    assert document["lengths"]["p50"] > 0


def test_text_names_rows_cause_and_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "rows.jsonl", GOOD, {"messages": [{"role": "user", "content": "\x1b[31mHi"}]})
    assert call("check", "--model", "demo", "--data", source) == 1
    out = capsys.readouterr().out
    assert (
        "✗ error no-answer: 1 row\n  not trained: the conversation has no answer\n  fix: take these rows out"
        in out
    )
    assert "  row 1\n" in out and "\x1b" not in out


def test_a_source_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", "--model", "demo", "--data", "nowhere.jsonl") == 2
    assert "no such data source" in capsys.readouterr().err
