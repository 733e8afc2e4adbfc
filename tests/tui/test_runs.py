"""The Runs panel on real run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.recipe import Recipe, recipe_text, with_changes
from core.runs.folder import Run
from core.runs.shelf import annotate
from core.workspace import state_folder
from tests.tui.runs import STARTED, append, make_run
from tests.tui.test_shell import settled, toasts, until
from tui.app import PANELS
from tui.train.checklist import Checklist
from tui.widgets.bars import Bar, Footer
from tui.widgets.curve import CurveView
from tui.widgets.rows import RowList
from tui.widgets.text_view import TextView


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
        await until(pilot, lambda: app.screen.query(TextView) and app.screen.query_one(TextView).text)
        lines = [line.split() for line in app.screen.query_one(TextView).text.splitlines()]
        assert lines[0] == ["a", "20260101-120000-third", "b", "20260101-110000-second"]
        assert ["tuner.rank", "16", "8"] in lines and ["training.epochs", "3.0", "1.0"] in lines
        assert ["peak", "12.4", "GiB", "12.4", "GiB"] in lines


async def test_keys_that_cannot_work_say_why(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        assert "resume" not in app.query_one(Footer).text()
        await pilot.press("u", "G", "u")
        assert toasts(app) == [
            "the run is at work", "the run is done; a starts a new one like it",
        ]  # fmt: skip


async def test_note_and_tags_are_edited_where_the_run_is(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("n", *"good [b]", "tab", *"keep, #best", "enter")
        await until(pilot, lambda: "good [b] #best #keep" in app.query_one("#details", Bar).text(1))
        await pilot.press("n", "backspace", "escape", "slash", *"#keep", "enter")
        assert shown(app) == ["third"]
        assert json.loads((three_runs[2] / "notes.json").read_text()) == {
            "note": "good [b]", "tags": ["best", "keep"],
        }  # fmt: skip


async def test_an_ended_run_goes_into_the_trash_and_comes_back(three_runs, make_app, tmp_path: Path) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("D", "Z")
        assert toasts(app) == [
            "the run is running; stop it first",
            "nothing was removed in this session; tunedeck restore RUN",
        ]
        await pilot.press("G", "D", "n", "D", "y")
        await until(pilot, lambda: shown(app) == ["third", "second"])
        assert (tmp_path / "runs" / ".trash" / three_runs[0].name / "recipe.toml").exists()
        await pilot.press("Z")
        await until(pilot, lambda: shown(app) == ["third", "second", "first"])


async def test_the_path_is_copied_and_shown(three_runs, make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        assert "~/runs/20260101-120000-third" in app.query_one("#details", Bar).text(1)
        await pilot.press("y")
        assert toasts(app)[0].startswith(f"{three_runs[2]}\ncopied, if the terminal lets it")
        assert (state_folder() / "copied.txt").read_text() == str(three_runs[2])


def queued(tmp_path: Path, name: str, number: int) -> Path:
    """A run that waits, with its entry in the queue; no runner owns it."""
    folder = make_run(tmp_path, name, done=0, log="")
    (folder / "events.jsonl").write_text("")
    append(folder, [{"kind": "status", "state": "queued", "note": ""}], first_second=0)
    entries = tmp_path / "runs" / ".queue"
    entries.mkdir(exist_ok=True)
    (entries / f"{number:020d} {name}").touch()
    return folder


async def test_the_queue_is_shown_moved_and_left(three_runs, make_app, tmp_path: Path) -> None:
    for number, name in enumerate(("20260101-130000-x", "20260101-130001-y"), start=1):
        queued(tmp_path, name, 1000 * number)
    app = make_app(start="runs")

    def words() -> dict[str, str]:
        return {Path(row.key).name[-1]: row.cells[0] for row in app.query_one(RowList).rows[:2]}

    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.query(RowList) and len(shown(app)) == 5)
        assert shown(app)[:2] == ["y", "x"] and words() == {"y": "… queued 2", "x": "… queued 1"}
        await pilot.press("K")
        await until(pilot, lambda: words() == {"y": "… queued 1", "x": "… queued 2"})
        await pilot.press("K")
        assert toasts(app) == ["it is the first already"]
        await pilot.press("J")
        await until(pilot, lambda: words() == {"y": "… queued 2", "x": "… queued 1"})
        await pilot.press("D", "y")
        await until(pilot, lambda: words() == {"y": "■ stopped", "x": "… queued 1"})


async def test_a_run_is_started_again_with_changes_through_the_checklist(
    three_runs, make_app, tmp_path: Path
) -> None:
    app = make_app(start="runs", panels=PANELS)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("a", *"tuner.rnk=4")
        assert "tuner.rnk" in app.screen.said and app.screen.changed is None
        await pilot.press("enter")
        assert toasts(app) == ["these changes cannot be made"]
        await pilot.press(*["backspace"] * 11, *"tuner.rank=4 data.source=nowhere.jsonl")
        assert "tuner.rank: 16 -> 4" in app.screen.said
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Checklist))
        assert "demo on nowhere.jsonl" in app.screen.summary
        await pilot.press("escape")
        await until(pilot, lambda: not list((tmp_path / "runs").glob(".preflight*")))


async def test_a_run_goes_on_through_the_checklist(three_runs, make_app) -> None:
    app = make_app(start="runs", panels=PANELS)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("j", "u")
        await until(pilot, lambda: isinstance(app.screen, Checklist))
        assert app.screen.summary.startswith("Go on with 20260101-110000-second")
        await until(pilot, lambda: app.screen.listed is not None, seconds=90)
        await pilot.press("escape")
        assert app.panel.run.folder == three_runs[1]


STATES = ["empty", "three", "filter", "overlay", "diff", "note", "again", "queue"]


@pytest.mark.parametrize("state", STATES)
def test_pictures(snap_compare, tmp_path: Path, make_app, size, state: str, request) -> None:
    app, before = in_state(tmp_path, make_app, state, request)
    assert snap_compare(app, terminal_size=size, run_before=before)


def test_picture_of_a_large_screen(snap_compare, tmp_path: Path, make_app, request) -> None:
    app, before = in_state(tmp_path, make_app, "overlay", request)
    assert snap_compare(app, terminal_size=(200, 50), run_before=before)


def in_state(tmp_path: Path, make_app, state: str, request):
    """The app and what brings it into that state."""
    if state != "empty":
        folders = request.getfixturevalue("three_runs")
        annotate(Run(folders[0]), note="the baseline", tags=["keep"])
    if state == "queue":
        queued(tmp_path, "20260101-130000-next", 1000)
    app = make_app(start="runs")

    async def before(pilot) -> None:
        await until(pilot, lambda: "GPU 0" in app.query("Header").first().text() and app.query(RowList))
        if state == "queue":
            await until(pilot, lambda: shown(app)[:1] == ["next"])
            await pilot.press("j")
        if state != "empty":
            await listed(pilot)
        if state in ("overlay", "diff"):
            await pilot.press("space", "space")
            await until(pilot, lambda: len(app.query_one(CurveView).plotted.named) == 2)
        if state == "filter":
            await pilot.press("slash", *"yoda", "enter", *"jj")
            await until(pilot, lambda: "first" in app.query_one(CurveView).plotted.title)
        await pilot.press(
            *{"diff": ["d"], "note": ["G", "n"], "again": ["a", *"tuner.rank=8"]}.get(state, [])
        )
        if state == "diff":
            await until(pilot, lambda: app.screen.query_one(TextView).text)
        if state == "note":
            await until(pilot, lambda: "first" in app.query("Overlay").first().plotted.title)
        await settled(pilot)

    return app, before
