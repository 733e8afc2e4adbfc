"""A download on one line of stderr: drawn over itself in a terminal, now and then in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from core.models.download import DownloadProgress

_PIPE_SECONDS = 10.0


class ProgressLine:
    """`show` draws, `end` leaves the line."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._told = 0.0

    def show(self, progress: DownloadProgress) -> None:
        text = progress_text(progress)
        if self._terminal:
            typer.echo(f"\r{text:<{self._drawn}}", err=True, nl=False)
            self._drawn = len(text)
        elif time.monotonic() - self._told > _PIPE_SECONDS:
            self._told = time.monotonic()
            typer.echo(text, err=True)

    def end(self) -> None:
        if self._drawn:
            typer.echo("", err=True)


def progress_text(progress: DownloadProgress) -> str:
    """For example "1.20 of 4.00 GiB  30 %  85.0 MiB/s  0:34 left"."""
    from tui.model.card_lines import size_text

    share = 100 * progress.done_bytes / max(progress.total_bytes, 1)
    parts = [
        f"{size_text(progress.done_bytes)} of {size_text(progress.total_bytes)}",
        f"{share:.0f} %",
        f"{progress.bytes_per_second / (1 << 20):.1f} MiB/s",
    ]
    if progress.eta_seconds is not None:
        minutes, seconds = divmod(round(progress.eta_seconds), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return "  ".join(parts)
