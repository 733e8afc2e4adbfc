"""Events survive what a disk can do to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from core.runs.events import EventWriter, append_event, newest_of_each_kind, read_events
from core.runs.folder import new_run
from core.runs.identity import this_process
from core.runs.state import read_state
from core.workspace import Workspace


def test_a_torn_line_never_swallows_the_next_event(tmp_path: Path) -> None:
    append_event(tmp_path, "status", state="loading")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')
    append_event(tmp_path, "step", step=2)
    events, offset = read_events(tmp_path)
    assert [(event["kind"], event.get("step")) for event in events] == [("status", None), ("step", 2)]
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    append_event(tmp_path, "step", loss=float("nan"), nested={"norm": [float("inf"), 1.5]})
    event = read_events(tmp_path)[0][0]
    assert event["loss"] is None and event["nested"] == {"norm": [None, 1.5]}


def test_the_newest_of_each_kind_come_from_the_end_of_the_file(tmp_path: Path) -> None:
    append_event(tmp_path, "status", state="running")
    for step in range(1000):
        append_event(tmp_path, "step", step=step)
        if step == 990:
            append_event(tmp_path, "sample", answer='{"kind": "end", "state": "done"}')
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind": "step", "step": 1000')
    found = newest_of_each_kind(tmp_path, 2000)
    assert [event["kind"] for event in found] == ["sample", "step"]
    assert found[-1]["step"] == 999
    assert [event["kind"] for event in newest_of_each_kind(tmp_path, 10**6)] == ["status", "sample", "step"]
    assert newest_of_each_kind(tmp_path / "none", 10) == []


def test_a_long_run_is_running_though_its_first_words_are_far_behind(tmp_path: Path) -> None:
    run = new_run(Workspace(tmp_path), "long")
    run.recipe.write_text("")
    run.identity.write_text(json.dumps({"process": this_process().to_json()}))
    append_event(run.folder, "status", state="running")
    append_event(run.folder, "checkpoint", step=3, path="checkpoints/checkpoint-3", bytes=1, verified=True)
    for step in range(2000):
        append_event(run.folder, "step", step=step, steps=5000, loss=1.0, eval_loss=1.5, best_eval_loss=1.25)
    state = read_state(run.folder)
    assert (state.state, state.step, state.eval_loss, state.best_eval_loss) == ("running", 1999, 1.5, 1.25)


def test_what_a_full_disk_refuses_is_written_once_it_accepts_again(tmp_path: Path) -> None:
    """The limit on file size stands for a full disk: a write is cut short, the next is refused."""
    code = f"""
import resource, signal
from pathlib import Path
from core.runs.events import EventWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = EventWriter(Path({str(tmp_path)!r}))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
assert writer.write("step", step=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
assert not writer.write("step", step=2, text="x" * 60) and writer.problem
assert not writer.write("step", step=3)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert writer.write("step", step=4) and not writer.problem
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=30)
    assert [event["step"] for event in read_events(tmp_path)[0]] == [1, 2, 3, 4]


def test_a_folder_that_is_gone_keeps_the_events_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "gone")
    assert not writer.write("step", step=1)
    (tmp_path / "gone").mkdir()
    assert writer.write("step", step=2)
    assert [event["step"] for event in read_events(tmp_path / "gone")[0]] == [1, 2]
