"""The Model panel: list, cards, search, downloads, removal; and how it looks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from core.memory.devices import Device
from core.models.download import DownloadProgress
from tests.hub_server import HubServer
from tests.tui.test_shell import settled, toasts, until
from tests.unit.models.model_folders import write_model
from tests.unit.models.test_listing import cache, cached_model
from tui.model.card_view import CardView
from tui.model.downloads import Download
from tui.model.model_list import ModelList
from tui.model.viewer import Viewer
from tui.widgets.bars import Bar, Header
from tui.widgets.confirm import Confirm
from tui.widgets.text_view import TextView

__all__ = ["cache"]


@pytest.fixture(autouse=True)
def _one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits depends on the machine; here it is always the same one."""
    card = Device("cuda", "NVIDIA L4", index=0, total_bytes=24 << 30, free_bytes=23 << 30)
    monkeypatch.setattr("tui.model.lookup.read_devices", lambda **_: (card,))


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(cache))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield server


def shown(app) -> list[str]:
    return [f"{row.mark} {row.text} {row.right}".strip() for row in app.query_one(ModelList).rows]


def card(app) -> str:
    return app.query_one(CardView).text()


def cards_here(app) -> bool:
    return "reading" not in card(app) and "family" in card(app)


async def ready(pilot) -> None:
    await until(pilot, lambda: pilot.app.panel and pilot.app.panel._scanned and cards_here(pilot.app))


async def test_the_demo_is_there_and_its_card(make_app, cache: Path) -> None:
    app = make_app(start="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        assert shown(app) == ["on this machine", "▶ demo demo     3.4 MiB"]
        assert "family  llama" in card(app)
        assert "needs here  ✓ chat 4.9 MiB   ✓ QLoRA " in card(app)


async def test_enter_takes_a_model_into_the_recipe(make_app, cache: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "mine")
    cached_model(cache, "acme/half", leave_out=("model.safetensors",))
    app = make_app(start="model")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("down", "enter")
        assert app.deck.recipe.model.source == "mine"
        await until(pilot, lambda: any(line.startswith("▶ mine") for line in shown(app)))
        await pilot.press("down", "enter")
        assert app.deck.recipe.model.source == "mine"
        assert "it is not whole: no weights" in toasts(app)
        await until(pilot, lambda: "not whole: no weights; d goes on" in card(app))


async def test_search_here_and_on_the_hub_then_download(make_app, hub: HubServer, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in write_model(tmp_path / "made" / "x").iterdir()}
    files["extra.safetensors"] = files.pop("model.safetensors")
    hub.add(
        "acme/tiny-llama",
        {**files, "model.safetensors": files.pop("extra.safetensors")},
        downloads=12,
        parameters=4944,
    )
    for number in range(30):
        hub.add(f"acme/other-{number}", {})
    app = make_app(start="model")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"acme")
        await until(pilot, lambda: "on the Hub, 20 shown, m for more" in shown(app))
        await pilot.press("enter", "m")
        await until(pilot, lambda: "on the Hub, 31 shown" in shown(app))
        assert not app.panel.search.more
        await pilot.press("slash")
        app.query_one("#search", Input).value = "tiny"
        await until(pilot, lambda: "on the Hub, 1 shown" in shown(app))
        assert "· acme/tiny-llama 4.94 k  12 downloads" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: "family  llama" in card(app) and "acme" in card(app))
        await pilot.press("enter")
        assert toasts(app)[-1] == "it is not here yet; d downloads it"
        hub.slow_seconds = 0.4
        await pilot.press("d")
        assert any(line.startswith("↓ acme/tiny-llama") for line in shown(app))
        await until(pilot, lambda: "acme/tiny-llama is here" in toasts(app), 60)
        await until(pilot, lambda: any(line.startswith("✓ acme/tiny-llama cache") for line in shown(app)))
        await pilot.press("enter")
        assert app.deck.recipe.model.source == "acme/tiny-llama"
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "The recipe names it. That frees" in app.screen.question
        await pilot.press("y")
        await until(pilot, lambda: not any("✓ acme/tiny-llama" in line for line in shown(app)))


