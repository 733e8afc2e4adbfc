"""`tunedeck show` and `tunedeck prepare` from the command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import TunedeckError
from tui.commands.all import app

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"
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


def test_prepare_ends_with_what_it_knows(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    rows = [CHAT, {}, {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": "Hi"}]}]
    source.write_text("\n".join(map(json.dumps, rows)))
    lines = run(
        "prepare", "--data", source, "--set", "data.eval_fraction=0.0", "--out", tmp_path / "out"
    ).splitlines()
    assert lines[0].startswith("1 of 4 rows to train on")
    assert lines[-1] == "3 errors, 0 warnings in preparing; tunedeck check looks at every row for more"


def test_a_batch_is_shown_without_words_of_libraries(data: Path) -> None:
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.setLevel(logging.NOTSET)
    run("show", "--data", data, "--set", "data.eval_fraction=0.0", "--batch", "0")
    assert not logger.isEnabledFor(logging.WARNING)


def test_a_batch_holds_the_tensors_of_the_trainer(data: Path) -> None:
    settings = ["--data", data, "--set", "data.eval_fraction=0.0", "--set", "training.micro_batch=2"]
    document = json.loads(run("show", *settings, "--batch", "0", "--json"))
    assert {"input_ids", "labels", "attention_mask"} <= set(document["tensors"])
    rows = [owner for (owner,) in document["rows"]]
    assert sorted(rows) == [0, 1] and (document["number"], document["batches"]) == (0, 1)
    for line, row in enumerate(rows):
        alone = json.loads(run("show", *settings, "--row", str(row), "--json"))
        length = len(alone["input_ids"])
        assert document["tensors"]["input_ids"][line][:length] == alone["input_ids"]
        assert document["tensors"]["labels"][line][:length] == alone["labels"]
        assert sum(document["tensors"]["attention_mask"][line]) == length
    lines = run("show", *settings, "--batch", "0").splitlines()
    assert lines[0] == "batch 0 of 1 in epoch 0, drawn as the trainer draws it"
    assert lines[1].startswith(f"{document['places']} places, {document['real_tokens']} tokens, ")
    assert "  ⟦A cat, he sees.<|im_end|>⟧⏎" in lines
    shape = f"[2, {document['places'] // 2}]"
    assert f"input_ids: int64 {shape}" in lines and any("more ..." in line for line in lines)
    whole = run("show", *settings, "--batch", "0", "--ids").splitlines()
    assert "  " + " ".join(map(str, document["tensors"]["labels"][0])) in whole


def test_packs_show_their_boundaries(data: Path) -> None:
    settings = [
        "--data",
        data,
        "--set",
        "data.eval_fraction=0.0",
        "--set",
        'data.packing="bfd"',
        "--max-length",
        "128",
    ]
    document = json.loads(run("show", *settings, "--batch", "0", "--json"))
    lengths = document["tensors"]["cu_seq_lens_q"]
    assert len(lengths) == 3 and lengths[-1] == document["real_tokens"] == document["places"]
    assert document["tensors"]["position_ids"][0][lengths[1]] == 0
    text = run("show", *settings, "--batch", "0")
    assert "0% padding, padding-free" in text and f"places {lengths[1]} to {lengths[2] - 1}" in text


def test_a_batch_that_does_not_exist(data: Path) -> None:
    result = CliRunner().invoke(app, ["show", "--data", str(data), "--batch", "9"])
    assert isinstance(result.exception, TunedeckError) and result.exception.exit_code == 2
    assert "there is no batch 9" in result.exception.what


def test_two_templates_beside_each_other(data: Path, tmp_path: Path) -> None:
    own = (DEMO / "chat_template.jinja").read_text()
    (tmp_path / "other.jinja").write_text("{{ 'Listen. ' }}" + own)
    lines = run("show", "--data", data, "--compare", str(tmp_path / "other.jinja")).splitlines()
    assert lines[0].startswith("left:  loss on assistant, template: the model's own")
    assert lines[1].startswith(f"right: loss on assistant, template: {tmp_path / 'other.jinja'}")
    assert any(line.startswith("*") and line.split()[1] == "-" for line in lines)
    assert "None" not in "\n".join(lines)


@pytest.mark.parametrize(
    "command", [["check"], ["show"], ["show", "--batch", "0"], ["prepare"], ["train", "--yes"]]
)
def test_a_missing_source_or_a_wrong_recipe_is_exit_code_2(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "source.toml").write_text('[data]\nsource = "none.jsonl"\n')
    (tmp_path / "key.toml").write_text('[dat]\nsource = "none.jsonl"\n')
    (tmp_path / "format.toml").write_text('[data]\nformat = "mesages"\n')
    for name in ("source.toml", "key.toml", "format.toml", "missing.toml"):
        result = CliRunner().invoke(app, ["--workspace", str(tmp_path), *command, str(tmp_path / name)])
        assert isinstance(result.exception, TunedeckError), (name, result.output)
        assert result.exception.exit_code == 2, name
