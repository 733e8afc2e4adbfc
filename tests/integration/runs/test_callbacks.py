"""What rides along with training: samples, trackers, packed rows; none of it may harm the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.runs.events import EventWriter, read_events


def reporter_of(trainer: Any) -> Any:
    from core.train.reporter import Reporter

    reporter = Reporter(EventWriter(trainer.run.folder), trainer)
    trainer.add_callback(reporter)
    return reporter


def test_samples_are_answers_and_change_no_loss(make_trainer: Callable[..., Any]) -> None:
    import transformers

    from core.train.samples import Samples

    found = []
    for sampled in (False, True):
        trainer = make_trainer("training.max_steps=4")
        reporter = reporter_of(trainer)
        if sampled:
            trainer.add_callback(Samples(trainer, reporter, ["Say hello."], "", 2))
        transformers.set_seed(3)
        trainer.train()
        found.append(read_events(trainer.run.folder)[0])
    without, with_samples = (
        [event["loss"] for event in events if event["kind"] == "step"] for events in found
    )
    assert without == with_samples
    samples = [event for event in found[1] if event["kind"] == "sample"]
    assert [sample["step"] for sample in samples] == [2, 4]
    assert all(sample["prompt"] == "Say hello." and isinstance(sample["answer"], str) for sample in samples)


def test_a_failing_tracker_is_left_out(make_trainer: Callable[..., Any]) -> None:
    from transformers import TrainerCallback

    from core.train.trackers import guard_trackers

    class Tracker(TrainerCallback):
        calls = 0

        def on_log(self, *_: Any, **__: Any) -> None:
            Tracker.calls += 1
            raise ConnectionError("no network")

    Tracker.__module__ = "transformers.integrations.fake"
    trainer = make_trainer("training.max_steps=3")
    reporter = reporter_of(trainer)
    trainer.add_callback(Tracker())
    guard_trackers(trainer, reporter.warn)
    trainer.train()
    assert trainer.state.global_step == 3 and Tracker.calls == 1
    (warning,) = [event for event in read_events(trainer.run.folder)[0] if event["kind"] == "warning"]
    assert warning["rule"] == "tracker" and "no network" in warning["what"]


def test_packed_rows_do_not_see_each_other(make_trainer: Callable[..., Any]) -> None:
    """The loss of a pack is that of its rows alone, token by token."""
    import torch

    packed = make_trainer("data.packing=bfd", "training.micro_batch=1")
    single = make_trainer("training.micro_batch=1")
    assert len(packed.train_dataset) < len(single.train_dataset)
    losses = []
    for trainer in (packed, single):
        total = 0.0
        for index in range(len(trainer.train_dataset)):
            batch = trainer.data_collator([trainer.train_dataset[index]])
            batch.pop("row", None)
            with torch.no_grad():
                scored = trainer.model.eval()(**batch, use_cache=False, fused_lm_head=True)
            total += scored.log_probs.double().sum().item()
        losses.append(total)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    reporter_of(packed)
    packed.train()
    assert packed.state.global_step == 6


def test_every_argument_of_the_recipe_arrives(make_trainer: Callable[..., Any]) -> None:
    trainer = make_trainer(
        "training.optimizer=adafactor",
        "training.scheduler=linear",
        "training.warmup=2.0",
        "training.weight_decay=0.01",
        "training.max_grad_norm=0.3",
        "training.neftune_noise_alpha=5.0",
        "training.seed=7",
        "training.extra.adam_beta2=0.95",
    )
    args = trainer.args
    assert (args.optim, args.lr_scheduler_type, args.warmup_steps) == ("adafactor", "linear", 2)
    assert (args.weight_decay, args.max_grad_norm, args.neftune_noise_alpha) == (0.01, 0.3, 5.0)
    assert (args.seed, args.data_seed, args.adam_beta2) == (7, 7, 0.95)
    assert (args.bf16, args.fp16, args.logging_nan_inf_filter, args.auto_find_batch_size) == (False,) * 4
    assert trainer.model.dtype.itemsize == 4 and trainer.model.peft_config["default"].lora_alpha == 8


@pytest.mark.parametrize(("resumed", "stopped"), [(False, "asked to stop"), (True, "")])
def test_a_request_made_while_the_run_starts_is_obeyed(
    make_trainer: Callable[..., Any], resumed: bool, stopped: str
) -> None:
    """One that was made to an earlier life of the run is not."""
    from core.runs.control import request
    from core.train.controller import Controller
    from core.train.signals import StopSignals

    trainer = make_trainer("training.max_steps=3")
    request(trainer.run, "stop-and-save")
    events = EventWriter(trainer.run.folder)
    controller = Controller(
        trainer.run, events, StopSignals(lambda name: None), first_rank=True, resumed=resumed
    )
    trainer.add_callback(controller)
    trainer.train()
    assert controller.stopped == stopped
    assert trainer.state.global_step == (3 if resumed else 1)
