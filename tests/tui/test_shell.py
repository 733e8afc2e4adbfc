"""The shell with two sample panels: keys, hints, messages, jobs, size, help, palette."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Static

from core.recipe import RecipeError, read_recipe
from core.workspace import Workspace
from tests.conftest import ROOT
from tests.tui.runs import make_run
from tests.tui.sample_panels import SAMPLES
from tui.app import PANELS
from tui.deck import open_deck
from tui.help import HelpScreen
from tui.widgets.bars import Footer, Header
from tui.widgets.confirm import Confirm


async def until(pilot, condition, seconds: float = 20.0) -> None:
    """Wait until the condition holds; fails the test if it never does."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await pilot.pause()
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen")


async def settled(pilot) -> None:
    """Until the hints are those of the state, and nothing waits to be drawn."""
    app = pilot.app
    footer = app.screen_stack[0].query_one(Footer)
    await until(pilot, lambda: footer.text() == "".join(f" {key} {what} " for key, what, _ in app._hints()))
    await pilot.pause()
    await pilot.pause()


@pytest.fixture
async def pilot(make_app):
    app = make_app(panels=SAMPLES)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel is not None and app.query_one(Footer).text())
        yield pilot


def toasts(app) -> list[str]:
    return [note.message for note in app._notifications]


async def test_digits_bring_panels_into_view_and_keep_their_state(pilot) -> None:
    app = pilot.app
    first = app.panel
    assert app.query_one(Header).text(1).strip() == "1 First  2 Second"
    assert list(app.mounted) == ["first"]
    await pilot.press("2")
    assert app.panel.is_shown and not first.is_shown
    await pilot.press("escape")
    app.query_one("Input").disabled = True
    await pilot.press("1")
    assert app.panel is first and first.is_shown


async def test_the_footer_shows_at_most_six_hints_and_only_what_works(pilot) -> None:
    assert pilot.app.query_one(Footer).text() == " a add  d four  e five  f six  ? help  q quit "
    await pilot.press("a")
    await until(pilot, lambda: "b stop it" in pilot.app.query_one(Footer).text())
    assert pilot.app.query_one(Footer).text() == " a add  b stop it  d four  e five  ? help  q quit "


async def test_in_a_field_letters_are_typed_and_the_hints_say_how_to_leave(pilot) -> None:
    await pilot.press("2")
    await until(pilot, lambda: "leave field" in pilot.app.query_one(Footer).text())
    assert pilot.app.query_one(Footer).text() == " esc leave field  ^q quit "
    await pilot.press("q", "1")
    assert pilot.app.query_one("Input").value == "q1"


async def test_a_key_that_cannot_work_says_why(pilot) -> None:
    await pilot.press("b")
    assert toasts(pilot.app) == ["nothing to stop"]


async def test_a_refused_key_pressed_again_says_so_once(pilot) -> None:
    await pilot.press("b", "b", "b")
    assert toasts(pilot.app) == ["nothing to stop"]
    pilot.app.clear_notifications()
    await pilot.press("b")
    assert toasts(pilot.app) == ["nothing to stop"]


async def test_a_recipe_change_reaches_every_panel_and_the_header(pilot) -> None:
    app = pilot.app
    await pilot.press("2", "escape")
    await app.show_panel("first")
    await pilot.press("a")
    await until(pilot, lambda: app.mounted["second"].told)
    assert app.mounted["first"].told == app.mounted["second"].told == [(16, 8)]
    assert "recipe.toml *" in app.query_one(Header).text()
    with pytest.raises(RecipeError):
        app.panel.change_recipe({"tuner.rank": -1})
    assert app.deck.recipe.tuner.rank == 8


async def test_saving_writes_the_recipe_and_leaving_unsaved_asks(pilot) -> None:
    app = pilot.app
    await pilot.press("a", "q")
    assert isinstance(app.screen, Confirm)
    await pilot.press("n")
    await pilot.press("ctrl+s")
    assert read_recipe(app.deck.recipe_file).tuner.rank == 8
    assert "*" not in app.query_one(Header).text()
    await pilot.press("q")
    assert not app.is_running or app._exit


async def test_a_panel_can_ask_for_another_one(pilot) -> None:
    await pilot.press("a", "b")
    await until(pilot, lambda: pilot.app.current == "second" and pilot.app.panel.told)
    assert pilot.app.panel.told == ["one"]


