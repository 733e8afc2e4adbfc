"""`python -P -m core.train RUN [--resume]`: the training process of one run folder."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path

from core.models.quiet import hush_slow_kernels
from core.runs.events import append_event
from core.runs.folder import Run
from core.runs.launch import RESUME
from core.train.signals import StopSignals


def main(arguments: list[str]) -> int:
    """Train the run in the folder named; 0 when it is done or was stopped, 1 when it failed."""
    folder, *options = arguments
    run = Run(Path(folder).resolve())
    signals = StopSignals(lambda name: _say_stopping(run, name))
    signals.install()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    _quieten()
    # torch is imported only now: a signal that comes in the seconds this takes is already understood.
    from core.train.session import train

    return train(run, resume=RESUME in options, signals=signals)


def _quieten() -> None:
    """Keep out of the log what libraries say at every start and nobody can act on."""
    hush_slow_kernels()
    # Old and new name mean the same, and only the old one is known to every supported version.
    warnings.filterwarnings("ignore", message=r".*gradient_checkpointing.* is deprecated")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _say_stopping(run: Run, name: str) -> None:
    """Not through the trainer's writer: the signal may have come in the middle of its work."""
    if os.environ.get("RANK", "0") == "0":
        with contextlib.suppress(OSError):
            append_event(run.folder, "status", state="stopping", note=name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
