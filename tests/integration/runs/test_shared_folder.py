"""Two programs on one workspace, and a folder that cannot be written to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runs.control import Request, read_requests, request
from core.runs.find import find_runs
from core.runs.folder import Run, new_run, open_run
from core.workspace import Workspace
from tests.integration.runs.conftest import MakeRun

ROOT = Path(__file__).resolve().parents[3]


def test_many_programs_start_runs_in_one_second(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    code = "import sys; from pathlib import Path; from core.workspace import Workspace; from core.runs.folder import new_run\n"
    code += "[print(new_run(Workspace(Path(sys.argv[1])), 'same').id) for _ in range(10)]"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    ids = [line for program in programs for line in program.communicate(timeout=60)[0].split()]
    assert len(ids) == len(set(ids)) == 30
    assert {folder.name for folder in workspace.runs.iterdir()} == set(ids)


def test_requests_of_two_programs_are_both_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    asked: list[Request] = []

    def ask() -> None:
        asked.extend(request(run, "checkpoint") for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.id for entry in read_requests(run)} == {entry.id for entry in asked}
    assert len(asked) == 80


def test_a_run_is_found_by_what_a_person_types(make_run: MakeRun, workspace: Workspace) -> None:
    first, second = make_run(name="alpha"), make_run(name="beta")
    assert open_run(workspace, "alpha") == first
    assert open_run(workspace, first.id) == first
    assert open_run(workspace, str(second.folder)) == second
    assert open_run(workspace, "last") == Run(max(first.folder, second.folder))
    from core.errors import UsageError

    with pytest.raises(UsageError, match="fits 2 runs"):
        open_run(workspace, first.id[:8])
    with pytest.raises(UsageError, match="no run gamma"):
        open_run(workspace, "gamma")


def test_a_hundred_runs_are_listed_in_milliseconds(make_run: MakeRun, workspace: Workspace) -> None:
    import time

    run = make_run()
    with run.events.open("w") as events:
        for step in range(5000):
            events.write(f'{{"kind": "step", "time": 1, "step": {step}, "steps": 5000, "loss": 1.0}}\n')
        events.write('{"kind": "end", "time": 2, "state": "done", "step": 5000}\n')
    for number in range(99):
        copy = new_run(workspace, f"copy-{number}")
        for name in ("run.json", "recipe.toml", "events.jsonl"):
            shutil.copy2(run.folder / name, copy.folder / name)
    started = time.perf_counter()
    found = find_runs(workspace)
    seconds = time.perf_counter() - started
    assert len(found) == 100 and {state.state for state in found} == {"done"}
    assert seconds < 2.0  # 20 ms each at the very worst; 1 to 3 on a quiet machine


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_run_can_be_read_and_says_why_it_cannot_start(
    make_run: MakeRun, open_folder: Path
) -> None:
    run = make_run()
    workspace = open_folder / "work"
    shutil.copytree(run.folder, workspace / "runs" / run.id)
    for path in [*workspace.rglob("*"), workspace]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = f"""
import ctypes, os
from pathlib import Path
import core.memory.devices, core.runs.launch, psutil
from core.errors import TunedeckError
from core.runs import control, find, folder, launch, state
from core.runs.events import EventWriter
from core.workspace import Workspace
os.environ["HOME"] = "/nonexistent"
if os.getuid() == 0:  # stay the owner of the interpreter's files, but give up root's right to write anywhere
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
workspace = Workspace(Path({str(workspace)!r}))
(found,) = find.find_runs(workspace)
run = folder.Run(found.folder)
for attempt in (lambda: launch.launch(run), lambda: control.request(run, "stop"), lambda: folder.new_run(workspace, "x")):
    try:
        attempt()
    except TunedeckError as error:
        assert "Permission denied" in error.what, error
    else:
        raise AssertionError("that should not have worked")
writer = EventWriter(run.folder)
assert not writer.write("step", step=1) and writer.problem == "Permission denied"
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
