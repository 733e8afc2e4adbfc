"""`tunedeck merge` and `tunedeck export` as a person calls them, through the workshop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui import cli


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


@pytest.fixture
def workspace(tmp_path: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine").symlink_to(tiny_adapter)
    monkeypatch.setenv("TUNEDECK_WORKSPACE", str(tmp_path))
    return tmp_path


def test_merge_then_export_the_merged_model(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("merge", "mine", "--out", "merged", "--dtype", "float32", "--json") == 0
    merged = json.loads(capsys.readouterr().out)
    assert merged["folder"] == str(workspace / "merged")
    assert merged["checks"][0]["max_difference"] < 1e-3
    assert call("export", "gguf", "merged", "--type", "f32", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert Path(made["file"]) == workspace / "exports" / "merged.f32.gguf"
    assert made["checks"][0]["same_choice"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("merge", "demo"), 2, "there is no adapter to merge"),
        (("export", "gguf", "mine", "--type", "q2"), 2, "q2 is no type that is known here"),
        (("export", "pdf", "mine"), 2, "there is no export pdf"),
        (("export", "adapter", "demo"), 2, "there is no adapter here"),
        (("export", "script", "nothing"), 2, "no run nothing"),
        (("export", "hub", "mine", "--to", "me/x"), 4, "switched off by HF_HUB_OFFLINE"),
    ],
)
def test_wrong_calls(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert call(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err and "Traceback" not in err
