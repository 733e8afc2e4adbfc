"""`tunedeck show` and `tunedeck prepare` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tui.commands.all import app

CHAT = {
    "messages": [
        {"role": "user", "content": "Say: He sees a dog."},
        {"role": "assistant", "content": "A dog, he sees."},
    ]
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps(CHAT) + "\n" + json.dumps(CHAT).replace("dog", "cat"))
    return path


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None, result.exception
    return result.stdout


def test_show_marks_what_is_trained(data: Path) -> None:
    lines = run("show", "--data", data, "--row", "1").splitlines()
    assert lines[-4:] == [
        "user       <|im_start|>user⏎",
        "           Say: He sees a cat.<|im_end|>⏎",
        "assistant  <|im_start|>assistant⏎",
        "           ⟦A cat, he sees.<|im_end|>⟧⏎",
    ]


def test_show_prints_the_documented_json(data: Path) -> None:
    document = json.loads(run("show", "--data", data, "--json"))
    assert document["row"] == 0
    assert document["text"].endswith("A dog, he sees.<|im_end|>\n")
    assert len(document["input_ids"]) == len(document["labels"]) == len(document["tokens"])
    last = document["tokens"][-2]
    assert (last["text"], last["part"], last["role"], last["message"]) == (
        "<|im_end|>",
        "stop",
        "assistant",
        1,
    )
    assert last["label"] == last["id"]
    assert document["text"][slice(*last["span"])] == "<|im_end|>"
    assert {"id", "text", "label", "role", "message", "part", "reason", "span"} == set(last)


def test_show_compares_two_modes(data: Path) -> None:
    lines = run("show", "--data", data, "--compare", "all").splitlines()
    assert lines[0].startswith("left:  loss on assistant")
    assert lines[1].startswith("right: loss on all")
    trained = json.loads(run("show", "--data", data, "--json"))["labels"]
    masked = sum(label == -100 for label in trained)
    assert lines[-1] == f"{masked} of {len(trained)} tokens differ"


def test_max_length_cuts_and_says_so(data: Path) -> None:
    text = run("show", "--data", data, "--max-length", "20", "--ids")
    assert "tokens lie past max_length" in text
    assert "cut off: past max_length 20" in text


def test_prepare_prints_the_documented_json(data: Path, tmp_path: Path) -> None:
    document = json.loads(
        run("prepare", "--data", data, "--set", "data.eval_fraction=0.0", "--out", tmp_path / "out", "--json")
    )
    assert document["rows"] == document["examples"] == 2
    assert document["folder"] == str(tmp_path / "out" / "train")
    assert set(document["seconds"]) == {"render", "encode", "label", "write", "total"}
    assert document["cached"] is False
    again = json.loads(
        run("prepare", "--data", data, "--set", "data.eval_fraction=0.0", "--out", tmp_path / "out", "--json")
    )
    assert again["cached"] is True
    assert again["tokens"] == document["tokens"]