async def test_a_download_can_be_stopped(make_app, hub: HubServer, tmp_path: Path) -> None:
    hub.add("acme/big", {"config.json": b"{}", "model.safetensors": b"x" * 3_000_000})
    hub.slow_seconds = 0.5
    app = make_app(start="model")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"big", "enter")
        await until(pilot, lambda: any("acme/big" in line for line in shown(app)))
        await pilot.press("d")
        await until(pilot, lambda: "MiB/s" in app.query_one("#state", Bar).text(), 30)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: not app.panel.downloads.running)
        assert not any(line.startswith("✓ acme/big") for line in shown(app))


async def test_offline_the_rest_works(make_app, cache: Path) -> None:
    app = make_app(start="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"demo")
        await until(pilot, lambda: any("switched off by HF_HUB_OFFLINE" in line for line in shown(app)))
        assert shown(app)[:2] == ["on this machine", "▶ demo demo     3.4 MiB"]
        await pilot.press("escape")
        await until(pilot, lambda: cards_here(app))


async def test_its_files_are_read_as_text(make_app, cache: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    (folder / "README.md").write_text("[bold]not bold[/bold] \x1b[31mnot red")
    app = make_app(start="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("down", "o")
        await until(pilot, lambda: isinstance(app.screen, Viewer))
        assert [name for name, _ in app.screen.files][:3] == [
            "config.json",
            "chat_template.jinja",
            "README.md",
        ]
        await pilot.press("right", "right")
        await pilot.pause()
        assert (
            app.screen.query_one(TextView).render_line(0).text.strip() == "[bold]not bold[/bold] ␛[31mnot red"
        )
        await pilot.press("escape")
        assert not isinstance(app.screen, Viewer)


async def test_small_files_of_a_hub_model_are_fetched_to_be_read(
    make_app, hub: HubServer, tmp_path: Path
) -> None:
    files = {
        path.name: path.read_bytes()
        for path in write_model(tmp_path / "out" / "of" / "the" / "way" / "x").iterdir()
    }
    hub.add("acme/open", {**files, "README.md": b"# Open", "code.py": b"x = 1"})
    hub.add("acme/closed", {**files, "README.md": b"# Closed"}, gated="manual", downloads=-1)
    app = make_app(start="model")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"acme", "enter")
        await until(pilot, lambda: "on the Hub, 2 shown" in shown(app))
        assert app.query_one(ModelList).entry.id == "acme/open"
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, Viewer), 30)
        found = dict(app.screen.files)
        assert list(found) == [
            "config.json",
            "chat_template.jinja",
            "README.md",
            "tokenizer_config.json",
            "code.py",
        ]
        assert (found["README.md"], found["code.py"]) == ("# Open", "x = 1")
        assert all(hub.ranges_of("model.safetensors"))  # headers at most
        await pilot.press("escape", "down", "o")
        await until(pilot, lambda: any("gated" in text for text in toasts(app)))
        assert not isinstance(app.screen, Viewer)
        said = next(text for text in toasts(app) if "gated" in text)
        assert said.startswith("acme/closed: this model is gated and this machine has no access to it")
        assert "\n" not in said
        hub.__exit__()
        await pilot.press("up", "o")
        await until(pilot, lambda: any("the Hub cannot be reached" in text for text in toasts(app)))
        assert not isinstance(app.screen, Viewer)


