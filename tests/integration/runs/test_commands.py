"""The commands of runs, as a person or a script calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from core.runs.events import append_event
from core.runs.folder import Run
from core.runs.state import queue_folder
from core.workspace import Workspace
from tests.integration.runs.conftest import MakeRun, wait_for

KEYS = {"id", "folder", "state", "step", "steps", "loss", "eval_loss", "peak_allocated_bytes"}
KEYS |= {"planned_peak_bytes"}


def tunedeck(workspace: Workspace, *arguments: str, status: int = 0, says: str = "") -> str:
    """Run one command in its own process; its stdout. `says` must stand on its stderr."""
    workspace.root.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tui.cli", "--workspace", str(workspace.root), *arguments],
        cwd=workspace.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    return done.stdout


def test_train_watch_runs_compare(workspace: Workspace, tiny_model: Path) -> None:
    workspace.root.mkdir()
    (workspace.root / "chat.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": f"Say {number}."},
                        {"role": "assistant", "content": f"I say {number}."},
                    ]
                }
            )
            for number in range(40)
        )
    )
    options = ["--model", str(tiny_model), "--data", "chat.jsonl", "--set", "model.dtype=float32"]
    options += ["--set", "training.gradient_checkpointing=false", "--set", "training.max_steps=2"]
    options += ["--set", "launch.devices=cpu", "--name", "First run!"]
    done = json.loads(tunedeck(workspace, "train", *options, "--wait", "--json"))
    assert done.keys() >= KEYS
    assert (done["state"], done["step"], done["steps"]) == ("done", 2, 2)
    assert done["id"].endswith("-first-run") and done["planned_peak_bytes"] > 100_000
    run = Run(Path(done["folder"]))
    assert {"recipe.toml", "run.json", "plan.json", "data", "adapter", "summary.json"} <= {
        file.name for file in run.folder.iterdir()
    }
    watched = json.loads(tunedeck(workspace, "watch", "first-run", "--json"))
    assert watched["loss"] == done["loss"]
    (listed,) = json.loads(tunedeck(workspace, "runs", "--json"))
    assert listed["id"] == done["id"]
    assert "first-run" in tunedeck(workspace, "runs")
    tunedeck(workspace, "note", "last", "the first one", "--tag", "keep")
    (listed,) = json.loads(tunedeck(workspace, "runs", "--json"))
    assert (listed["note"], listed["tags"]) == ("the first one", ["keep"])
    new = json.loads(
        tunedeck(workspace, "again", "last", "--set", "training.max_steps=1", "--wait", "--json")
    )
    assert (new["state"], new["steps"]) == ("done", 1)
    tunedeck(workspace, "remove", new["id"])
    comparison = json.loads(tunedeck(workspace, "compare", "last", "last", "--json"))
    assert comparison["differences"] == {} and len(comparison["runs"]) == 2
    assert Path(tunedeck(workspace, "remove", "last").strip()).parent == workspace.trash
    assert json.loads(tunedeck(workspace, "runs", "--json")) == []


def test_checkpoint_then_stop(make_run: MakeRun, workspace: Workspace) -> None:
    run = make_run("training.max_steps=100000", "training.scheduler=constant")
    from core.runs.launch import launch

    launch(run)
    wait_for(run, lambda state: state.step > 3)
    tunedeck(workspace, "checkpoint", run.id)
    state = wait_for(run, lambda state: state.checkpoint_step is not None)
    assert state.state == "running"
    stopped = json.loads(tunedeck(workspace, "stop", "last", "--json"))
    assert stopped["state"] == "stopped" and stopped["checkpoint_step"] == stopped["step"]
    assert (run.adapter / "adapter_model.safetensors").exists()
    assert tunedeck(workspace, "stop", "last", status=1) == ""

    on = json.loads(tunedeck(workspace, "resume", "last", "--json", says="ok    output"))
    assert on["id"] == run.id
    wait_for(run, lambda state: state.step > stopped["step"])
    assert tunedeck(workspace, "resume", "last", status=2, says="is running") == ""
    assert tunedeck(workspace, "stop", "last", "--kill", status=2, says="--yes kills without asking") == ""
    killed = json.loads(tunedeck(workspace, "stop", "last", "--kill", "--yes", "--json"))
    assert (killed["state"], killed["phase"]) == ("stopped", "killed")
    assert killed["what"].startswith("killed by ")
    (*_, asked) = json.loads(run.control.read_text())["requests"]
    assert asked["request"] == "kill" and asked["by"] in killed["what"] and asked["time"] > 0
    assert " killed " in tunedeck(workspace, "runs")


def test_what_is_not_there_is_told_as_check_tells_it(workspace: Workspace) -> None:
    for command in ("check", "train"):
        tunedeck(
            workspace, command, "--model", "demo", "--data", "missing.jsonl", status=2, says="missing.jsonl"
        )
        tunedeck(workspace, command, "--model", "demo", "--set", "training.micro_batch=0", status=2)
    elsewhere = Workspace(workspace.root / "not" / "yet")
    words = [sys.executable, "-P", "-m", "tui.cli", "--workspace", str(elsewhere.root), "runs"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert f"{elsewhere.root} does not exist yet" in done.stderr and not elsewhere.root.exists()


def test_a_waiting_run_is_taken_out_of_the_queue_and_back_from_the_trash(
    make_run: MakeRun, workspace: Workspace
) -> None:
    run = make_run(name="waits")
    append_event(run.folder, "status", state="queued", note="")
    (queue_folder(workspace.runs)).mkdir()
    (queue_folder(workspace.runs) / f"{1:020d} {run.id}").touch()
    stopped = json.loads(tunedeck(workspace, "stop", "waits", "--json"))
    assert (stopped["state"], stopped["what"]) == ("stopped", "taken out of the queue")
    tunedeck(workspace, "remove", "waits")
    assert json.loads(tunedeck(workspace, "runs", "--trash", "--json"))[0]["id"] == run.id
    assert json.loads(tunedeck(workspace, "restore", run.id, "--json"))["id"] == run.id
    assert json.loads(tunedeck(workspace, "runs", "--trash", "--json")) == []
