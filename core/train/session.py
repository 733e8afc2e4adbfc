"""One life of a training process: load, build, train, save; and a last word, whatever happens."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from trl import SFTConfig

from core.errors import TunedeckError
from core.models.architecture_of import read_model
from core.recipe import ADAPTER_METHODS, Recipe
from core.runs.checkpoints import UNFINISHED, newest, sweep
from core.runs.diagnose import diagnose
from core.runs.events import EventWriter
from core.runs.folder import Run
from core.runs.follow import last_log_lines
from core.runs.identity import versions
from core.runs.launch import name_process
from core.runs.out_of_memory import levers_of
from core.train import measure
from core.train.arguments import sft_arguments
from core.train.controller import Controller, Heartbeat, end_with_launcher
from core.train.loading import attention, give_template, load_base, load_tokenizer
from core.train.probe import ProbeFirst
from core.train.reporter import Reporter
from core.train.samples import Samples
from core.train.sharding import let_cpu_processes_shard
from core.train.signals import StopSignals
from core.train.trackers import guard_trackers
from core.train.trainer import RunTrainer
from core.train.tuner import adapter_config, cast_adapter, counts, train_last_layers
from core.workspace import write_json_atomically

log = logging.getLogger("tunedeck.train")


@dataclass
class Session:
    """What the steps of one training process share."""

    run: Run
    recipe: Recipe
    identity: dict[str, Any]
    events: EventWriter
    signals: StopSignals
    on_cpu: bool
    started: float

    @property
    def adapts(self) -> bool:
        return self.recipe.tuner.method in ADAPTER_METHODS


class SilentWriter(EventWriter):
    """The events of every rank but the first: none."""

    def write(self, kind: str, **values: Any) -> bool:
        return True


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
        session = open_session(run, events, signals, started)
        trainer = build_trainer(session)
        controller = Controller(run, events, signals, first_rank=first, resumed=resume)
        reporter = Reporter(
            events, trainer, stop_on=session.recipe.training.stop_on, stop=controller.ask_to_stop
        )
        guard_trackers(trainer, reporter.warn)
        trainer.add_callback(reporter)
        if session.recipe.training.sample_steps and first and world_size() == 1:
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


def take_over(run: Run) -> None:
    """Become the process of this run. A disk that refuses this does not end the run."""
    with contextlib.suppress(OSError):
        run.summary.unlink(missing_ok=True)  # of an earlier life
        if world_size() == 1:
            name_process(run, os.getpid(), [sys.executable, *sys.orig_argv[1:]])
    Heartbeat(run)


def open_session(run: Run, events: EventWriter, signals: StopSignals, started: float) -> Session:
    """Read what the launcher wrote; decide the device."""
    recipe = run.read_recipe()
    identity = run.read_json(run.identity)
    if "model" not in identity or "data" not in identity:
        raise TunedeckError("run.json names no model or no data", where=str(run.identity))
    on_cpu = recipe.launch.devices == "cpu" or not torch.cuda.is_available()
    if on_cpu and recipe.model.dtype == "bfloat16":
        events.write(
            "warning",
            rule="slow dtype",
            what='bfloat16 is slow on most CPUs; model.dtype = "float32" trains faster there',
            rows=[],
        )
    return Session(run, recipe, identity, events, signals, on_cpu, started)


def build_trainer(session: Session) -> RunTrainer:
    """Model, tokenizer, data and TRL's trainer, all from the recipe and the run folder."""
    recipe, run = session.recipe, session.run
    model_folder = Path(session.identity["model"]["folder"])
    transformers.set_seed(recipe.training.seed)
    train_rows, eval_rows = load_data(session)
    arguments = sft_arguments(
        recipe,
        run.checkpoints / UNFINISHED,
        has_eval=eval_rows is not None,
        on_cpu=session.on_cpu,
    )
    tokenizer = load_tokenizer(model_folder, recipe)
    give_template(tokenizer, model_folder, recipe, Path(session.identity.get("workspace", ".")))
    model = load_base(model_folder, recipe, on_cpu=session.on_cpu)
    if recipe.tuner.method == "freeze":
        train_last_layers(model, recipe.tuner.train_last_layers)
    settings = SFTConfig(**arguments)
    let_cpu_processes_shard()
    trainer = RunTrainer(
        run=run,
        keep_checkpoints=recipe.training.keep_checkpoints,
        prompt_loss_weight=recipe.training.prompt_loss_weight,
        model=model,
        args=settings,
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
        peft_config=adapter_config(recipe, read_model(model_folder)),
    )
    cast_adapter(trainer.model, recipe)
    trainer.remove_callback(transformers.PrinterCallback)
    if counts(trainer.model)[0] == 0:
        raise TunedeckError("nothing would be trained", fix="name other layers in tuner.targets")
    return trainer


