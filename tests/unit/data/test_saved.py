"""Saved folders: exactly the rows that were written, in order, for `datasets` to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data.saved import SavedRows, divide, open_saved


def write(saved: SavedRows, rows: list[tuple[int, list[int], list[int]]]) -> None:
    saved.write(
        np.asarray([number for _, ids, _ in rows for number in ids]),
        np.asarray([number for _, _, labels in rows for number in labels]),
        np.asarray([row for row, _, _ in rows]),
        np.asarray([len(ids) for _, ids, _ in rows]),
    )


def test_rows_come_back_through_datasets(tmp_path: Path) -> None:
    from datasets import load_from_disk

    with SavedRows(tmp_path / "rows") as saved:
        write(saved, [(0, [5, 6, 7], [-100, 6, 7]), (4, [9], [9])])
        write(saved, [(7, [1, 2], [-100, 2])])
        saved.finish("f" * 64)
    loaded = load_from_disk(str(tmp_path / "rows"))
    assert list(loaded) == [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "row": 0},
        {"input_ids": [9], "labels": [9], "row": 4},
        {"input_ids": [1, 2], "labels": [-100, 2], "row": 7},
    ]
    assert open_saved(tmp_path / "rows") == list(loaded)


def test_held_out_rows_move_to_the_other_folder(tmp_path: Path) -> None:
    with SavedRows(tmp_path / "train") as train, SavedRows(tmp_path / "eval") as evaluation:
        write(train, [(0, [1], [1]), (1, [2, 3], [2, 3])])
        write(train, [(2, [4], [4])])
        divide(train, np.asarray([False, True, True]), evaluation)
        train.finish("a" * 64)
        evaluation.finish("b" * 64)
    assert [row["row"] for row in open_saved(tmp_path / "train")] == [0]
    assert [(row["row"], row["input_ids"]) for row in open_saved(tmp_path / "eval")] == [
        (1, [2, 3]),
        (2, [4]),
    ]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SavedRows(tmp_path / "rows") as saved:
        write(saved, [(0, [1], [1])])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
