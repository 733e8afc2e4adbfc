"""How a run stands, read from its files alone, in about a millisecond."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.runs.checkpoints import newest as newest_checkpoint
from core.runs.events import newest_of_each_kind
from core.runs.folder import Run
from core.runs.identity import is_alive, is_here, process_from_json

State = Literal["starting", "running", "done", "stopped", "failed", "out_of_memory", "lost"]
ENDED: frozenset[str] = frozenset({"done", "stopped", "failed", "out_of_memory", "lost"})

HEARTBEAT_SECONDS = 5.0
# On another host only the heartbeat can be seen. Network file systems show a change after up to a minute.
SILENT_SECONDS = 90.0
NEWEST_BYTES = 32 * 1024  # of the events: some 70 steps


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as lists and screens show it. `None` is "not known (yet)"; losses are per trained token."""

    id: str
    folder: Path
    state: State
    step: int = 0
    steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    best_eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    peak_allocated_bytes: int | None = None  # of the accelerator; None on a CPU
    peak_rss_bytes: int | None = None  # of the trainer process on the host
    planned_peak_bytes: int | None = None
    checkpoint_step: int | None = None
    phase: str = ""  # the trainer's own word for what it does now: loading, running, saving, ...
    what: str = ""  # why it ended, in words
    fix: str = ""
    started: float | None = None  # seconds since the epoch
    updated: float | None = None
    seconds: float | None = None
    model: str = ""
    method: str = ""
    data: str = ""
    host: str = ""
    pid: int | None = None
    note: str = ""
    tags: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder), "tags": list(self.tags)}


def read_state(folder: Path) -> RunState:
    """How the run in this folder stands now. Never raises for a run that is half written."""
    run = Run(folder)
    identity = run.read_json(run.identity)
    events = newest_of_each_kind(folder, NEWEST_BYTES)
    newest = {event["kind"]: event for event in events}
    step = newest.get("step", {})
    evaluation = newest.get("eval", step)  # a step repeats the last evaluation
    state, what, fix = _state(run, identity, events)
    end = newest.get("end", {}) if state in ENDED else {}
    notes, known = run.read_json(run.notes), identity.get("recipe", {})
    started = identity.get("created_seconds")
    updated = events[-1]["time"] if events else started
    tags = notes.get("tags")
    return RunState(
        id=run.id,
        folder=folder,
        state=state,
        step=_first(end.get("step"), step.get("step"), 0),
        steps=_first(end.get("steps"), step.get("steps"), newest.get("environment", {}).get("steps")),
        epoch=step.get("epoch"),
        loss=_first(step.get("loss"), end.get("loss")),
        eval_loss=_first(evaluation.get("eval_loss"), end.get("eval_loss")),
        best_eval_loss=_first(evaluation.get("best_eval_loss"), end.get("best_eval_loss")),
        learning_rate=step.get("learning_rate"),
        tokens_per_second=step.get("tokens_per_second"),
        eta_seconds=None if state != "running" else step.get("eta_seconds"),
        peak_allocated_bytes=_first(end.get("peak_allocated_bytes"), step.get("peak_allocated_bytes")),
        peak_rss_bytes=_first(end.get("peak_rss_bytes"), step.get("peak_rss_bytes")),
        planned_peak_bytes=identity.get("planned_peak_bytes"),
        checkpoint_step=_checkpoint_step(run, newest),
        phase=newest.get("status", {}).get("state", ""),
        what=what,
        fix=fix,
        started=started,
        updated=updated,
        seconds=_first(end.get("seconds"), None if started is None else (updated or started) - started),
        model=str(known.get("model", "")),
        method=str(known.get("method", "")),
        data=str(known.get("data", "")),
        host=str((identity.get("process") or {}).get("host", "")),
        pid=(identity.get("process") or {}).get("pid"),
        note=str(notes.get("note", "")),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )


def _state(run: Run, identity: dict[str, Any], events: list[dict[str, Any]]) -> tuple[State, str, str]:
    """The state, and for an ended run why, in words, and what to do next."""
    last = next((event for event in reversed(events) if event["kind"] in ("end", "status")), None)
    if last is not None and last["kind"] == "end":
        error: dict[str, Any] = next((e for e in reversed(events) if e["kind"] == "error"), {})
        if last["state"] in ("done", "stopped"):
            return last["state"], str(last.get("note", "")), ""
        return last["state"], str(error.get("what", "")), str(error.get("fix", ""))
    if last is not None and last["state"] == "queued" and run.id in waiting_ids(run.folder.parent):
        return "starting", "", ""
    if _lives(run, identity):
        # The words of the start are far behind in a long run; its steps speak for it.
        at_work = any(event["kind"] == "step" for event in events)
        phase = last["state"] if last is not None else "running" if at_work else "starting"
        return ("starting" if phase in ("starting", "loading", "probing") else "running"), "", ""
    summary = run.read_json(run.summary)
    if summary.get("state") in ENDED:  # the disk refused the last events, but not the summary
        return summary["state"], str(summary.get("note", "")), ""
    if last is not None and last["state"] == "stopping":
        return "stopped", "it ended while stopping, before all was saved", f"tunedeck resume {run.id}"
    return (
        "lost",
        "the trainer is gone without a last word: killed, out of host memory, or a reboot",
        (f"see {run.log.name}; tunedeck resume {run.id} goes on from the last checkpoint"),
    )


def _checkpoint_step(run: Run, newest: dict[str, dict[str, Any]]) -> int | None:
    if "checkpoint" in newest:
        return int(newest["checkpoint"]["step"])
    whole = newest_checkpoint(run)
    return whole.step if whole else None


def queue_folder(runs: Path) -> Path:
    """Where the queue of a workspace lies, beside its runs."""
    return runs / ".queue"


def waiting_ids(runs: Path) -> list[str]:
    """Ids of the runs that wait for their turn, in their order."""
    try:
        names = sorted(entry.name for entry in queue_folder(runs).iterdir())
    except OSError:
        return []
    return [name.partition(" ")[2] for name in names if " " in name]


def _lives(run: Run, identity: dict[str, Any]) -> bool:
    process = process_from_json(identity.get("process"))
    if process is None:
        return False
    if is_here(process):
        return is_alive(process)
    try:
        return time.time() - run.heartbeat.stat().st_mtime < SILENT_SECONDS
    except OSError:
        return False


def _first(*values: Any) -> Any:
    """The first value that is known."""
    return next((value for value in values if value is not None), None)
