"""Ways through the rows: comparing, filtering, sorting, jumping, changing what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tui.data_panel import drawn, inspector
from tests.tui.test_shell import toasts, until
from tui.data.record_view import ConversationText, RawText, RecordView
from tui.data.row_list import NumberedRows
from tui.widgets.bars import Bar
from tui.widgets.compare_view import CompareView
from tui.widgets.rows import RowList
from tui.widgets.token_view import TokenView


@pytest.fixture
def app(data_app) -> Any:
    return data_app


async def test_another_mode_beside_this_one(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        compare = app.query_one(CompareView)
        await pilot.press("c", "c", "c")
        await until(pilot, lambda: compare.right and compare.right.loss_on == "all")
        assert len(compare.different) == 21 and compare.cursor == 0
        assert [compare.render_line(y).text.strip() for y in range(6)] == [
            "A loss on assistant: 31 tokens, 10 trained",
            "B loss on all: 31 tokens, 31 trained",
            "21 of 31 tokens differ",
            "A ▏<|im_start|>▕user⏎",
            "B ▏<|im_start|>▕user⏎",
            "▲" + "~" * 18,
        ]
        assert inspector(app)[:3] == [
            'A  token 0  id 2  "<|im_start|>"  not trained: user header: not what the mode…',
            'B  token 0  id 2  "<|im_start|>"  trained: everything is trained',
            "difference 1 of 21: the label differs",
        ]
        compare.focus()
        await pilot.press("n")
        assert compare.cursor == 30 and inspector(app)[2] == "difference 21 of 21: the label differs"
        await pilot.press("escape")
        assert app.panel.rows.query_one(TokenView).display and not compare.display


async def test_two_templates_token_by_token(app, tmp_path: Path) -> None:
    (tmp_path / "short.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("C", *"short.jinja", "enter")
        compare = app.query_one(CompareView)
        await until(pilot, lambda: compare.display)
        assert compare.right.template == "short.jinja"
        assert compare.pair.left is not None and compare.pair.right is None
        assert inspector(app)[1:3] == [
            "B  no such token",
            f"difference 1 of {len(compare.different)}: only in A",
        ]
        await pilot.press("C", *"nowhere.jinja", "enter")
        await until(pilot, lambda: not compare.display)
        assert "nowhere.jinja" in toasts(app)[-1]


async def test_rows_are_found_filtered_sorted_and_reached_by_number(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        rows = app.query_one(NumberedRows)
        await pilot.press("slash", *"rabbit", "enter")
        await until(pilot, lambda: rows.count < 49)
        assert rows.number == 3
        await pilot.press("colon", *"20", "enter")
        assert rows.count == 49 and rows.number == 20
        await pilot.press("colon", *"99", "enter")
        assert "rows go from 0 to 48" in toasts(app)[-1]
        await pilot.press("s")
        assert rows.number == 14 and rows.order[:2].tolist() == [14, 13]
        await pilot.press("slash", *"tokens>50 warning", "enter")
        assert rows.order.tolist() == [13, 23, 22, 17]  # still the longest first
        await pilot.press("escape", "escape")
        assert rows.order is None


async def test_the_next_row_of_a_finding_lies_anywhere_in_the_set(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("colon", *"11", "enter", "n")
        assert app.panel.rows.finding.code == "empty-answer" and app.query_one(NumberedRows).number == 12
        assert "empty-answer 2 of 3" in app.query_one("#tabs", Bar).text()
        await pilot.press("n")
        assert app.query_one(NumberedRows).number == app.panel.rows.finding.rows[2] > 12
        await pilot.press("n")
        assert toasts(app)[-1] == "no further row has empty-answer"
        await pilot.press("N", "N")
        assert app.query_one(NumberedRows).number == 11


async def test_the_conversation_stands_beside_the_raw_row(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        app.panel.rows.query_one(TokenView).focus()
        await pilot.press("v")
        assert app.query_one(ConversationText).text.startswith(
            "read as: OpenAI messages role/content\n0 user\nSay"
        )
        assert '"role": "user"' in app.query_one(RawText).text
        assert app.query_one(ConversationText).has_focus  # the tokens have given way
        await pilot.press("J")
        await until(pilot, lambda: app.panel.rows.row.row == 1)
        await pilot.press("z")
        assert not app.query_one(NumberedRows).display and app.query_one(RecordView).has_class("beside")


async def test_template_length_and_source_are_changed_from_the_panel(app, tmp_path: Path) -> None:
    (tmp_path / "short.jinja").write_text("{{ messages[0].content }}{{ messages[-1].content }}")
    (tmp_path / "two.jsonl").write_text(
        '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("colon", *"3", "enter")
        await until(pilot, lambda: app.panel.rows.row.row == 3)
        await pilot.press("T", *["backspace"] * 5, *"short.jinja", "enter")
        await until(pilot, lambda: app.panel.rows.row.template == "short.jinja")
        assert app.panel.rows.row.row == 3 and app.query_one(NumberedRows).number == 3
        await pilot.press("L", *["backspace"] * 3, *"8", "enter")
        await until(pilot, lambda: app.panel.rows.row.kept == 8)
        await pilot.press("L", *["backspace"], *"x", "enter")
        assert "max_length" in toasts(app)[-1] and app.deck.recipe.data.max_length == 8
        await pilot.press("e")
        await until(pilot, lambda: app.screen.query(RowList) and len(app.screen.query_one(RowList).rows) == 4)
        await pilot.press(*"two", "enter")
        await until(pilot, lambda: app.panel.rows.row and "two.jsonl" in app.panel.rows.row.where)
        assert app.deck.recipe.data.source == "two.jsonl" and app.query_one(NumberedRows).total == 2


async def test_streamed_rows_are_not_downloaded_unasked(app, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub data set that is not here: its first rows are listed, the check (a download) waits for its key."""
    from dataclasses import replace

    from core.data import glance

    whole = glance.glances
    checks: list[Any] = []

    def looked(*arguments: Any, **named: Any) -> Any:
        return replace(whole(*arguments, **named), whole=False)

    def checked(**named: Any) -> Any:
        checks.append(named)
        return glance.check(named["recipe"], glance._folder(named["recipe"], named["workspace"]))

    monkeypatch.setattr(glance, "glances", looked)
    monkeypatch.setattr(glance, "check_set", checked)
    async with app.run_test(size=(120, 24)) as pilot:
        await until(pilot, lambda: app.panel and app.panel.rows.row and "streamed" in app.panel.checking)
        assert app.panel.checking == "the first 49 rows, streamed; ctrl+r downloads and checks the set"
        assert not checks
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.panel.rows.report)
        assert len(checks) == 1


