"""The Batch tab: real tensors of the real collator, place by place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tui.data_panel import drawn
from tests.tui.test_shell import until
from tui.data.batch_lines import counted, head_lines, strip
from tui.data.batches import BatchView, Sequences
from tui.data.rows_tab import RowsTab
from tui.widgets.bars import Bar
from tui.widgets.text_view import TextView
from tui.widgets.token_view import TokenView


@pytest.fixture
def app(data_app) -> Any:
    return data_app


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
