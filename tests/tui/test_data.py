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
from tui.data.batch_lines import counted, head_lines, strip
from tui.data.batches import BatchView, Sequences
from tui.data.figures import FiguresView
from tui.data.findings import FindingList
from tui.data.record_view import ConversationText, RawText, RecordView
from tui.data.row_list import NumberedRows
from tui.data.rows_tab import RowsTab
from tui.widgets.bars import Bar
from tui.widgets.compare_view import CompareView
from tui.widgets.rows import RowList
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
        await until(pilot, lambda: view.current and len(view.query_one(TokenView).tokens))
        batch, tokens = view.current, view.query_one(TokenView)
        assert batch.number == 0 and len(batch.rows) == 2
        assert view.query_one("#tensors", TextView).text.startswith("input_ids, labels, attention_mask: 2 x ")
        assert [token.id for token in tokens.tokens] == batch.tensors["input_ids"][0].tolist()
        assert [token.label for token in tokens.tokens] == batch.tensors["labels"][0].tolist()
        shorter = int(batch.tensors["attention_mask"].sum(1).argmin())
        await pilot.press(*["down"] * shorter)
        await until(pilot, lambda: tokens.tokens[-1].part == "pad")
        tokens.focus()
        await pilot.press("end")
        assert "attention_mask 0" in view.query_one("#place", Bar).text(0)
        assert view.query_one("#place", Bar).text(1).strip() == (
            "label -100, padding: padding carries no loss and is not attended to"
        )
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: view.current.number == 1)
        assert (
            view.query_one("#head", Bar).text().startswith(f" batch 1 of {view.current.batches:,} per epoch")
        )
        await pilot.press("colon", *"7", "enter")
        await until(pilot, lambda: view.current.number == 7)
        row = view.current.stretches[0].rows[0]
        view.query_one(Sequences).focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.panel.rows.row.row == row)


async def test_packing_joins_rows_and_says_where_they_begin(app) -> None:
    app.deck.change(
        {"data.source": "demo/yoda_held_out.jsonl", "data.eval_fraction": 0.0, "training.micro_batch": 2}
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        await pilot.press("d")
        view = app.query_one(BatchView)
        await until(pilot, lambda: view.current)
        await pilot.press("p")
        await until(pilot, lambda: view.current and view.current.padding_free)
        batch, tokens = view.current, view.query_one(TokenView)
        assert app.deck.recipe.data.packing == "bfd" and batch.tensors["input_ids"].shape[0] == 1
        starts = [stretch.start for stretch in batch.stretches]
        assert starts == np.flatnonzero(batch.tensors["position_ids"][0] == 0).tolist() and len(starts) > 4
        assert [*starts, batch.places] == batch.tensors["cu_seq_lens_q"].tolist()
        assert "cu_seq_lens_q, cu_seq_lens_k: " in view.query_one("#tensors", TextView).text
        assert app.query_one(Sequences).has_focus
        assert "packing bfd, padding-free" in view.query_one("#head", Bar).text()
        tokens.focus()
        await pilot.press("home")
        assert "position_ids 0" in view.query_one("#place", Bar).text(0)
        assert "its label would cross the boundary" in view.query_one("#place", Bar).text(1)


@pytest.mark.slow
async def test_a_batch_of_the_demo_by_the_real_workshop(make_app) -> None:
    """Rows prepared, packed and collated by another process; only its messages come here."""
    app = make_app(start="data")
    app.deck.change(
        {"data.source": "demo/yoda_held_out.jsonl", "data.packing": "bfd", "data.max_length": 256}
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.panel and app.panel.query(RowsTab) and app.panel.rows.row, 120)
        await pilot.press("d")
        view = app.query_one(BatchView)
        await until(pilot, lambda: view.current, 240)
        batch = view.current
        assert batch.padding_free and batch.waste == 0
        assert all(len(stretch.rows) == 1 for stretch in batch.stretches)
        text = "".join(token.text for token in view.query_one(TokenView).tokens)
        assert text.startswith("<|im_start|>user\n")


def test_a_strip_shows_trained_masked_and_padded_places() -> None:
    from core.data.batch import Batch, Stretch

    tensors = {
        "input_ids": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]),
        "labels": np.array([[-100, -100, 3, 4], [-100, 6, -100, -100]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    stretches = (Stretch(0, 0, 4, (7,)), Stretch(1, 0, 4, (3,)))
    batch = Batch(0, 9, 0, tensors, ((7,), (3,)), False, 6, 3, True, stretches)
    assert head_lines(batch, "none")[1] == "8 places: 6 tokens, 3 trained, 25% padding"
    assert [strip(batch, stretch, 1) for stretch in stretches] == ["░░██", "░█··"]
    assert [strip(batch, stretch, 3) for stretch in stretches] == ["██", "█·"]
    assert [counted(batch, stretch) for stretch in stretches] == [(4, 2), (2, 1)]


async def test_a_source_that_is_not_there_is_said(app) -> None:
    app.deck.change({"data.source": "nowhere.jsonl"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: any("no such data source" in view.text for view in app.query(TextView)))
        problem = app.query_one("#problem", TextView)
        assert problem.text.splitlines()[0] == "nowhere.jsonl: no such data source" and problem.display
        await pilot.press("c", "v", "z", "z")
        assert problem.display  # nothing to show instead


async def test_the_real_workshop_brings_the_same(make_app) -> None:
    app = opened(make_app(start="data"))
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert app.panel.rows.report.rows == 49 and app.panel.rows.row.trained == 10


@pytest.mark.parametrize("state", ["rows", "record", "compare", "findings", "figures", "hostile", "batch"])
def test_pictures(snap_compare, app, size, tmp_path: Path, state: str) -> None:
    if state == "hostile":
        text = "\x1b[2J[bold]x[/] \u202eabc\u200b \x00 שלום 🤖\ttab  two\n" * 4
        row = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}]}
        (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
        app.deck.change({"data.source": "rows.jsonl"})
        app.deck.unsaved = False

    async def before(pilot) -> None:
        await drawn(pilot)
        keys = {"findings": "f", "figures": "w", "record": "v", "compare": "c", "batch": "d"}
        await pilot.press(keys.get(state, "r"))
        await until(
            pilot, lambda: state != "batch" or len(app.query_one(BatchView).query_one(TokenView).tokens)
        )
        await until(pilot, lambda: app.query_one(CompareView).display == (state == "compare"))
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_text_is_wrapped_at_blanks_and_hidden_characters_are_shown() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("a" * 10, 4) == ["aaaa", "aaaa", "aa"]
    assert wrapped("a\x1b[0m\n\u200b", 20) == ["a␛[0m", "‹200B›"]