async def test_jobs_answer_the_panel_that_asked(pilot) -> None:
    app = pilot.app
    good = app.panel.submit("tests.tui.sample_panels:double", value=21)
    bad = app.panel.submit("tests.tui.sample_panels:fail")
    await until(pilot, lambda: len(app.panel.told) == 2)
    assert app.panel.told == [(good, 42), (bad, "row 3 has no answer\nadd one")]
    assert not app.deck.jobs.busy


async def test_cancelling_one_panels_job_keeps_anothers(pilot) -> None:
    app = pilot.app
    await app.show_panel("second")
    first, second = app.mounted["first"], app.mounted["second"]
    first.submit("time:sleep", secs=60)
    kept = second.submit("tests.tui.sample_panels:double", value=2)
    first.cancel_jobs()
    await until(pilot, lambda: second.told)
    assert second.told == [(kept, 4)] and first.told == []


async def test_help_is_that_of_the_panel_with_its_keys(pilot) -> None:
    await pilot.press("question_mark")
    assert isinstance(pilot.app.screen, HelpScreen)
    text = str(pilot.app.screen.query_one(Static).content)
    assert "First\n\nThe first panel." in text and "stop it" in text
    assert "1 to 2             First, Second" in text
    await pilot.press("question_mark")
    assert not isinstance(pilot.app.screen, HelpScreen)


@pytest.mark.parametrize("panel", [spec.name for spec in PANELS])
async def test_help_tells_only_keys_of_ours_in_our_words(make_app, panel: str) -> None:
    app = make_app(start=panel)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.panel is not None and app.screen.focused is not None)
        shown = HelpScreen.about(app)
        words = [what for _, what in shown.keys]
        assert len(set(words)) == len(words) > 8
        assert not {
            "Focus Next",
            "Focus Previous",
            "Quit",
            "palette",
            "Copy selected text",
            "Select all",
        } & set(words)
        assert not any(
            word[0].isupper() and word not in "Model, Data, Plan, Train, Chat, Runs" for word in words
        )
        # A name for people, not that of a class.
        assert " " in shown.heading or shown.heading in {spec.title for spec in app.specs}


async def test_the_palette_has_prefixed_verbs(pilot) -> None:
    titles = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
    assert titles[:2] == ["go: First", "go: Second"]
    assert all(": " in title for title in titles)


async def test_below_80x24_one_line_says_so(make_app) -> None:
    app = make_app(panels=SAMPLES)
    async with app.run_test(size=(79, 24)) as pilot:
        await pilot.pause()
        assert (
            str(app.query_one("#too-small", Static).content) == "tunedeck needs 80x24; this terminal is 79x24"
        )
        assert not app.query_one("#deck").display and app.query_one("#too-small").display
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.query_one("#deck").display and not app.query_one("#too-small").display


async def test_an_unknown_theme_is_told_and_replaced(make_app, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_THEME", "nope")
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        assert app.theme == "tunedeck-dark"
        await until(
            pilot, lambda: any("there is no theme nope" in toast.message for toast in app._notifications)
        )


def test_what_holds_for_wide_screens_holds_for_the_widest() -> None:
    """The screen carries one of the classes -wide and -widest, never both."""
    for file in (ROOT / "tui").rglob("*.py"):
        for line in file.read_text().splitlines():
            if line.strip().startswith(".-wide "):
                selector = line.strip().split(" {")[0].split(",")[0]
                assert selector.replace(".-wide", ".-widest") in line, f"{file}: {line}"


async def test_a_broken_recipe_in_the_workspace_is_said_and_left_alone(tmp_path: Path, make_app) -> None:
    (tmp_path / "recipe.toml").write_text("[tuner]\nrank = 'x'\n")
    app = make_app(panels=SAMPLES)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        assert "line 2" in toasts(app)[0]
        app.panel.change_recipe({"tuner.rank": 8})
        await pilot.press("ctrl+s")
    assert (tmp_path / "recipe.toml").read_text() == "[tuner]\nrank = 'x'\n"
    assert read_recipe(tmp_path / "recipe-new.toml").tuner.rank == 8


@pytest.mark.parametrize(("state", "first"), [("running", "train"), ("done", PANELS[0].name)])
async def test_it_opens_on_a_run_that_is_at_work(tmp_path: Path, make_app, state: str, first: str) -> None:
    make_run(tmp_path, state=state)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.panel is not None)
        assert app.current == first


def test_a_named_recipe_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        open_deck(Workspace(tmp_path), tmp_path / "none.toml")


def test_the_shell(snap_compare, make_app, size) -> None:
    app = make_app(panels=SAMPLES)

    async def before(pilot) -> None:
        await until(pilot, lambda: "GPU 0" in app.query_one(Header).text())
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
