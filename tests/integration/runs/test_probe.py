"""The step-0 probe in this very process: it finds the longest rows and leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.runs.events import EventWriter, read_events


def losses(trainer: Any, probed: bool) -> list[float]:
    import transformers

    from core.train.probe import ProbeFirst
    from core.train.reporter import Reporter

    reporter = Reporter(EventWriter(trainer.run.folder), trainer)
    trainer.add_callback(reporter)
    if probed:
        trainer.add_callback(ProbeFirst(trainer, reporter))
    transformers.set_seed(7)  # two trainers in one process: the second would find other random numbers
    trainer.train()
    events = read_events(trainer.run.folder)[0]
    return [event["loss"] for event in events if event["kind"] == "step"]


def test_the_probe_changes_nothing_but_comes_first(make_trainer: Callable[..., Any]) -> None:
    plain, probed = make_trainer(), make_trainer()
    assert losses(plain, probed=False) == losses(probed, probed=True)
    theirs, ours = plain.model.state_dict(), probed.model.state_dict()
    assert all(theirs[name].equal(ours[name]) for name in theirs)
    kinds = [event["kind"] for event in read_events(probed.run.folder)[0]]
    assert kinds.index("probe") < kinds.index("step")
    seen = next(event for event in read_events(probed.run.folder)[0] if event["kind"] == "probe")
    # 40 rows of 8 + 7n mod 17 tokens: the longest have 24 tokens
    assert seen["tokens"] == 48 and seen["with_optimizer"] is True
    assert all(8 + (row * 7) % 17 == 24 for row in seen["rows"])
    assert seen["row_loss"] == pytest.approx(seen["own_loss"], rel=1e-4)


def test_a_row_that_makes_the_loss_nan_is_named(make_trainer: Callable[..., Any]) -> None:
    from core.train.trainer import NotFiniteLoss

    trainer = make_trainer("training.micro_batch=4", "training.accumulation=1", rows=12)
    bad = 7
    poisoned = set(trainer.train_dataset[bad]["input_ids"])
    for row in trainer.train_dataset:
        poisoned -= set(row["input_ids"]) if row["row"] != bad else set()

    def poison(_module: Any, inputs: Any, output: Any) -> Any:
        return output.masked_fill((inputs[0] == min(poisoned))[..., None], float("nan"))

    # The embedding is tied to the head: only what goes in is poisoned, not the weights themselves.
    trainer.model.get_input_embeddings().register_forward_hook(poison)
    with pytest.raises(NotFiniteLoss) as error:
        trainer.train()
    assert error.value.rows == [bad]
    assert "rows 7" in str(error.value) and "tunedeck show" in error.value.fix


def test_checkpoints_that_cannot_be_written_do_not_end_the_run(
    make_trainer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.train.trainer as module

    trainer = make_trainer("training.max_steps=2", "training.save_steps=1")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "publish", full)
    assert len(losses(trainer, probed=False)) == 2
    warnings = [event for event in read_events(trainer.run.folder)[0] if event["kind"] == "warning"]
    assert [warning["rule"] for warning in warnings] == ["checkpoint", "checkpoint"]
    assert "No space left" in warnings[0]["what"]
    assert not list((trainer.run.checkpoints / ".unfinished").glob("*"))
