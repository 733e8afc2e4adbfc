"""The Data panel on the demo's own data: what it says of rows, tokens, findings and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.data.tokens import NO_TOKENS
from core.data.types import Conversation, Message, Rendering
from core.data.view import ShownRow
from tests.tui.data_panel import Inline, drawn, inspector, opened
from tests.tui.test_shell import toasts, until
from tui.data.figures import FiguresView
from tui.data.findings import FindingList
from tui.data.lines import conversation_lines
from tui.data.record_view import ConversationText
from tui.data.row_list import NumberedRows
from tui.widgets.text_view import TextView, wrapped
from tui.widgets.token_view import TokenView

EMPTY_ROW = ShownRow(
    0, {}, "x.jsonl:1", "", None, Rendering("", (), False, ()), NO_TOKENS, 0, "assistant", "none", frozenset()
)


@pytest.fixture
def app(data_app) -> Any:
    return data_app


async def test_a_row_token_by_token(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.panel.rows.query_one(TokenView)
        assert len(tokens.tokens) == 31 and tokens.kept == 31
        assert inspector(app) == [
            'token 20 of 31  id 442  "In"  bytes 49 6e',
            "label 442, trained: the model must produce it: assistant turn, content",
            "assistant  message 1 content  characters 100-102",
            "row 0  troubled.jsonl:1  OpenAI messages role/content",
        ]
        tokens.focus()
        await pilot.press("left")
        assert inspector(app)[1] == "label -100, not trained: the generation prompt supplies it"
        await pilot.press("end", "left")
        assert inspector(app)[0].startswith('token 29 of 31  id 3  "<|im_end|>"')
        assert "the stop token of a trained turn" in inspector(app)[1]


async def test_a_tall_screen_is_filled(app) -> None:
    async with app.run_test(size=(200, 50)) as pilot:
        await drawn(pilot)
        rows = app.query_one(NumberedRows)
        await until(
            pilot,
            lambda: rows.in_view[-1] == 40 and all(rows.pieces(at, False)[5][0].strip() for at in (0, 40)),
        )


async def test_trained_and_masked_tokens_differ_without_colour(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.panel.rows.query_one(TokenView)
        tokens.action_edge(0)
        await pilot.pause()
        trained = {
            (segment.style.bold, segment.style.underline, segment.style.bgcolor)
            for y in range(8) for segment in tokens.render_line(y) if segment.text.strip() in ("quiet", "river", "work")
        }  # fmt: skip
        assert len(trained) == 2 and {bold and underline for bold, underline, _ in trained} == {True, None}


async def test_what_is_cut_off_is_struck_and_said(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("colon", *"13", "enter")
        await until(pilot, lambda: app.panel.rows.row.row == 13)
        tokens = app.panel.rows.query_one(TokenView)
        tokens.focus()
        await pilot.press("end")
        assert inspector(app)[1] == "label -100, cut off: past max_length 256"
        last = tokens.render_line(min(tokens.size.height, len(tokens.layout_lines)) - 1)
        assert any(segment.style.strike for segment in last if segment.text.strip())
        assert "answer-cut" in inspector(app)[3]


async def test_findings_lead_to_their_rows(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("f")
        findings = app.query_one(FindingList)
        assert findings.finding.code == "tools-ignored"
        assert "Fix: choose a data.template with tool support" in app.query_one("#finding", TextView).text
        await pilot.press("enter")
        rows = app.query_one(NumberedRows)
        assert rows.count == 3 and rows.number == 30
        await until(pilot, lambda: app.panel.rows.row.row == 30)
        await pilot.press("n")
        await until(pilot, lambda: app.panel.rows.row.row == 31)
        await pilot.press("N", "N")
        assert "no earlier row has tools-ignored" in toasts(app)[-1]
        await pilot.press("escape")
        assert rows.count == 49


async def test_a_change_of_mode_labels_the_row_anew(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        before = app.panel.rows.row.trained
        app.panel.change_recipe({"data.loss_on": "all"})
        await until(pilot, lambda: app.panel.rows.row.loss_on == "all")
        assert before == 10 and app.panel.rows.row.trained == 31
        app.panel.change_recipe({"data.source": "demo/yoda_held_out.jsonl"})
        await until(pilot, lambda: app.panel.rows.row and "yoda_held_out" in app.panel.rows.row.where)


async def test_a_change_while_the_set_is_checked_ends_that_check(
    app, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row in view is labelled at once, the place stays, and the old check never reports."""
    started: list[str] = []

    class Slow(Inline):
        """A check that is at work until it is cancelled, but for `completion`."""

        def submit(self, function: str, /, **arguments: Any) -> int:
            if function.endswith(":check_set"):
                started.append(arguments["recipe"].data.loss_on)
                if started[-1] != "completion":
                    self._last += 1
                    return self._last
            return super().submit(function, **arguments)

        def cancel(self) -> None:
            started.append("cancelled")
            super().cancel()

    monkeypatch.setattr("core.workshop.Workshop", Slow)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: started == ["auto"] and app.panel.rows.row)
        await pilot.press("colon", *"5", "enter")
        await until(pilot, lambda: app.panel.rows.row.row == 5)
        app.panel.rows.query_one(TokenView).focus()
        await pilot.press("home", "right", "right")
        app.panel.change_recipe({"data.loss_on": "all"})
        await until(pilot, lambda: app.panel.rows.row.loss_on == "all")
        await until(pilot, lambda: started == ["auto", "cancelled", "all"])
        assert app.panel.rows.report is None
        app.panel.change_recipe({"data.loss_on": "completion"})
        await until(pilot, lambda: app.panel.rows.report)
        assert started == ["auto", "cancelled", "all", "cancelled", "completion"]
        assert app.panel.rows.row.row == 5 and app.panel.rows.query_one(TokenView).cursor == 2
        assert app.query_one(NumberedRows).number == 5


