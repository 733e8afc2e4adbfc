"""The doctor's screen: quick checks at once, then the live ones; and what closing it leaves."""

from __future__ import annotations

import pytest

from core.doctor import Check
from tests.tui.test_shell import until
from tui import doctor
from tui.doctor import DoctorScreen
from tui.widgets.bars import Bar
from tui.widgets.text_view import TextView

QUICK = [
    Check("python", "ok", "3.11.9 in /usr"),
    Check("package trl", "fail", "not installed", "pip install trl==1.16.0"),
    Check(
        "gpu", "warn", "no GPU is visible: training runs on the processor, which is slow", "fine for the demo"
    ),
    Check("flash attention", "skip", "not installed"),
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own state is another test's business."""
    monkeypatch.setattr(doctor, "examine", lambda workspace, live: iter(QUICK))


async def test_the_palette_opens_it_and_esc_ends_it(make_app, quick: None) -> None:
    app = make_app(panels=())
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_doctor()
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen) and app.screen._live)
        text = app.screen.query_one(TextView).text
        assert " ✗ package trl              not installed" in text
        assert "pip install trl==1.16.0" in text
        assert app.deck.jobs.busy
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, DoctorScreen))
        assert not app.deck.jobs.busy


def test_long_findings_stay_in_their_column() -> None:
    check = Check(
        "disk", "warn", "1.2 GiB free in the workspace, 0.9 GiB in the cache", "free some room first"
    )
    assert [text for text, _ in doctor.check_lines(check, 30)] == [
        " ! disk                     1.2 GiB free in the workspace,",
        f"{'':28}0.9 GiB in the cache",
        f"{'':28}free some room first",
    ]


@pytest.mark.slow
async def test_the_live_steps_end_in_a_verdict(make_app, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda workspace, live: iter(QUICK[:1]))
    app = make_app(panels=())
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_doctor()
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen) and app.screen.ended, 120)
        assert "nothing that is needed is missing" in app.screen.query_one("#title", Bar).text()
        assert "✓ live: read checkpoint" in app.screen.query_one(TextView).text


def test_picture(snap_compare, make_app, size, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(panels=())

    async def before(pilot) -> None:
        monkeypatch.setattr(app.deck.jobs, "submit", lambda owner, function: 1)
        app.action_doctor()
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen) and app.screen._live)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)
