"""Calling a person back: only one who is away, by bell and title, and the title is put back."""

from __future__ import annotations

from pathlib import Path

from textual.events import AppBlur, AppFocus

from tests.tui.runs import append, make_run
from tests.tui.test_shell import toasts, until
from tui.attention import AWAY_SECONDS, BELL, KEEP_TITLE, PUT_TITLE_BACK, Attention
from tui.widgets.bars import Header

END = {"kind": "end", "state": "done", "step": 400, "steps": 400}


def test_a_minute_without_a_key_or_the_focus_elsewhere_is_away() -> None:
    now = [0.0]
    attention = Attention(lambda text: None, clock=lambda: now[0])
    assert not attention.away
    now[0] = AWAY_SECONDS + 1
    assert attention.away
    attention.seen()
    assert not attention.away
    attention.left()
    assert attention.away


def test_the_title_is_kept_once_and_put_back_once() -> None:
    sent: list[str] = []
    attention = Attention(sent.append)
    attention.restore()
    attention.call("one")
    attention.call("t" * 100)
    attention.seen()
    attention.restore()
    assert sent == [
        KEEP_TITLE, f"\x1b]2;one\x1b\\{BELL}", f"\x1b]2;{'t' * 80}\x1b\\{BELL}", PUT_TITLE_BACK,
    ]  # fmt: skip


async def test_a_run_that_ends_unseen_rings_and_names_itself_until_someone_looks(
    tmp_path: Path, make_app
) -> None:
    folder = make_run(tmp_path, "20260101-120000-\x1b]0;x")
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in app.query_one(Header).text())
        app.post_message(AppBlur())
        await until(pilot, lambda: app.attention.away)
        append(folder, [END], first_second=2000)
        await until(pilot, lambda: toasts(app), seconds=60)
        assert app.attention.title == "✓ done: 20260101-120000-␛]0;x"
        app.post_message(AppFocus())
        await until(pilot, lambda: not app.attention.title)


async def test_a_run_that_ends_in_view_does_not_ring(tmp_path: Path, make_app) -> None:
    folder = make_run(tmp_path)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in app.query_one(Header).text())
        append(folder, [END], first_second=2000)
        await until(pilot, lambda: still_here(app) and toasts(app), seconds=60)
        assert toasts(app) == ["✓ done: 20260101-120000-yoda"] and not app.attention.title


def still_here(app) -> bool:
    """A key now and then: on a slow machine the test itself may take longer than a person's absence."""
    app.attention.seen()
    return True
