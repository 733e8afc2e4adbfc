"""The Runs panel on real run folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Static

from core.recipe import Recipe, recipe_text, with_changes
from tests.tui.runs import STARTED, make_run
from tests.tui.test_shell import settled, toasts, until
from tui.app import PANELS
from tui.widgets.bars import Bar, Footer
from tui.widgets.curve import CurveView
from tui.widgets.rows import RowList


@pytest.fixture
def three_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr("tui.runs.lines.time.time", lambda: STARTED + 7200)
    folders = [
        make_run(tmp_path, "20260101-100000-first", state="done", done=400),
        make_run(tmp_path, "20260101-110000-second", state="out_of_memory", done=60, extra=[
            {"kind": "error", "what": "CUDA out of memory", "fix": "halve the micro batch"}]),
        make_run(tmp_path, "20260101-120000-third"),
    ]  # fmt: skip
    changed = with_changes(Recipe(), {"tuner.rank": 8, "training.epochs": 1.0})
    (folders[1] / "recipe.toml").write_text(recipe_text(changed))
    return folders


def shown(app) -> list[str]:
    return [Path(row.key).name.rpartition("-")[2] for row in app.query_one(RowList).rows]


async def listed(pilot) -> None:
    await until(pilot, lambda: pilot.app.panel and pilot.app.query(RowList) and shown(pilot.app))
    await until(pilot, lambda: pilot.app.query_one(CurveView).plotted.named)


async def test_runs_are_listed_newest_first_with_their_state(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        assert shown(app) == ["third", "second", "first"]
        assert [row.cells[0] for row in app.query_one(RowList).rows] == [
            "● running",
            "✗ out of memory",
            "✓ done",
        ]
        await pilot.press("j")
        await until(pilot, lambda: "halve the micro batch" in app.query_one("#details", Bar).text())


async def test_the_filter_takes_words(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("slash", *"done yoda", "enter")
        assert shown(app) == ["first"]
        await pilot.press("slash", *["backspace"] * 9, *"nothing", "enter")
        assert shown(app) == []


async def test_enter_opens_a_run_in_the_train_panel(three_runs, make_app) -> None:
    app = make_app(start="runs", panels=PANELS)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("G", "enter")
        await until(pilot, lambda: app.current == "train" and app.panel.state)
        assert app.panel.state.id == "20260101-100000-first"


async def test_marked_runs_are_drawn_together_and_compared(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("d")
        assert toasts(app) == ["mark two runs or more with space first"]
        await pilot.press("space", "space")
        await until(pilot, lambda: len(app.query_one(CurveView).plotted.named) == 2)
        await pilot.press("d")
        text = str(app.screen.query_one(Static).content)
        assert "tuner.rank                   a 16   b 8" in text
        assert "training.epochs              a 3.0   b 1.0" in text


async def test_keys_that_cannot_work_say_why(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        assert "resume" not in app.query_one(Footer).text()
        await pilot.press("u", "j", "u", "t")
        assert toasts(app) == [
            "the run is at work", "the run has no checkpoint to go on from", "the run has saved nothing yet"
        ]  # fmt: skip


@pytest.mark.parametrize("state", ["empty", "three", "overlay"])
def test_pictures(snap_compare, tmp_path: Path, make_app, size, state: str, request) -> None:
    if state != "empty":
        request.getfixturevalue("three_runs")
    app = make_app(start="runs")

    async def before(pilot) -> None:
        await until(pilot, lambda: "GPU 0" in app.query("Header").first().text() and app.query(RowList))
        if state != "empty":
            await listed(pilot)
        if state == "overlay":
            await pilot.press("space", "space")
            await until(pilot, lambda: len(app.query_one(CurveView).plotted.named) == 2)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
