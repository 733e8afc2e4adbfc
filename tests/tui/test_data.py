"""The Data panel on the demo's own data: what it says of rows, tokens, findings and figures, and how it looks."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import TunedeckError
from core.workshop import Failure, Progress, Result
from tests.tui.test_shell import toasts, until
from tui.data.batches import BatchView, batch_lines
from tui.data.figures import FiguresView
from tui.data.findings import FindingList
from tui.data.row_list import NumberedRows
from tui.data.rows_tab import RowsTab
from tui.widgets.bars import Bar
from tui.widgets.text_view import TextView, wrapped
from tui.widgets.token_view import TokenView


class Inline:
    """The workshop's work done at once in this process, which spares starting one for every test."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._last = 0

    def submit(self, function: str, /, **arguments: Any) -> int:
        self._last += 1
        module, _, name = function.partition(":")
        job = self._last
        try:
            value = getattr(importlib.import_module(module), name)(
                **arguments, progress=lambda value: self._messages.append(Progress(job, value))
            )
            self._messages.append(Result(job, value))
        except TunedeckError as error:
            self._messages.append(Failure(job, str(error)))
        return job

    def poll(self, timeout_seconds: float = 0.0) -> list[Any]:
        messages, self._messages = self._messages, []
        return messages

    def cancel(self) -> None:
        self._messages.clear()

    close = cancel


@pytest.fixture
def app(make_app, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("core.workshop.Workshop", Inline)
    monkeypatch.setattr("tui.data.panel.CHECK_AFTER_SECONDS", 0.01)
    return opened(make_app(start="data"))


def opened(app: Any, **data: Any) -> Any:
    app.deck.change(
        {"data.source": "demo/troubled.jsonl", "data.max_length": 256}
        | {f"data.{k}": v for k, v in data.items()}
    )
    app.deck.unsaved = False
    return app


async def drawn(pilot: Any) -> None:
    """Until the first row and the check have arrived."""
    app = pilot.app
    await until(
        pilot,
        lambda: app.panel and app.panel.query(RowsTab) and app.panel.rows.row and app.panel.rows.report,
        60,
    )
    await until(pilot, lambda: app.panel.query_one(FiguresView).cut)
    await pilot.pause()


def inspector(app: Any) -> list[str]:
    bar = app.query_one("#inspector", Bar)
    return [bar.text(line).strip() for line in range(4)]


async def test_a_row_token_by_token(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.query_one(TokenView)
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


async def test_trained_and_masked_tokens_differ_without_colour(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        tokens = app.query_one(TokenView)
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
        tokens = app.query_one(TokenView)
        tokens.focus()
        await pilot.press("end")
        assert inspector(app)[1] == "label -100, cut off: past max_length 256"
        last = tokens.render_line(min(tokens.size.height, len(tokens.layout_lines.lines)) - 1)
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
        assert "no further row has tools-ignored" in toasts(app)[-1]
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


async def test_another_mode_beside_this_one(app) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("c", "c", "c")
        await until(pilot, lambda: "loss on all" in app.query_one("#text", TextView).text)
        assert "21 of 31 tokens differ" in app.query_one("#text", TextView).text
        await pilot.press("escape")
        assert app.query_one(TokenView).display and not app.query_one("#text").display


async def test_rows_are_found_sorted_and_reached_by_number(app) -> None:
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
        await pilot.press("s", "home")
        assert rows.number == 14


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


async def test_a_batch_as_the_collator_makes_it(app) -> None:
    app.deck.change(
        {"data.source": "demo/yoda_held_out.jsonl", "data.eval_fraction": 0.0, "training.micro_batch": 2}
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("d")
        view = app.query_one(BatchView)
        await until(pilot, lambda: view.current)
        assert view.current.number == 0 and len(view.current.rows) == 2
        assert "input_ids        2 x " in view.text and "padding" in view.text and "█" in view.text
        await pilot.press("right")
        await until(pilot, lambda: view.current.number == 1)
        assert f"batch 1 of {view.current.batches:,} per epoch" in view.text


def test_a_strip_shows_trained_masked_and_padded_places() -> None:
    from core.data.batch import Batch

    tensors = {
        "input_ids": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]),
        "labels": np.array([[-100, -100, 3, 4], [-100, 6, -100, -100]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    batch = Batch(0, 9, 0, tensors, ((7,), (3,)), False, 6, 3, True)
    texts = [text for text, _ in batch_lines(batch, 80)]
    assert "8 places: 6 tokens, 3 trained, 25% padding" in texts
    assert "row 7                ░░██" in texts and "row 3                ░█··" in texts


async def test_a_source_that_is_not_there_is_said(app) -> None:
    app.deck.change({"data.source": "nowhere.jsonl"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: any("no such data source" in view.text for view in app.query(TextView)))


async def test_the_real_workshop_brings_the_same(make_app) -> None:
    app = opened(make_app(start="data"))
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert app.panel.rows.report.rows == 49 and app.panel.rows.row.trained == 10


@pytest.mark.parametrize("state", ["rows", "findings", "figures", "hostile"])
def test_pictures(snap_compare, app, size, tmp_path: Path, state: str) -> None:
    if state == "hostile":
        text = "\x1b[2J[bold]x[/] \u202eabc\u200b \x00 שלום 🤖\ttab  two\n" * 4
        row = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}]}
        (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
        app.deck.change({"data.source": "rows.jsonl"})
        app.deck.unsaved = False

    async def before(pilot) -> None:
        await drawn(pilot)
        await pilot.press({"findings": "f", "figures": "w"}.get(state, "r"))
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_text_is_wrapped_at_blanks_and_hidden_characters_are_shown() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("a" * 10, 4) == ["aaaa", "aaaa", "aa"]
    assert wrapped("a\x1b[0m\n\u200b", 20) == ["a␛[0m", "‹200B›"]
