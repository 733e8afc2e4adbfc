"""The workspace, and writes that are never seen half done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UsageError
from core.workspace import find_workspace, write_atomically, write_json_atomically


def test_the_named_folder_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEDECK_WORKSPACE", str(tmp_path / "from-environment"))
    assert find_workspace(tmp_path / "named").root == tmp_path / "named"
    assert find_workspace().root == tmp_path / "from-environment"


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("x")
    with pytest.raises(UsageError, match="the workspace is a file"):
        find_workspace(file)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run.json"
    write_json_atomically(target, {"a": 1})

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, "new")
    assert target.read_text() == '{\n  "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
