"""Packing by TRL's own `pack_dataset`, and what it does to a set: fill, cut rows, lost tokens."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.types import IGNORED
from core.models.quiet import hush_slow_kernels


@dataclass(frozen=True, slots=True)
class PackingReport:
    """A set after packing. `fill` is the share of the packs' room that holds tokens.

    `tokens_lost` and `trained_tokens_lost` were cut away by packing; `rows_split` rows lie in more than one
    pack or piece; `rows_without_loss` rows have no trained token left in any pack.
    """

    strategy: str
    rows: int
    packs: int
    fill: float
    tokens_lost: int
    trained_tokens_lost: int
    rows_split: int
    rows_without_loss: int


def load_rows(folder: Path) -> Any:
    """A prepared folder as a `datasets.Dataset`."""
    from datasets import load_from_disk

    return load_from_disk(str(folder))


def pack(rows: Any, strategy: str, max_length: int) -> Any:
    """The prepared rows in packs, exactly as SFTTrainer packs them.

    Besides `input_ids`, `labels` and, for bfd and bfd_split, `seq_lengths`, every pack has `row`: the
    source row of each token.
    """
    hush_slow_kernels()
    from trl import pack_dataset

    def with_row_per_token(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pairs = zip(batch["row"], batch["input_ids"], strict=True)
        return {"row": [[row] * len(ids) for row, ids in pairs]}

    with _without_bars():
        marked = rows.map(with_row_per_token, batched=True, keep_in_memory=True)
        columns = marked.select_columns(["input_ids", "labels", "row"])
        return pack_dataset(columns, max_length, strategy, {"keep_in_memory": True})


def packing_report(rows: Any, strategy: str, max_length: int) -> PackingReport:
    """What packing does to the prepared rows."""
    packed = pack(rows, strategy, max_length)
    tokens_before, trained_before = _tokens(rows)
    tokens_after, trained_after = _tokens(packed)
    pieces: dict[int, int] = {}
    trained: dict[int, int] = dict.fromkeys(rows["row"], 0)
    for sample in packed:
        owners = np.asarray(sample["row"])
        starts = [0, *np.cumsum(sample["seq_lengths"])[:-1]] if "seq_lengths" in sample else _changes(owners)
        for start in starts:
            pieces[int(owners[start])] = pieces.get(int(owners[start]), 0) + 1
        labelled = owners[np.asarray(sample["labels"]) != IGNORED]
        for row, count in zip(*np.unique(labelled, return_counts=True), strict=True):
            trained[int(row)] += int(count)
    return PackingReport(
        strategy,
        len(rows),
        len(packed),
        tokens_after / (len(packed) * max_length) if len(packed) else 0.0,
        tokens_before - tokens_after,
        trained_before - trained_after,
        sum(count > 1 for count in pieces.values()),
        sum(count == 0 for count in trained.values()),
    )


def _tokens(rows: Any) -> tuple[int, int]:
    """Tokens and trained tokens."""
    labels = [np.asarray(item) for item in rows["labels"]]
    return sum(map(len, labels)), sum(int((item != IGNORED).sum()) for item in labels)


def _changes(owners: np.ndarray) -> list[int]:
    return [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist()] if len(owners) else []


@contextlib.contextmanager
def _without_bars() -> Any:
    """No progress bars: standard error may be the screen."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if shown:
            enable_progress_bars()
