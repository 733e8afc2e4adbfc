"""The formulas against published peaks of real runs; skipped where the measurements are not at hand."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from benchmarks.memory_oracles import UNMODELLED, Row, bars, rows_of
from benchmarks.rules_of_thumb import NO_SIZE, UNTRUSTED
from benchmarks.rules_of_thumb import rows_of as book_rows
from tests.conftest import SHARED


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    path = SHARED / "facts" / "memory_oracles.json"
    if not path.is_file():
        pytest.skip("the published measurements (shared/facts) are not beside the project")
    return rows_of(json.loads(path.read_text(encoding="utf-8")))


def test_allocated_peak_is_within_one_per_cent_on_average_and_three_at_worst(rows: list[Row]) -> None:
    found = bars(rows)
    assert found["rows"] >= 34
    assert found["mean"] <= 0.01
    assert found["worst"] <= 0.03


def test_static_part_is_within_half_a_per_cent(rows: list[Row]) -> None:
    found = bars(rows)
    assert found["static_rows"] >= 28
    assert found["static_worst"] <= 0.005


def test_the_one_known_miss_is_named_and_no_larger_than_said(rows: list[Row]) -> None:
    missed = [row for row in rows if row.left_out == UNMODELLED]
    assert [row.name for row in missed] == ["fms/main/mixtral-8x7b/qlora-kbitprep/hf/1gpu/bs4"]
    assert missed[0].error == pytest.approx(-0.042, abs=0.002)


def test_every_row_is_predicted_or_says_why_not(rows: list[Row]) -> None:
    assert len(rows) == 280
    assert all(row.error is not None or row.left_out for row in rows)


def test_phase_that_decides_the_published_peaks(rows: list[Row]) -> None:
    phases = {row.name: row.phase for row in rows}
    assert phases["fms/main/mistral-7b/full/hf/1gpu/bs4"] == "step"  # foreach AdamW: 10 bytes per parameter
    assert phases["fms/main/mistral-7b/qlora/hf/1gpu/bs4"] == "loss"  # full logits
    assert phases["fms/liger/mistral-7b/full/flce/1gpu/bs16"] == "block"  # fused loss, large batch


@pytest.fixture(scope="module")
def books() -> dict[str, Any]:
    path = SHARED / "facts" / "oracles.json"
    if not path.is_file():
        pytest.skip("the published figures (shared/facts) are not beside the project")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_memory_entry_of_the_textbooks_has_a_row_or_states_no_size(books: dict[str, Any]) -> None:
    stated = {entry["id"] for entry in books["oracles"] if entry["group"] in ("footprints", "memory_tables")}
    rows = list(book_rows(books))
    shown = {row.entry for row in rows}
    assert len(stated) == 49
    assert shown | set(NO_SIZE) == stated
    assert not shown & set(NO_SIZE)
    # Every printed cell, not one of each table.
    count = Counter(row.entry for row in rows)
    assert count["mem.peak.opt350m_16bit_s500"] == 18 and count["mem.peak.opt350m_8bit_lora"] == 24
    assert (
        count["mem.book.sizes"] == 12
        and count["fp.weights_misc"] == 9
        and len(rows) == len({(row.entry, row.what, row.book) for row in rows})
    )
    assert all(row.reason for row in rows if abs(row.ours / row.book - 1) >= 0.005)


def test_figures_of_textbooks_stand_beside_the_plans(books: dict[str, Any]) -> None:
    rows = list(book_rows(books))
    for row in rows:
        name = f"{row.entry} {row.what}"
        if row.entry.startswith(("fp.opt350m", "fp.phi3", "fp.a100", "fp.embedding")) and row.what != "file":
            assert row.ours == pytest.approx(row.book, rel=1e-6 if "hidden" not in name else 1e-3), name
        if row.entry == "mem.qlora_sizes":
            assert float(row.what.removesuffix("B")) / 2 < row.ours <= row.book, name
        if row.entry == "mem.peak.opt350m_16bit_s500":
            assert row.reason == UNTRUSTED or row.ours == pytest.approx(row.book, rel=0.2), name
        if row.entry == "mem.peak.opt350m_8bit_lora":
            assert row.ours == pytest.approx(row.book, rel=0.4), name
            if "plain, sdpa" in name or row.what.startswith("ckpt"):
                assert row.ours == pytest.approx(row.book, rel=0.2), name
        if row.entry == "mem.peak.slopes_8bit":
            assert row.ours == pytest.approx(row.book, rel=0.2), name
        if row.entry == "mem.optimizer_bytes":
            assert row.ours == pytest.approx(row.book, rel=1e-6 if "8bit" not in name else 0.1), name


def test_orderings_that_the_textbooks_measured_hold_for_the_plan(books: dict[str, Any]) -> None:
    found = {(row.entry.rpartition("_")[2], row.what): row.ours for row in book_rows(books)}
    short = [found["lora", f"ckpt, 500 tokens, plain, {kind}"] for kind in ("eager", "sdpa")]
    assert short[0] == pytest.approx(short[1], rel=0.02)  # with checkpoints attention hardly counts at 500
    eight = found["lora", "no ckpt, 500 tokens, plain, sdpa"]
    assert eight > found["s500", "5-8 no ckpt, LoRA, sdpa"]  # an 8-bit base can peak above a 16-bit one
