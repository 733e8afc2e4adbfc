"""`python -P -m core.train RUN [--resume]`: the training process of one run folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from core.runs.folder import Run
from core.runs.launch import RESUME
from core.train.signals import StopSignals


def main(arguments: list[str]) -> int:
    """Train the run in the folder named; 0 when it is done or was stopped, 1 when it failed."""
    signals = StopSignals()
    signals.install()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    folder, *options = arguments
    # torch is imported only now: a signal that comes in the seconds this takes is already understood.
    from core.train.session import train

    return train(Run(Path(folder).resolve()), resume=RESUME in options, signals=signals)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
