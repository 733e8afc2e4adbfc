"""Downloads that run while the person does other things: a process each, looked at a few times a second."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.models.download import DownloadProgress
from core.workshop import Failure, Progress, Result, Workshop


@dataclass
class Download:
    """One download. `problem` is set when it ended without a model."""

    model: str
    revision: str
    workshop: Workshop = field(default_factory=Workshop)
    progress: DownloadProgress | None = None
    problem: str = ""
    done: bool = False

    @property
    def running(self) -> bool:
        return not self.done and not self.problem

    @property
    def share(self) -> float:
        """0 to 1."""
        if self.progress is None:
            return 0.0
        return self.progress.done_bytes / max(self.progress.total_bytes, 1)


class Downloads:
    """Used from the app's own thread only."""

    def __init__(self) -> None:
        self.all: dict[str, Download] = {}

    @property
    def running(self) -> list[Download]:
        return [one for one in self.all.values() if one.running]

    def start(self, model: str, revision: str = "main") -> None:
        """Begin, or go on where an earlier one stopped."""
        download = Download(model, revision)
        download.workshop.submit("core.models.download:fetch", model=model, revision=revision)
        self.all[model] = download

    def cancel(self, model: str) -> None:
        """Stop; what arrived is kept and a later start goes on from there."""
        download = self.all.pop(model, None)
        if download is not None:
            download.workshop.cancel()

    def poll(self) -> list[Download]:
        """Those that have ended since the last look. Never waits."""
        ended = []
        for download in self.running:
            for message in download.workshop.poll():
                if isinstance(message, Progress):
                    download.progress = message.value
                elif isinstance(message, Result):
                    download.done = True
                elif isinstance(message, Failure):
                    download.problem = message.what
            if not download.running:
                download.workshop.cancel()
                ended.append(download)
        return ended

    def close(self) -> None:
        for download in self.running:
            download.workshop.cancel()
