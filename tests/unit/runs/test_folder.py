"""Which run is meant by what a person types."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from core.runs.events import append_event
from core.runs.folder import PREPARED, open_run
from core.runs.shelf import bring_back
from core.runs.state import read_state
from core.workspace import Workspace
from tui.commands.run_lines import word_of


def put(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text("")
    (folder / "run.json").write_text("{}")
    return folder


def prepare(folder: Path) -> None:
    append_event(folder, "status", state=PREPARED, note="")
    append_event(folder, "end", state="stopped", note="not started yet", step=0)


def test_last_is_the_newest_run_that_was_started(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    older, newer = put(workspace.runs, "20260101-000000-a"), put(workspace.runs, "20260102-000000-b")
    append_event(older, "status", state="loading", note="")
    prepare(newer)
    assert open_run(workspace, "last").folder == older
    assert word_of(read_state(newer)) == "prepared"
    append_event(newer, "status", state="loading", note="")  # on a node
    assert open_run(workspace, "last").folder == newer
    assert word_of(read_state(newer)) != "prepared"


def test_where_every_run_is_only_prepared_it_is_said_how_one_starts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    prepare(put(workspace.runs, "20260102-000000-b"))
    with pytest.raises(UsageError, match="no run was started yet"):
        open_run(workspace, "last")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_no_run(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    put(workspace.runs, "20260101-000000-a")
    put(workspace.trash, "20260101-000001-b")
    for find in (open_run, bring_back):
        with pytest.raises(UsageError, match="name a run"):
            find(workspace, name)


@pytest.mark.parametrize("name", ["20260101-000000-a", "20260101", "-a"])
def test_a_removed_run_comes_back_by_the_start_or_end_of_its_id(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    put(workspace.trash, "20260101-000000-a")
    put(workspace.trash, "20260202-000000-b")
    workspace.runs.mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match="fits 2 runs"):
        bring_back(workspace, "2026")
    assert bring_back(workspace, name).id == "20260101-000000-a"
    with pytest.raises(UsageError, match="no run 20260101"):
        bring_back(workspace, "20260101")
