"""How many bytes the app sends to the terminal: idle, and with a live run of one event a second at 120x40.

    python benchmarks/terminal_bytes.py [--seconds 20] [--json FILE]

The app is the real one in a real pty. The run is a folder that this program appends to, one step event and
one log line a second, as a trainer does. Bars: 100 B/s idle, 3,000 B/s for the training dashboard.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import pexpect

from core.recipe import Recipe, recipe_text
from core.runs.events import append_event
from core.runs.identity import this_process

ROOT = Path(__file__).resolve().parents[1]
IDLE_BAR = 100
TRAINING_BAR = 3000
STEPS = 400
BEFORE = 100  # steps that are there when the measurement begins


def make_run(workspace: Path) -> Path:
    """A run folder that lives as long as this process."""
    folder = workspace / "runs" / "20260101-120000-bytes"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe_text(Recipe()))
    identity = {
        "id": folder.name,
        "created_seconds": time.time(),
        "process": this_process().to_json(),
        "recipe": {"model": "demo", "method": "lora", "data": "rows.jsonl"},
    }
    (folder / "run.json").write_text(json.dumps(identity))
    append_event(folder, "environment", steps=STEPS, planned_peak_bytes=13 * 2**30)
    append_event(folder, "status", state="running", note="")
    for step in range(1, BEFORE + 1):
        write_step(folder, step)
    return folder


def write_step(folder: Path, step: int) -> None:
    loss = 0.4 + 2.6 * math.exp(-step / 60) + 0.2 * math.sin(step * 1.7)
    append_event(
        folder, "step", step=step, steps=STEPS, epoch=3 * step / STEPS, loss=loss,
        learning_rate=2e-4 * (1 - step / STEPS), grad_norm=0.8 + 0.1 * math.sin(step), tokens=1500 * step,
        trained_tokens=500 * step, tokens_per_second=12_300 + 50 * math.sin(step), eta_seconds=float(STEPS - step),
        allocated_bytes=int((11 + math.sin(step)) * 2**30), peak_allocated_bytes=int(12.4 * 2**30),
    )  # fmt: skip
    with (folder / "log.txt").open("a") as log:
        log.write(f"2026-01-01 12:00:00,000 INFO tunedeck.train: step {step}/{STEPS} loss {loss:.4f}\n")


class App:
    """The app on a pty of 120x40."""

    def __init__(self, workspace: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        self.process = pexpect.spawn(
            sys.executable, ["-P", "-m", "tui.cli"], dimensions=(40, 120), cwd=str(workspace),
            env=environment, timeout=60,  # type: ignore[arg-type]
        )  # fmt: skip

    def read(self, seconds: float) -> int:
        """Bytes sent within that time."""
        sent, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                sent += len(self.process.read_nonblocking(1 << 16, timeout=left))
            except pexpect.TIMEOUT:
                break
        return sent


def idle_rate(seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        app = App(Path(folder))
        app.read(6)
        sent = app.read(seconds)
        app.process.close(force=True)
    return sent / seconds


def training_rate(seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder))
        app = App(Path(folder))
        app.read(6)
        sent = 0
        for second in range(seconds):
            write_step(run, BEFORE + 1 + second)
            sent += app.read(1)
        app.process.close(force=True)
    return sent / seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    idle, training = idle_rate(chosen.seconds), training_rate(chosen.seconds)
    print(f"idle      {idle:7.0f} B/s (bar {IDLE_BAR}): {'holds' if idle <= IDLE_BAR else 'FAILS'}")
    print(
        f"training  {training:7.0f} B/s (bar {TRAINING_BAR}): {'holds' if training <= TRAINING_BAR else 'FAILS'}"
    )
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"idle": idle, "training": training, "seconds": chosen.seconds}, indent=2)
        )


if __name__ == "__main__":
    main()