async def test_the_line_over_the_histogram_moves_and_is_taken(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("w")
        figures = app.query_one(FiguresView)
        assert "2 rows cut, 820 tokens lost" in figures.text
        for _ in range(5):
            await pilot.press("right")
        await until(pilot, lambda: figures.cut.max_length == figures.max_length)
        assert figures.max_length == 679 and "0 rows cut" in figures.text
        await pilot.press("enter")
        await until(pilot, lambda: app.deck.recipe.data.max_length == 679)


async def test_a_source_that_is_not_there_is_said(app) -> None:
    app.deck.change({"data.source": "nowhere.jsonl"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: any("no such data source" in view.text for view in app.query(TextView)))
        problem = app.query_one("#problem", TextView)
        assert problem.text.splitlines()[0] == "nowhere.jsonl: no such data source" and problem.display
        await pilot.press("c", "v", "z", "z")
        assert problem.display  # nothing to show instead


@pytest.mark.parametrize("bad", ["binary", "empty", "template-syntax", "template-missing", "model"])
async def test_what_cannot_be_used_is_said_in_a_line_and_mended_from_here(
    app, tmp_path: Path, bad: str
) -> None:
    (tmp_path / "noise.jsonl").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "broken.jinja").write_text("{% for m in messages %}{{ m.content }")
    change, said = {
        "binary": ({"data.source": "noise.jsonl"}, "~/noise.jsonl: a binary file, not rows"),
        "empty": ({"data.source": "empty.jsonl"}, "empty.jsonl: "),
        "template-syntax": (
            {"data.template": "broken.jinja"},
            "data.template: the chat template has an error in line 1",
        ),
        "template-missing": ({"data.template": "none.jinja"}, "~/none.jinja: no such template file"),
        "model": ({"model.source": "no/such-model"}, "no/such-model: "),
    }[bad]
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        before = {key: _value(app.deck.recipe, key) for key in change}
        app.panel.change_recipe(change)
        problem = app.query_one("#problem", TextView)
        await until(pilot, lambda: problem.display)
        assert problem.text.splitlines()[0].startswith(said), problem.text
        app.panel.change_recipe(before)
        await until(pilot, lambda: app.panel.rows.row and not problem.display)
        assert len(app.panel.rows.query_one(TokenView).tokens) == 31


def _value(recipe: Any, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(recipe, section), name)


async def test_tokens_that_share_a_character_tell_their_bytes(app, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "🤖"}, {"role": "assistant", "content": "no"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    app.deck.change({"data.source": "rows.jsonl"})
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.panel.rows.query_one(TokenView)
        tokens.focus()
        await pilot.press("home", "right", "right", "right")
        told = inspector(app)[0]
        assert '"‹F0›"  bytes f0, a part of "🤖"' in told, told
        assert "‹F0›‹9F›‹A4›‹96›" in "".join(tokens.render_line(y).text for y in range(3))


def test_a_conversation_names_its_tools_first_and_shows_them_last() -> None:
    schema = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    talk = Conversation(
        0, "messages", (Message("user", "Rain?"),), tools=(schema, {"name": "bare"}), how="a test"
    )
    row = replace(EMPTY_ROW, conversation=talk, how="a test")
    texts = [text for text, _ in conversation_lines(row)]
    assert texts[:4] == ["read as: a test", "2 tools: weather, bare", "0 user", "Rain?"]
    assert texts[4] == "tool weather" and texts[6] == "tool bare" and json.loads(texts[5]) == schema


async def test_a_template_that_raises_is_the_rows_problem(app, tmp_path: Path) -> None:
    (tmp_path / "raises.jinja").write_text("{{ raise_exception('no [bold]thanks\\x1b[0m') }}")
    app.deck.change({"data.template": "raises.jinja"})
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.panel.rows.query_one(TokenView)
        said = "".join(tokens.render_line(y).text.strip() + " " for y in range(3))
        assert said.startswith("not trained: the chat template refused the row: no [bold]thanks")
        assert "\x1b" not in said
        await pilot.press("v")
        assert app.query_one(ConversationText).text.startswith("read as: OpenAI messages")


async def test_the_real_workshop_brings_the_same(make_app) -> None:
    app = opened(make_app(start="data"))
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert app.panel.rows.report.rows == 49 and app.panel.rows.row.trained == 10


def test_text_is_wrapped_at_blanks_and_hidden_characters_are_shown() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("a" * 10, 4) == ["aaaa", "aaaa", "aa"]
    assert wrapped("a\x1b[0m\n\u200b", 20) == ["a␛[0m", "‹200B›"]
