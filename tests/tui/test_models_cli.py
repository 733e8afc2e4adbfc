"""`tunedeck models`: lists, cards and target counts, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tui.test_cli import HEAVY, call, modules_after
from tests.unit.models.model_folders import write_model


def test_a_list_a_search_and_a_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "mine")
    assert call("--workspace", str(tmp_path), "models", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["source"], one["id"]) for one in found] == [("demo", "demo"), ("folder", "mine")]
    assert call("--workspace", str(tmp_path), "models", "MINE") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["mine"]
    assert call("--workspace", str(tmp_path), "models", "--source", "demo") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["demo"]
    assert call("models", "--source", "moon") == 2


def test_an_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "a")
    write_model(tmp_path / "b", {"num_hidden_layers": 3})

    def order(by: str) -> list[str]:
        assert call("--workspace", str(tmp_path), "models", "--sort", by) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()]

    assert order("name") == ["a", "b", "demo"]
    assert order("size") == order("parameters") == ["demo", "b", "a"]
    assert call("models", "--sort", "likes") == 2
    assert "use found, name, size, used, parameters" in capsys.readouterr().err
    assert call("models", "--source", "hub", "--sort", "size") == 2
    assert "use downloads, likes, updated" in capsys.readouterr().err


def test_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "show", "demo") == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert call("models", "show", "demo", "--json") == 0
    shape = json.loads(capsys.readouterr().out)
    assert shape["family"] == "llama" and shape["template"]["system"] == "accepted"


def test_target_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(tmp_path / "m")
    arguments = ("models", "targets", str(folder), "--rank", "2", "--targets", "q_proj,v_proj", "--json")
    assert call(*arguments) == 0
    shape = json.loads(capsys.readouterr().out)
    assert shape["trainable"] == 2 * 2 * ((16 + 16) + (16 + 8))
    assert shape["total"] == 4_944 + shape["trainable"]
    assert shape["adapter_bytes"] == 4 * shape["trainable"]
    assert len(shape["modules"]) == 4


def test_errors_are_two_lines_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "show", "acme/not-here") == 4
    assert capsys.readouterr().err == (
        "tunedeck: acme/not-here: this model is not on this machine, and the Hub is switched off by HF_HUB_OFFLINE\n"
        "unset it to go online\n"
    )
    assert call("models", "targets", "demo", "--targets", "no_such_proj") == 2
    assert "q_proj, k_proj" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("models",), ("models", "show", "demo"), ("models", "targets", "demo")], ids=" ".join
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    assert modules_after(*arguments).isdisjoint({*HEAVY, "textual"})
