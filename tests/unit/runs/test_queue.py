"""The order of the queue is the order of its entries' names; one rename moves a run."""

from __future__ import annotations

from pathlib import Path

from core.runs.folder import Run
from core.runs.queue import move, waiting
from core.workspace import Workspace


def test_runs_move_within_the_queue(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    entries = workspace.runs / ".queue"
    entries.mkdir(parents=True)
    for number, name in enumerate("abc", start=1):
        (entries / f"{number * 1000:020d} {name}").touch()

    def order() -> str:
        return "".join(run.id for run in waiting(workspace))

    def moved(name: str, places: int) -> bool:
        return move(workspace, Run(workspace.runs / name), places)

    assert moved("c", -1) and order() == "acb"
    assert moved("c", -1) and order() == "cab"
    assert not moved("c", -1) and order() == "cab"
    assert moved("c", +2) and order() == "abc"
    assert not moved("c", +1) and not moved("x", -1)


def test_a_workspace_without_a_queue_has_nothing_to_move(tmp_path: Path) -> None:
    assert not move(Workspace(tmp_path), Run(tmp_path / "runs" / "a"), 1)
