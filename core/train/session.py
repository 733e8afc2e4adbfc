"""One life of a training process: load, build, train, save; and a last word, whatever happens."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from core.runs.checkpoints import newest, sweep
from core.runs.events import EventWriter
from core.runs.folder import Run
from core.runs.identity import versions
from core.train import measure
from core.train.building import Session, build_trainer, open_session
from core.train.controller import Controller, end_with_launcher
from core.train.last_words import is_out_of_memory, last_figures, report_error
from core.train.loading import attention
from core.train.probe import ProbeFirst
from core.train.ranks import SilentWriter, first_rank, take_over, world_size
from core.train.reporter import Reporter
from core.train.result import finish, save_result
from core.train.samples import Samples
from core.train.signals import StopSignals
from core.train.trackers import guard_trackers
from core.train.trainer import RunTrainer
from core.train.tuner import counts


def train(run: Run, *, resume: bool, signals: StopSignals) -> int:
    """Train a prepared run folder to its end. The exit status; the events hold the reason."""
    started = time.monotonic()
    first = first_rank()
    events = EventWriter(run.folder) if first else SilentWriter(run.folder)
    if first:
        take_over(run)
    if world_size() > 1:
        end_with_launcher()
    reporter: Reporter | None = None
    try:
        events.write("status", state="loading", note="")
        measure.METER.begin()
        measure.METER.enter("load")
        session = open_session(run, events, signals, started)
        trainer = build_trainer(session)
        measure.METER.leave()
        controller = Controller(run, events, signals, first_rank=first, resumed=resume)
        reporter = Reporter(
            events, trainer, stop_on=session.recipe.training.stop_on, stop=controller.ask_to_stop
        )
        guard_trackers(trainer, reporter.warn)
        trainer.add_callback(reporter)
        if session.recipe.training.sample_steps:
            trainer.add_callback(samples_of(session, trainer, reporter))
        trainer.add_callback(controller)
        checkpoint = find_checkpoint(run, first) if resume else None
        describe(session, trainer)
        if signals.received:  # while loading
            controller.stopped = signals.received
        else:
            note = f"from the checkpoint at step {checkpoint[1]}" if checkpoint else ""
            events.write("status", state="running", note=note, step=checkpoint[1] if checkpoint else 0)
            if checkpoint is None and not trainer.is_deepspeed_enabled:  # a resumed optimizer has its state
                trainer.add_callback(ProbeFirst(trainer, reporter))
            trainer.train(resume_from_checkpoint=str(checkpoint[0]) if checkpoint else None)
        if not controller.stopped or controller.saved:
            events.write("status", state="saving", note="")
            save_result(session, trainer)
        controller.refuse_open()
        state = "stopped" if controller.stopped else "done"
        finish(session, reporter, state, controller.stopped)
        return 0
    except Exception as error:
        traceback.print_exc()
        state = "out_of_memory" if is_out_of_memory(error) else "failed"
        report_error(run, events, error, state)
        events.write("end", state=state, **last_figures(reporter, started))
        return 1


def find_checkpoint(run: Run, first: bool) -> tuple[Path, int] | None:
    """The newest whole checkpoint; what a killed trainer left half written is cleared away."""
    if first:
        sweep(run)
    checkpoint = newest(run)
    return (checkpoint.path, checkpoint.step) if checkpoint else None


def describe(session: Session, trainer: RunTrainer) -> None:
    """The environment event: what is trained, on what, with which versions."""
    trainable, total = counts(trainer.model)
    session.events.write(
        "environment",
        versions=versions(),
        device=measure.device_name(trainer.args.device),
        devices=trainer.args.world_size,
        attention=attention(session.recipe, on_cpu=session.on_cpu),
        trainable=trainable,
        total=total,
        trainable_dtypes=measure.trainable_dtypes(trainer.model),
        pad_token=trainer.processing_class.pad_token,
        steps=session.recipe.steps(len(trainer.train_dataset)),
        planned_peak_bytes=session.identity.get("planned_peak_bytes"),
    )


def samples_of(session: Session, trainer: RunTrainer, reporter: Reporter) -> Samples:
    training = session.recipe.training
    return Samples(
        trainer, reporter, training.sample_prompts, session.recipe.chat.system, training.sample_steps
    )
