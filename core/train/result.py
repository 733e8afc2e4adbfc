"""What a run leaves behind: the adapter or the model, with tokenizer and template, and its summary."""

from __future__ import annotations

import shutil
from typing import Any

from core.runs.evidence import versus
from core.train.building import Session
from core.train.last_words import last_figures
from core.train.reporter import Reporter
from core.train.trainer import RunTrainer
from core.train.tuner import counts
from core.workspace import write_json_atomically


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
                "plan_versus_measured": versus(session.run.read_json(session.run.plan), figures["phases"]),
            },
        )
    session.events.write("end", state=state, note=note, planned_peak_bytes=planned, **figures)
