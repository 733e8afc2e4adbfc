"""Run folders for the screen's tests: real files in the real layout, with times that stand still."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from core.recipe import Recipe, recipe_text, with_changes
from core.runs.identity import this_process

STARTED = 1_700_000_000.0


def make_run(
    root: Path,
    name: str = "20260101-120000-yoda",
    *,
    steps: int = 400,
    done: int = 132,
    state: str = "running",
    log: str | None = None,
    extra: list[dict[str, Any]] | None = None,
    changes: dict[str, Any] | None = None,
    note: str = "",
) -> Path:
    """A run in `root/runs` that has done so many steps; "running" is alive as this test process."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe_text(with_changes(Recipe(), changes or {})))
    identity = {
        "id": name,
        "created_seconds": STARTED,
        "process": this_process().to_json() if state == "running" else None,
        "recipe": {"model": "demo", "method": "lora", "data": "yoda.jsonl"},
        "planned_peak_bytes": 13 * 2**30,
    }
    (folder / "run.json").write_text(json.dumps(identity))
    events: list[dict[str, Any]] = [
        {"kind": "status", "state": "loading", "note": ""},
        {
            "kind": "environment",
            "steps": steps,
            "planned_peak_bytes": 13 * 2**30,
            "device": "cpu",
            "trainable": 1,
            "total": 100,
        },
        {"kind": "status", "state": "running", "note": ""},
    ]
    events += [step_event(step, steps) for step in range(1, done + 1)]
    events += [{"kind": "eval", "step": at, "eval_loss": loss_at(at) + 0.1} for at in range(50, done + 1, 50)]
    events += [
        {"kind": "checkpoint", "step": 100, "path": "checkpoints/100", "bytes": 10, "verified": True}
    ] * (done >= 100)
    events += extra or []
    if state not in ("running", "lost"):
        events.append(
            {"kind": "end", "state": state, "step": done, "steps": steps, "seconds": 3.0 * done, "note": note}
        )
    append(folder, events, first_second=0.0)
    lines = [f"step {step}: loss {loss_at(step):.4f}" for step in range(1, done + 1)]
    (folder / "log.txt").write_text(log if log is not None else "\n".join(lines) + "\n")
    return folder


def append(folder: Path, events: list[dict[str, Any]], first_second: float) -> None:
    """Add events, three seconds apart."""
    with (folder / "events.jsonl").open("a") as file:
        for number, event in enumerate(events):
            file.write(json.dumps({"time": STARTED + first_second + 3 * number, **event}) + "\n")


def loss_at(step: int) -> float:
    """A loss that falls and jitters, the same every time."""
    return 0.4 + 2.6 * math.exp(-step / 60) + 0.15 * math.sin(step * 1.7) * math.exp(-step / 200)


def step_event(step: int, steps: int = 400) -> dict[str, Any]:
    return {
        "kind": "step",
        "step": step,
        "steps": steps,
        "epoch": 3 * step / steps,
        "loss": loss_at(step),
        "learning_rate": 2e-4 * (1 - step / steps),
        "grad_norm": 0.8 + 0.1 * math.sin(step),
        "tokens": 1500 * step,
        "trained_tokens": 500 * step,
        "tokens_per_second": 12_300,
        "eta_seconds": 3 * (steps - step),
        "utilisation": 97,
        "power_watts": 412.3,
        "temperature": 61,
        "allocated_bytes": int(11.2 * 2**30),
        "reserved_bytes": int(12.9 * 2**30),
        "peak_allocated_bytes": int(12.4 * 2**30),
    }