def load_data(session: Session) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The prepared rows, and the held-out ones if there are any."""
    named = session.identity["data"]
    try:
        rows = datasets.load_from_disk(str(session.run.folder / named["folder"]))
        held_out = named.get("eval_folder")
        return rows, datasets.load_from_disk(str(session.run.folder / held_out)) if held_out else None
    except (OSError, ValueError) as error:
        raise TunedeckError(f"the prepared data cannot be read: {error}", where=named["folder"]) from error


def samples_of(session: Session, trainer: RunTrainer, reporter: Reporter) -> Samples:
    training = session.recipe.training
    return Samples(
        trainer, reporter, training.sample_prompts, session.recipe.chat.system, training.sample_steps
    )


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


def save_result(session: Session, trainer: RunTrainer) -> None:
    """The adapter, or the whole model, with tokenizer and template; made aside, then renamed."""
    run = session.run
    target = run.adapter if session.adapts else run.model
    aside = run.folder / f".{target.name}"
    if trainer.is_world_process_zero():
        shutil.rmtree(aside, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    if session.adapts:
        name_base(trainer.model, session.identity["model"])
    trainer.save_model(str(aside))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        (aside / "training_args.bin").unlink(missing_ok=True)  # a pickle that only this process needs
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)


def name_base(model: Any, named: dict[str, Any]) -> None:
    """Write into the adapter's configuration which base, and which revision of it, it belongs to."""
    config = trainer_config(model)
    if config is None:
        return
    from_hub = named.get("kind") == "hub"
    config.base_model_name_or_path = named["source"] if from_hub else named["folder"]
    config.revision = named.get("revision") if from_hub else None


def trainer_config(model: Any) -> Any:
    """The configuration of the active adapter; None for a plain model."""
    configs = getattr(model, "peft_config", None)
    return configs.get("default") if configs else None


def finish(session: Session, reporter: Reporter, state: str, note: str) -> None:
    figures = last_figures(reporter, session.started)
    planned = session.identity.get("planned_peak_bytes")
    trainer = reporter.trainer
    trainable, total = counts(trainer.model)
    if trainer.is_world_process_zero():
        write_json_atomically(
            session.run.summary,
            {
                "id": session.run.id,
                "state": state,
                "note": note,
                **figures,
                "first_loss": reporter.first_loss,
                "planned_peak_bytes": planned,
                "tokens": reporter.tokens,
                "trained_tokens": int(trainer.trained_tokens),
                "trainable": trainable,
                "total": total,
            },
        )
    session.events.write("end", state=state, note=note, planned_peak_bytes=planned, **figures)


def last_figures(reporter: Reporter | None, started: float) -> dict[str, Any]:
    """What the last event says of a run, also of one that failed early."""
    figures: dict[str, Any] = {"seconds": round(time.monotonic() - started, 2), **measure.of_the_run()}
    if reporter is not None:
        state = reporter.trainer.state
        figures |= {
            "step": state.global_step,
            "steps": state.max_steps,
            "loss": reporter.loss,
            "eval_loss": reporter.eval_loss,
            "best_eval_loss": reporter.best_eval_loss,
        }
    return figures


def report_error(run: Run, events: EventWriter, error: Exception, state: str) -> None:
    """The error event: cause and remedy in words, from the exception and the log around it."""
    known = None
    if not isinstance(error, TunedeckError):
        known = diagnose(f"{last_log_lines(run.log)}\n{error}")
    what = error.what if isinstance(error, TunedeckError) else f"{type(error).__name__}: {error}"
    fix = error.fix if isinstance(error, TunedeckError) else f"the traceback is in {run.log}"
    if known is not None:
        what, fix = f"{known.cause} ({what})", known.remedy
    values: dict[str, Any] = {"what": what, "fix": fix, "type": type(error).__name__}
    if rows := getattr(error, "rows", None):
        values["rows"] = rows
    if state == "out_of_memory":
        found = levers_of(run)
        values["levers"] = [lever.to_json() for lever in found]
        if found:
            settings = " ".join(f"--set {key}={value}" for key, value in found[0].changes.items())
            values["fix"] = f"{found[0].name}: tunedeck again {run.id} {settings}"
    # Any rank may be the one that knows; its word is not left to the first.
    EventWriter(run.folder).write("error", **values)
    if state == "out_of_memory" and torch.cuda.is_available():
        (run.folder / "memory_summary.txt").write_text(torch.cuda.memory_summary(), encoding="utf-8")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the accelerator's or the host's memory was not enough."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "DefaultCPUAllocator: can't allocate memory" in text)
    )


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def first_rank() -> bool:
    return int(os.environ.get("RANK", "0")) == 0
