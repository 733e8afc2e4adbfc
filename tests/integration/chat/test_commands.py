"""`tunedeck chat` and `tunedeck evaluate` on an adapter folder, as a person calls them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tui import cli

ROWS = [
    {"messages": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sees a dog"}]},
    {"messages": [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "sees the cat"}]},
]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


@pytest.fixture
def workspace(tmp_path: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine").symlink_to(tiny_adapter)
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.setenv("TUNEDECK_WORKSPACE", str(tmp_path))
    return tmp_path


def test_chat_answers_with_base_and_tuned(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("chat", "mine", "--base", "--prompt", "the cat", "--max-tokens", "5", "--json") == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    base, tuned = printed["answers"]
    assert (base["who"], tuned["who"]) == ("base", "tuned")
    assert base["prompt_ids"] == tuned["prompt_ids"]
    assert (base["proof"]["active"], tuned["proof"]["active"]) == (False, True)
    assert base["ids"] != tuned["ids"]
    for answer in (base, tuned):
        assert answer["stop"] in ("eos", "length") and len(answer["ids"]) <= 5
        assert answer["first_token_seconds"] > 0


def test_chat_line_by_line(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "the cat\n/save talk.jsonl\n/reset\nthe cat\n/quit\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    monkeypatch.chdir(workspace)
    assert call("chat", "mine", "--max-tokens", "5", "--temperature", "0") == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first == second
    assert err.count("adapter default on") == 2
    saved = json.loads((workspace / "talk.jsonl").read_text())
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"]


def test_lines_edit_branch_and_load(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lines = (
        "/load old.jsonl 1\n/history\nand now\n/edit 2 the dog\n/branch 2\n/system Be brief.\n/system\n"
        "/set top_k 5\n/add mine\n/save new.jsonl\n/quit\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    monkeypatch.chdir(workspace)
    assert call("chat", "mine", "--max-tokens", "4", "--temperature", "0") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == ["1: the cat", "1: the cat"]
    assert "2 (branch 1 of 2): and now" in out.splitlines()
    assert "system: Be brief." in err and "system: none" in err
    assert "set here: temperature 0, top_k 5, max_tokens 4" in err
    rows = [json.loads(line)["messages"] for line in (workspace / "new.jsonl").read_text().splitlines()]
    assert [len(messages) for messages in rows] == [4, 4]
    assert rows[0][:3] == [*ROWS[0]["messages"], {"role": "user", "content": "and now"}]


def test_a_row_saved_again_is_replaced_and_another_branch_is_its_own(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = "/save mine.jsonl\n"
    lines = f"the cat\n{save}and now\n{save}/edit 2 the dog\n{save}/load mine.jsonl 1\nmore\n{save}/reset\nanew\n{save}"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    monkeypatch.chdir(workspace)
    assert call("chat", "mine", "--max-tokens", "4", "--temperature", "0") == 0
    saved = [json.loads(line)["messages"] for line in (workspace / "mine.jsonl").read_text().splitlines()]
    asked = [[each["content"] for each in row if each["role"] == "user"] for row in saved]
    assert asked == [["the cat", "and now", "more"], ["the cat", "the dog"], ["anew"]]
    said = [line for line in capsys.readouterr().err.splitlines() if "of mine.jsonl" in line]
    assert said == [
        "tuned is line 1 of mine.jsonl",
        "tuned is line 1 of mine.jsonl, as it is now",
        "tuned is line 2 of mine.jsonl",
        "tuned is line 1 of mine.jsonl, as it is now",
        "tuned is line 3 of mine.jsonl",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/load nothing.jsonl", "cannot be read"),
        ("/load held.jsonl 9", "there are 2 conversations"),
        ("/edit 1 x", "there is no prompt 1"),
        ("/retry", "nothing has been asked yet"),
        ("/set heat 1", "there is no heat"),
        ("/drop tuned", "the last column stays"),
        ("/save out.jsonl", "nothing has been answered yet"),
    ],
)
def test_lines_that_cannot_be_obeyed(
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    words: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
    monkeypatch.chdir(workspace)
    assert call("chat", "mine") != 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("chat", "mine", "--prompt", "x", "--with", "nothing"), 2, "no run nothing"),
        (("chat", "nothing", "--prompt", "x"), 2, "no run nothing"),
        (("chat", "mine", "--json"), 2, "add --prompt"),
        (("chat", "mine", "--prompt", "x", "--top-p", "2"), 2, "top_p = 2.0 is outside 0 to 1"),
        (("evaluate", "mine"), 2, "name a file with --data"),
        (
            ("evaluate", "mine", "--data", "held.jsonl", "--shots", "2"),
            2,
            "examples come from a run's training rows",
        ),
    ],
)
def test_wrong_calls(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert call(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err and "Traceback" not in err


def test_evaluate_on_a_file(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("evaluate", "mine", "--against", "base", "--data", "held.jsonl", "--max-tokens", "6")
    assert call(*asked, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["models"]) == {"tuned", "base"}
    for figures in printed["models"].values():
        assert figures["examples"] == 2 and figures["answers"] == 2
        assert figures["loss"] > 0 and figures["perplexity"] > 1
    assert printed["difference"]["loss"]["low"] <= printed["difference"]["loss"]["mean"]
    assert (Path(printed["folder"]) / "report.md").is_file()
