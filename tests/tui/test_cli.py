"""The command line's own promises: light, exit codes, no traceback, stdout is data."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core import __version__
from core.errors import MissingError
from core.recipe import Recipe, known_keys, parse_recipe, read_recipe
from core.recipe_comments import commented_text
from core.workspace import state_folder
from tui import cli

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")


def call(*arguments: str) -> int:
    """Run a command in this process; its exit code."""
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules that a fresh process holds after the command."""
    code = (
        "import sys\nfrom tui.cli import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ran.stderr.rpartition("MODULES")[2].split())


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert call("--version") == 0
    assert capsys.readouterr().out == f"tunedeck {project['version']}\n"
    assert __version__ == project["version"]


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("init", "--help")], ids=" ".join)
def test_help_and_version_import_no_screen_and_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert modules_after(*arguments).isdisjoint({*HEAVY, "textual", "rich"})


def test_init_writes_every_key_and_reads_back_as_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert call("init", str(file)) == 0
    assert read_recipe(file) == Recipe()
    text = file.read_text()
    missing = [key for key in known_keys() if key.partition(".")[2] not in text]
    assert missing == []


def test_a_commented_recipe_keeps_what_was_chosen() -> None:
    chosen = parse_recipe(
        'model.source = "a/b"\n[data]\ncolumns = {prompt = "q\\"uestion"}\n[training]\nextra = {tf32 = true}\n'
        '[tuner]\ntargets = ["q_proj", "v_proj"]\nalpha = 8\n'
    )
    assert parse_recipe(commented_text(chosen)) == chosen


def test_init_lays_its_options_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert call("init", str(file), "--data", "chats.jsonl", "--set", "tuner.rank=8") == 0
    recipe = read_recipe(file)
    assert (recipe.data.source, recipe.tuner.rank, recipe.alpha) == ("chats.jsonl", 8, 16)


def test_init_can_write_what_suits_the_embedded_model(tmp_path: Path) -> None:
    from core.demo.paths import RECIPE

    file = tmp_path / "mine.toml"
    assert call("init", str(file), "--demo") == 0
    assert read_recipe(file) == read_recipe(RECIPE)
    missing = [key for key in known_keys() if key.partition(".")[2] not in file.read_text()]
    assert missing == []


def test_init_never_writes_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("# mine")
    assert call("--workspace", str(tmp_path), "init") == 2
    assert file.read_text() == "# mine"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"tunedeck: {file}: there is a file of that name already\nname another one\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert call("frobnicate") == 2


def test_a_known_error_is_two_lines_and_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> None:
        raise MissingError("no GPU here", fix="rent one")

    monkeypatch.setattr(cli, "run", fail)
    assert call() == 4
    assert capsys.readouterr().err == "tunedeck: no GPU here\nrent one\n"


def test_an_unexpected_error_shows_no_traceback_and_logs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "run", fail)
    assert call() == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and "ZeroDivisionError: by zero" in shown
    assert "Traceback" in (state_folder() / "tunedeck.log").read_text()


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupt)
    assert call() == 130


def test_the_app_imports_nothing_heavy() -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom core.workspace import Workspace\n"
        "from tui.app import DeckApp\nfrom tui.deck import open_deck\n"
        "async def main():\n"
        "    app = DeckApp(open_deck(Workspace(Path('/nonexistent'))))\n"
        "    async with app.run_test() as pilot:\n"
        "        for spec in app.specs:\n"
        "            await app.show_panel(spec.name)\n"
        "            await pilot.pause()\n"
        "asyncio.run(main())\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(ran.stdout.rpartition("MODULES")[2].split()).isdisjoint(HEAVY)


def test_the_workshop_starts_while_a_screen_holds_stderr() -> None:
    """Textual puts an object in place of sys.stderr whose file number is -1."""
    code = (
        "import sys\nfrom core.workshop import Workshop\n"
        "class Held:\n"
        "    def fileno(self): return -1\n"
        "    def write(self, text): pass\n"
        "    def flush(self): pass\n"
        "if __name__ == '__main__':\n"
        "    sys.stderr = Held()\n"
        "    shop = Workshop()\n"
        "    print(shop.wait(shop.submit('tests.tui.sample_panels:double', value=21)))\n"
        "    shop.cancel()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "42"


def test_every_command_is_in_the_documentation() -> None:
    from tui.commands.all import app

    page = (ROOT / "docs" / "commands.md").read_text()
    names = [command.name for command in app.registered_commands] + [
        group.name for group in app.registered_groups
    ]
    assert [name for name in names if f"{name}" not in page] == []


def test_the_demo_takes_only_a_run_of_the_demo_recipe(tmp_path: Path) -> None:
    from core.demo.paths import RECIPE
    from core.recipe import read_recipe
    from tui.commands.screen import _is_of

    recipe = read_recipe(RECIPE)
    (tmp_path / "recipe.toml").write_text(RECIPE.read_text())
    assert _is_of(tmp_path, recipe)
    (tmp_path / "recipe.toml").write_text('[data]\nsource = "demo/yoda.jsonl"\n')
    assert not _is_of(tmp_path, recipe)
