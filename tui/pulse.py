"""What the app is told of the world outside: devices, the newest living run, and runs that end. Read in a thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from core.memory.devices import Device, read_devices
from core.memory.nvml import Nvml
from core.runs.folder import run_folders
from core.runs.state import RunState, read_state
from core.workspace import Workspace
from tui.messages import NOTHING, Pulsed, RunEnded
from tui.widgets.bars import Part
from tui.widgets.marks import mark, style
from tui.widgets.numbers import UNKNOWN, share

if TYPE_CHECKING:
    from textual.app import App

# NVML calls take a lock that the training job needs too: two seconds is what monitors settle on.
READ_SECONDS = 2.0
NEWEST_RUNS = 20


class Pulse:
    """A thread that reads every two seconds and posts `Pulsed` and `RunEnded`. Nothing it meets may end the app."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._living: set[Path] = set()
        self._stop = threading.Event()

    def start(self, app: App[None]) -> None:
        threading.Thread(target=self._read, args=(app,), daemon=True, name="pulse").start()

    def stop(self) -> None:
        self._stop.set()

    def _read(self, app: App[None]) -> None:
        library = Nvml()
        while not self._stop.is_set():
            devices = read_devices(library, slow=False, processes=False)
            states = self._states()
            app.post_message(Pulsed(device_part(devices), run_part(_newest_living(states))))
            for state in self.ended(states):
                app.post_message(RunEnded(state))
            self._stop.wait(READ_SECONDS)
        library.close()

    def newest(self) -> RunState | None:
        """The newest run that has not ended."""
        return _newest_living(self._states())

    def ended(self, states: list[RunState]) -> list[RunState]:
        """The runs that were at work at the last look and no longer are."""
        gone = [state for state in states if state.ended and state.folder in self._living]
        self._living = {state.folder for state in states if not state.ended}
        return gone

    def _states(self) -> list[RunState]:
        return [read_state(folder) for folder in reversed(run_folders(self.workspace)[-NEWEST_RUNS:])]


def _newest_living(states: list[RunState]) -> RunState | None:
    """One that only waits for its turn counts where no other lives."""
    living = [state for state in states if not state.ended]
    return next((state for state in living if state.phase != "queued"), living[0] if living else None)


def device_part(devices: tuple[Device, ...]) -> Part:
    """The fullest GPU, or the host where there is none: used of total, and how busy it is."""
    gpus = [device for device in devices if device.kind == "cuda"]
    shown = max(gpus or list(devices), key=lambda device: device.used_bytes or 0, default=None)
    if shown is None:
        return NOTHING
    name = f"GPU {shown.index}" if shown.kind == "cuda" else shown.kind
    more = f" (of {len(gpus)})" if len(gpus) > 1 else ""
    busy = f" {shown.utilisation}%" if shown.utilisation is not None else ""
    full = (shown.used_bytes or 0) > 0.95 * (shown.total_bytes or float("inf"))
    return Part(
        f"{name}{more} {_gib(shown.used_bytes)}/{_gib(shown.total_bytes)} GiB{busy}", "bad" if full else ""
    )


def run_part(state: RunState | None) -> Part:
    if state is None:
        return NOTHING
    return Part(
        f"{mark(state.state)} {share(state.step, state.steps)}", style(state.state), "app.show('train')"
    )


def _gib(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value / 2**30:.1f}"
