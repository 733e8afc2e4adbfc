"""The GPU benchmark goes on where it stopped: cells with a result are not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_memory

CELLS = len(gpu_memory.ORDER) * len(gpu_memory.METHODS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The cells that were priced, none trained: the plan is said not to fit."""
    found: list[tuple[int, str]] = []

    def skipped(recipe: Any, model: Path, length: int) -> str:
        found.append((length, recipe.model.attention))
        if len(found) == 3:
            raise KeyboardInterrupt
        return "does not fit: planned 99.0 GiB"

    monkeypatch.setattr(gpu_memory, "why_skipped", skipped)
    monkeypatch.setattr(gpu_memory, "make_model", lambda folder, config, device: folder.mkdir())
    return found


def test_an_interrupted_benchmark_goes_on_where_it_stopped(
    tmp_path: Path, asked: list[tuple[int, str]]
) -> None:
    out, results = tmp_path / "found.json", {"device": "card", "cells": {}}
    with pytest.raises(KeyboardInterrupt):
        gpu_memory.run_matrix(results, out, gpu_memory.TINY, "cpu", minutes=5)
    kept = json.loads(out.read_text())
    assert list(kept["cells"]) == ["tiny/lora/2048/sdpa", "tiny/lora no checkpoints/2048/sdpa"]
    gpu_memory.run_matrix(kept, out, gpu_memory.TINY, "cpu", minutes=5)
    assert len(asked) == 1 + CELLS  # the interrupted cell twice, every other once
    done = json.loads(out.read_text())
    assert len(done["cells"]) == CELLS
    gpu_memory.run_matrix(done, out, gpu_memory.TINY, "cpu", minutes=5)
    assert len(asked) == 1 + CELLS
    assert "| tiny/dora/512/eager | | | | skipped: does not fit" in gpu_memory.table(done)


def test_no_cell_is_begun_after_the_time_is_up(tmp_path: Path, asked: list[tuple[int, str]]) -> None:
    gpu_memory.run_matrix(
        {"device": "card", "cells": {}}, tmp_path / "found.json", gpu_memory.TINY, "cpu", minutes=-1
    )
    assert asked == []