async def test_s_sorts_the_models_here(make_app, cache: Path, tmp_path: Path) -> None:
    cached_model(cache, "acme/old", used=1e9)
    for path in write_model(tmp_path / "big", {"num_hidden_layers": 3}).iterdir():
        os.utime(path, (3e9, 1e9))
    app = make_app(start="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        seen: dict[str, list[str]] = {}
        for _ in range(5):
            await pilot.press("s")
            await until(pilot, lambda: shown(app)[0] not in seen)
            seen[shown(app)[0]] = [row.entry.id for row in app.query_one(ModelList).rows if row.entry]
            assert app.query_one(ModelList).entry.id == "demo"
        assert seen.pop("on this machine, last used first")[0] == "big"
        assert seen == {
            "on this machine, by name": ["acme/old", "big", "demo"],
            "on this machine, largest first": ["demo", "big", "acme/old"],
            "on this machine, most parameters first": ["demo", "big", "acme/old"],
            "on this machine": ["demo", "big", "acme/old"],
        }


async def test_a_hostile_name_is_shown_not_obeyed(make_app, cache: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "[red]evil\x1b[2J")
    app = make_app(start="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        widget = app.query_one(ModelList)
        assert "[red]evil␛[2J" in widget.render_line(2).text


async def test_keys_that_cannot_work_say_why(make_app, cache: Path) -> None:
    app = make_app(start="model")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("d", "x", "m")
        assert toasts(app) == [
            "it is here already",
            "only models in the Hugging Face cache are removed here",
            "the Hub has no more of this search",
        ]


@pytest.mark.parametrize("state", ["demo", "search", "download", "problem", "files", "sorted"])
def test_pictures(
    snap_compare, make_app, size, state: str, cache: Path, hub: HubServer, tmp_path: Path
) -> None:
    app, before = in_state(state, make_app, cache, hub, tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("state", ["search", "download"])
def test_pictures_on_a_wide_screen(
    snap_compare, make_app, state: str, cache: Path, hub: HubServer, tmp_path: Path
) -> None:
    app, before = in_state(state, make_app, cache, hub, tmp_path)
    assert snap_compare(app, terminal_size=(200, 50), run_before=before)


def in_state(state: str, make_app, cache: Path, hub: HubServer, tmp_path: Path):
    """The app on a few models, and what brings its panel into a state."""
    folder = cached_model(cache, "acme/llama-8b-chat", used=2e9)
    for path in folder.iterdir():
        if path.name == "config.json":
            config = {**json.loads(path.read_text()), "num_hidden_layers": 3}
            path.resolve().write_text(json.dumps(config))
    cached_model(cache, "acme/unfinished", leave_out=("model.safetensors",))
    write_model(tmp_path / "models" / "my-tune", template="")
    if state in ("search", "download"):
        for number, gated in enumerate([False, "manual", False, False]):
            files = {path.name: path.read_bytes() for path in (tmp_path / "models" / "my-tune").iterdir()}
            hub.add(f"maker/llama-{number}", files,
                    gated=gated, downloads=10 ** (7 - number), parameters=8_030_261_248 >> number)  # fmt: skip
    app = make_app(start="model")

    async def before(pilot) -> None:
        await ready(pilot)
        await until(pilot, lambda: "GPU 0" in app.query_one(Header).text())
        if state == "problem":
            await pilot.press("down", "down", "down")
            await until(pilot, lambda: "not whole" in card(app) and cards_here(app))
        if state in ("search", "download"):
            await pilot.press("slash", *"llama")
            await until(pilot, lambda: any("shown" in line for line in shown(app)))
            await pilot.press("enter")
        if state == "download":
            progress = DownloadProgress(1_200_000_000, 4_000_000_000, 89_000_000, 31.5)
            app.panel.downloads.all["maker/llama-3"] = Download("maker/llama-3", "main", progress=progress)
            app.panel._draw()
            await pilot.press("G")
        if state == "sorted":
            await pilot.press("s", "s", "s", "s")
        if state == "files":
            await pilot.press("o")
            await until(pilot, lambda: isinstance(app.screen, Viewer))
        if not isinstance(app.screen, Viewer):
            await until(pilot, lambda: "reading" not in card(app))
            await settled(pilot)
            rows = app.query_one(ModelList)
            await until(
                pilot, lambda: rows._top == max(0, len(rows.rows) - rows.size.height) or rows._top == 0
            )
        await pilot.pause()

    return app, before
