"""The real app on an empty workspace, and panels that exist only to try the shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension

from core.workspace import Workspace
from tui.app import PANELS, DeckApp
from tui.deck import open_deck
from tui.widgets.bars import Part

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(80, 24), (120, 40)]


def _folder(cls: type, *, test_location: Any) -> str:
    module = Path(test_location.filepath).resolve().relative_to(ROOT / "tests").with_suffix("")
    return str(ROOT / "snapshots" / module)


# syrupy 4.8, which the snapshot plugin pins, knows no option for the folder.
SVGImageExtension.dirname = classmethod(_folder)  # type: ignore[assignment]


@pytest.fixture(params=SIZES, ids=["80x24", "120x40"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """The two sizes every panel and state is shown at."""
    return request.param


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would make two pictures of one state differ."""
    from textual.widgets import Input, TextArea

    monkeypatch.setattr(Input, "cursor_blink", False, raising=False)
    monkeypatch.setattr(TextArea, "cursor_blink", False, raising=False)
    monkeypatch.setattr("tui.pulse.device_part", lambda devices: Part("GPU 0 12.3/80.0 GiB 97%"))


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DeckApp]:
    """`make_app(start="data")`: the app on a workspace in a temporary folder, shown as `~`.

    It has that panel alone, so that a picture does not change when another panel comes.
    """
    monkeypatch.setenv("HOME", str(tmp_path))

    def make(**options: Any) -> DeckApp:
        if "start" in options:
            options.setdefault("panels", tuple(spec for spec in PANELS if spec.name == options["start"]))
        return DeckApp(open_deck(Workspace(tmp_path)), **options)

    return make


@pytest.fixture
def data_app(make_app: Callable[..., DeckApp], monkeypatch: pytest.MonkeyPatch) -> DeckApp:
    """The Data panel alone, on the demo's troubled rows; see tests/tui/data_panel.py."""
    from tests.tui.data_panel import Inline, opened

    monkeypatch.setattr("core.workshop.Workshop", Inline)
    monkeypatch.setattr("tui.data.panel.CHECK_AFTER_SECONDS", 0.01)
    return opened(make_app(start="data"))


@pytest.fixture
def snap_compare(snap_compare: Callable[..., bool]) -> Callable[..., bool]:
    """The snapshot plugin's own, taking its picture once the header shows the first reading of the devices."""

    def compare(app: DeckApp, **options: Any) -> bool:
        before = options.pop("run_before", None)

        async def ready(pilot: Any) -> None:
            from tests.tui.test_shell import settled, until

            if before is not None:
                await before(pilot)
            await until(pilot, lambda: app.last.device.text)
            await settled(pilot)

        return snap_compare(app, run_before=ready, **options)

    return compare
