"""A real terminal for tests: a process on a pty, its screen kept by pyte."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """`with Terminal("demo", size=(80, 24)) as terminal: terminal.wait_for("step")`."""

    def __init__(
        self,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        folder: Path | None = None,
        before: Callable[[], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        columns, rows = size
        settings = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(environment or {})}
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self.gone = False
        self.process = pexpect.spawn(
            sys.executable,
            ["-P", "-m", "tui.cli", *arguments],
            dimensions=(rows, columns),
            cwd=str(folder or ROOT),
            env=settings,  # type: ignore[arg-type]
            preexec_fn=before,
            timeout=0.1,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.gone:
            self.process.close(force=True)
        elif self.process.isalive():
            self.process.kill(signal.SIGKILL)

    def vanish(self) -> None:
        """Close our end, as a lost link does."""
        self.process.ptyproc.fileobj.close()
        self.gone = True

    def pump(self, seconds: float = 0.1) -> None:
        """Take what the process draws for that long."""
        if self.gone:
            time.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                data = self.process.read_nonblocking(65536, timeout=left)
            except pexpect.TIMEOUT:
                return
            except (pexpect.EOF, OSError):
                return
            self.sent += data
            self.stream.feed(data)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Until the text is on the screen; fails with the screen if it never is."""
        self.wait_until(lambda: text in self.text, seconds, text)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30.0, what: str = "") -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what!r}; the screen:\n{self.text}")
            self.pump(0.1)

    def press(self, keys: str) -> None:
        self.process.send(keys)

    def ended(self, seconds: float = 30.0) -> int:
        """Wait for the end; the exit code, or 128 + signal if a signal ended it."""
        end = time.monotonic() + seconds
        while self.process.isalive():
            if time.monotonic() > end:
                raise AssertionError(f"still running after {seconds} s; the screen:\n{self.text}")
            self.pump(0.1)
        self.pump(0.1)
        if self.process.signalstatus is not None:
            return 128 + int(self.process.signalstatus)
        return int(self.process.exitstatus or 0)
