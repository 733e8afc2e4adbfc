"""The header's right side: which device, which run."""

from __future__ import annotations

from pathlib import Path

from core.memory.devices import Device
from core.workspace import Workspace
from tests.tui.runs import make_run
from tests.tui.test_shell import until
from tui.messages import NOTHING
from tui.pulse import Pulse, device_part, run_part
from tui.widgets.bars import Header, Part

GIB = 2**30


def test_the_fullest_gpu_is_shown_else_the_host() -> None:
    host = Device("host", "host", total_bytes=24 * GIB, used_bytes=5 * GIB)
    assert device_part((host,)) == Part("host 5.0/24.0 GiB")
    one = Device("cuda", "A", index=0, total_bytes=80 * GIB, used_bytes=GIB, utilisation=3)
    two = Device("cuda", "A", index=1, total_bytes=80 * GIB, used_bytes=79 * GIB, utilisation=97)
    assert device_part((one, host)) == Part("GPU 0 1.0/80.0 GiB 3%")
    assert device_part((one, two, host)) == Part("GPU 1 (of 2) 79.0/80.0 GiB 97%", "bad")
    unknown = Device("cuda", "A", index=0)
    assert device_part((unknown, host)) == Part("GPU 0 –/– GiB")
    assert device_part(()) == NOTHING


def test_the_newest_living_run_is_shown(tmp_path: Path) -> None:
    assert run_part(Pulse(Workspace(tmp_path)).newest()) == NOTHING
    make_run(tmp_path, "20260101-110000-a", done=100)
    make_run(tmp_path, "20260101-120000-b", state="done", done=400)
    assert run_part(Pulse(Workspace(tmp_path)).newest()).text == "● running 25%"


async def test_the_header_shows_them(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, done=100)
    app = make_app(panels=())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "● running 25%" in app.query_one(Header).text())
        assert "GiB" in app.query_one(Header).text()
        assert len(app.query_one(Header).text().rstrip()) <= 80
