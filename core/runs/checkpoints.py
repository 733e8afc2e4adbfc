"""Checkpoints of a run: written elsewhere, read back, then renamed; so one that can be seen is whole."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from core.runs.folder import Run
from core.workspace import write_json_atomically

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"  # the trainer writes into this folder; nothing in it is ever chosen
SEAL = "tunedeck.json"  # written last, once everything was read back


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One whole, verified checkpoint."""

    path: Path
    step: int
    bytes: int
    eval_loss: float | None


def checkpoints(run: Run) -> list[Checkpoint]:
    """Every whole checkpoint of a run, lowest step first. Half-written ones are not in the list."""
    found = []
    for folder in run.checkpoints.glob(f"{PREFIX}*"):
        try:
            seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
            found.append(Checkpoint(folder, int(seal["step"]), int(seal["bytes"]), seal.get("eval_loss")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def newest(run: Run) -> Checkpoint | None:
    return next(reversed(checkpoints(run)), None)


def publish(run: Run, unfinished: Path, step: int, eval_loss: float | None) -> Checkpoint:
    """Make a verified checkpoint visible under its own name, on disk before it is seen.

    An older one of the same step is replaced. Raises OSError; the older one is then still there.
    """
    size = sum(file.stat().st_size for file in unfinished.rglob("*") if file.is_file())
    write_json_atomically(unfinished / SEAL, {"step": step, "bytes": size, "eval_loss": eval_loss})
    for file in [*unfinished.rglob("*"), unfinished]:
        _flush(file)
    target = run.checkpoints / f"{PREFIX}{step}"
    if target.exists():
        aside = run.checkpoints / UNFINISHED / f"replaced-{step}"
        target.rename(aside)
        unfinished.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        unfinished.rename(target)
    _flush(run.checkpoints)
    return Checkpoint(target, step, size, eval_loss)


def keep(run: Run, newest_kept: int, best_step: int | None) -> list[Path]:
    """Delete all but the newest checkpoints and the one of the best evaluation; the deleted folders."""
    whole = checkpoints(run)
    extra = [checkpoint for checkpoint in whole[:-newest_kept] if checkpoint.step != best_step]
    for checkpoint in extra:
        # The seal goes first: a checkpoint that is half deleted must not look whole.
        (checkpoint.path / SEAL).unlink(missing_ok=True)
        shutil.rmtree(checkpoint.path, ignore_errors=True)
    return [checkpoint.path for checkpoint in extra]


def sweep(run: Run) -> None:
    """Remove what an earlier, killed trainer left half written. Only for the trainer that owns the run."""
    shutil.rmtree(run.checkpoints / UNFINISHED, ignore_errors=True)
    for folder in run.checkpoints.glob(f"{PREFIX}*"):
        if not (folder / SEAL).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
