"""Every state of the Data panel as a picture, and that nothing in it is told by colour alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tui.data_panel import Inline, drawn
from tests.tui.test_shell import until
from tui.data.batches import BatchView
from tui.widgets.compare_view import CompareView
from tui.widgets.text_view import TextView
from tui.widgets.token_view import TokenView

HOSTILE = "\x1b[2J[bold]x[/] \u202eabc\u200b \x00 שלום 🤖\ttab  two\n" * 4


class Silent(Inline):
    """A workshop that is still at work."""

    def submit(self, function: str, /, **arguments: Any) -> int:
        self._last += 1
        return self._last


async def _rows(pilot: Any, *keys: str) -> None:
    await drawn(pilot)
    await pilot.press(*keys)
    await pilot.pause()


async def _record(pilot: Any) -> None:
    await _rows(pilot, "v")


async def _filtered(pilot: Any) -> None:
    await _rows(pilot, "slash", *"tokens>40 warning", "enter", "s")
    await until(pilot, lambda: pilot.app.panel.rows.row.row == 13)


async def _ids(pilot: Any) -> None:
    await drawn(pilot)
    pilot.app.panel.rows.query_one(TokenView).focus()
    await pilot.press("i", "u", "right")


async def _cut(pilot: Any) -> None:
    await _rows(pilot, "colon", *"13", "enter")
    await until(pilot, lambda: pilot.app.panel.rows.row.row == 13)
    pilot.app.panel.rows.query_one(TokenView).focus()
    await pilot.press("end")


async def _untrained(pilot: Any) -> None:
    await _rows(pilot, "colon", *"6", "enter")
    await until(pilot, lambda: pilot.app.panel.rows.row.row == 6)


async def _compare(pilot: Any) -> None:
    await _rows(pilot, "c", "c")
    compare = pilot.app.query_one(CompareView)
    await until(pilot, lambda: compare.right and compare.right.loss_on == "completion")


async def _findings(pilot: Any) -> None:
    await _rows(pilot, "f")


async def _figures(pilot: Any) -> None:
    await _rows(pilot, "w")


async def _batch(pilot: Any) -> None:
    await _rows(pilot, "d")
    await until(pilot, lambda: len(pilot.app.query_one(BatchView).query_one(TokenView).tokens))


async def _problem(pilot: Any) -> None:
    await until(pilot, lambda: pilot.app.query("#problem") and pilot.app.query_one("#problem", TextView).text)


async def _loading(pilot: Any) -> None:
    await until(pilot, lambda: pilot.app.panel and pilot.app.panel.opened)


async def _sources(pilot: Any) -> None:
    await _problem(pilot)
    await pilot.press("e")
    await until(pilot, lambda: pilot.app.screen.query("PickSource Input"))


STATES = {
    "loading": _loading, "no-source": _problem, "sources": _sources, "missing-file": _problem, "rows": _rows,
    "record": _record, "filtered": _filtered, "ids": _ids, "cut": _cut, "untrained": _untrained,
    "compare": _compare, "findings": _findings, "figures": _figures, "batch": _batch, "packed": _batch,
    "hostile": _rows, "no-colour": _rows,
}  # fmt: skip


@pytest.fixture
def app(
    data_app: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Any:
    state = request.node.callspec.params.get("state", "rows")
    changes: dict[str, dict[str, Any]] = {
        "no-source": {"data.source": ""},
        "sources": {"data.source": ""},
        "missing-file": {"data.source": "chats.jsonl"},
        "packed": {"data.packing": "bfd"},
        "hostile": {"data.source": "rows.jsonl"},
    }
    if state == "loading":
        monkeypatch.setattr("core.workshop.Workshop", Silent)
    if state == "hostile":
        turns = [{"role": role, "content": HOSTILE} for role in ("user", "assistant")]
        (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    data_app.deck.change(changes.get(state, {}))
    data_app.deck.unsaved = False
    return data_app


@pytest.mark.parametrize("state", STATES)
def test_pictures(snap_compare, monkeypatch: pytest.MonkeyPatch, request, size, state: str) -> None:
    if state == "no-colour":
        monkeypatch.setenv("NO_COLOR", "1")  # read when the app is made
    app = request.getfixturevalue("app")
    assert snap_compare(app, terminal_size=size, run_before=STATES[state])


@pytest.mark.parametrize("state", ["rows", "compare"])
def test_pictures_on_a_wide_screen(snap_compare, app, state: str) -> None:
    assert snap_compare(app, terminal_size=(200, 50), run_before=STATES[state])


async def test_nothing_of_a_token_is_told_by_colour_alone(data_app) -> None:
    """With all colours taken away, trained, masked, cut, padding and the cursor still differ."""
    async with data_app.run_test(size=(120, 40)) as pilot:
        await _cut(pilot)
        tokens = data_app.panel.rows.query_one(TokenView)
        looks: dict[str, set[tuple[bool, ...]]] = {"trained": set(), "masked": set(), "cut": set()}
        for number in range(len(tokens.layout_lines)):
            for piece in tokens.layout_lines.line(number):
                token = tokens.tokens[piece.token]
                kind = "cut" if piece.token >= tokens.kept else "trained" if token.label >= 0 else "masked"
                looks[kind].add(_without_colour(tokens.style_of(*tokens._names(piece))))
        assert looks["trained"] == {(1, 1, 0, 0)} and looks["masked"] == {(0, 0, 0, 0)}
        assert looks["cut"] == {(0, 0, 1, 0), (1, 1, 1, 0)}  # what the cut takes from the loss stays bold
        assert _without_colour(tokens.style_of("masked", "pad")) == (0, 0, 0, 1)


def _without_colour(style: Any) -> tuple[bool, ...]:
    """Bold, underline, strike, dim."""
    return tuple(bool(each) for each in (style.bold, style.underline, style.strike, style.dim))


async def test_without_colours_the_cursor_is_reversed(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = request.getfixturevalue("data_app")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.panel.rows.query_one(TokenView)
        assert tokens.style_of("trained", "cursor").reverse and not tokens.style_of("trained").reverse
        assert app.panel.rows.listed.render_line(1).text.startswith("›")


@pytest.mark.parametrize("theme", ["tunedeck-dark", "tunedeck-light"])
async def test_trained_and_masked_tokens_can_be_read_with_any_eyes(data_app, theme: str) -> None:
    """Contrast of text to its ground (WCAG: 4.5) as grey, which is less than any colour vision sees."""
    async with data_app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        data_app.theme = theme
        await pilot.pause()
        tokens = data_app.panel.rows.query_one(TokenView)
        for names in (("trained",), ("masked",), ("trained", "special"), ("trained", "cursor")):
            style = tokens.style_of(*names)
            assert _contrast(style.color.triplet, style.bgcolor.triplet) >= 4.5, names


def _contrast(one: Any, other: Any) -> float:
    def light(colour: Any) -> float:
        shares = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)