async def test_a_row_is_centred_again_when_its_view_gets_another_height(app) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        tokens = await _long_row(pilot)
        assert tokens.render_line(0).text.strip() == "▏<|im_start|>▕user⏎"
        await _with_height(pilot, tokens, 3)
        assert _line_of_cursor(tokens) == 1 == tokens.size.height // 2
        await _with_height(pilot, tokens, 12)
        assert tokens.render_line(0).text.strip() == "▏<|im_start|>▕user⏎"


async def test_where_a_person_went_stays_in_view_and_is_not_centred(app) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        tokens = await _long_row(pilot)
        tokens.focus()
        await pilot.press("down", "down", "down")
        await _with_height(pilot, tokens, 3)
        assert _line_of_cursor(tokens) == 2  # the last line of three; centred it would be the middle one


async def _long_row(pilot: Any) -> TokenView:
    """Row 13, whose first trained token is in its third line."""
    await drawn(pilot)
    await pilot.press("colon", *"13", "enter")
    await until(pilot, lambda: pilot.app.panel.rows.row.row == 13)
    return pilot.app.panel.rows.query_one(TokenView)


async def _with_height(pilot: Any, tokens: TokenView, lines: int) -> None:
    tokens.styles.height = lines
    await until(pilot, lambda: tokens.size.height == lines)
    await pilot.pause()


def _line_of_cursor(tokens: TokenView) -> int:
    """The line on screen with the cursor's ground."""
    ground = tokens.style_of("trained", "cursor").bgcolor
    marked = [
        y
        for y in range(tokens.size.height)
        if any(piece.style and piece.style.bgcolor == ground for piece in tokens.render_line(y))
    ]
    assert len(marked) == 1
    return marked[0]
