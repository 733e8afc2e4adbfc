"""What a run says when it ends: its figures, and after an error the cause and the remedy."""

from __future__ import annotations

import time
from typing import Any

import torch

from core.errors import TunedeckError
from core.runs.diagnose import diagnose
from core.runs.events import EventWriter
from core.runs.folder import Run
from core.runs.follow import last_log_lines
from core.runs.out_of_memory import levers_of
from core.train import measure
from core.train.reporter import Reporter


def last_figures(reporter: Reporter | None, started: float) -> dict[str, Any]:
    """What the last event says of a run, also of one that failed early."""
    measure.METER.leave()  # a run that ended in the middle of a phase knows in which
    figures: dict[str, Any] = {
        "seconds": round(time.monotonic() - started, 2),
        **measure.of_the_run(),
        "phases": measure.METER.found,
    }
    if reporter is not None:
        state = reporter.trainer.state
        figures |= {
            "step": state.global_step,
            "steps": state.max_steps,
            "loss": reporter.loss,
            "eval_loss": reporter.eval_loss,
            "best_eval_loss": reporter.best_eval_loss,
        }
    return figures


def report_error(run: Run, events: EventWriter, error: Exception, state: str) -> None:
    """The error event: cause and remedy in words, from the exception and the log around it."""
    known = None
    if not isinstance(error, TunedeckError):
        known = diagnose(f"{last_log_lines(run.log)}\n{error}")
    what = error.what if isinstance(error, TunedeckError) else f"{type(error).__name__}: {error}"
    fix = error.fix if isinstance(error, TunedeckError) else f"the traceback is in {run.log}"
    if known is not None:
        what, fix = f"{known.cause} ({what})", known.remedy
    values: dict[str, Any] = {"what": what, "fix": fix, "type": type(error).__name__}
    if rows := getattr(error, "rows", None):
        values["rows"] = rows
    if state == "out_of_memory":
        found = levers_of(run)
        values["levers"] = [lever.to_json() for lever in found]
        if found:
            settings = " ".join(f"--set {key}={value}" for key, value in found[0].changes.items())
            values["fix"] = f"{found[0].name}: tunedeck again {run.id} {settings}"
    # Any rank may be the one that knows; its word is not left to the first.
    EventWriter(run.folder).write("error", **values)
    if state == "out_of_memory" and torch.cuda.is_available():
        (run.folder / "memory_summary.txt").write_text(torch.cuda.memory_summary(), encoding="utf-8")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the accelerator's or the host's memory was not enough."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "DefaultCPUAllocator: can't allocate memory" in text)
    )
