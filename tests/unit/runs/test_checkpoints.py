"""Only whole checkpoints are seen; the newest and the best stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.checkpoints import UNFINISHED, checkpoints, keep, newest, publish, sweep
from core.runs.folder import Run


def unfinished(run: Run, step: int, text: str = "weights") -> Path:
    folder = run.checkpoints / UNFINISHED / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    return folder


def test_a_half_written_checkpoint_is_never_chosen(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert newest(run) is None
    publish(run, unfinished(run, 4), 4, eval_loss=1.5)
    unfinished(run, 8)
    (run.checkpoints / "checkpoint-9").mkdir()  # a copy that was broken off
    (run.checkpoints / "checkpoint-9" / "model.safetensors").write_text("half")
    (whole,) = checkpoints(run)
    assert (whole.step, whole.bytes, whole.eval_loss) == (4, 7, 1.5)
    assert newest(run) == whole
    sweep(run)
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["checkpoint-4"]


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (2, 4, 6, 8, 10):
        publish(run, unfinished(run, step), step, None)
    gone = keep(run, 2, best_step=4)
    assert sorted(path.name for path in gone) == ["checkpoint-2", "checkpoint-6"]
    assert [checkpoint.step for checkpoint in checkpoints(run)] == [4, 8, 10]


def test_a_second_checkpoint_of_the_same_step_replaces_the_first(tmp_path: Path) -> None:
    run = Run(tmp_path)
    publish(run, unfinished(run, 4, "old"), 4, None)
    publish(run, unfinished(run, 4, "new!"), 4, None)
    (only,) = checkpoints(run)
    assert (only.path / "model.safetensors").read_text() == "new!"
    assert list((run.checkpoints / UNFINISHED).iterdir()) == []


def test_a_checkpoint_that_does_not_read_back_is_named(tmp_path: Path) -> None:
    from core.errors import TunedeckError
    from core.train.verify import verify_checkpoint

    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(TunedeckError, match=r"weights cannot be read back") as error:
        verify_checkpoint(tmp_path)
    assert error.value.where.endswith("model.safetensors")
