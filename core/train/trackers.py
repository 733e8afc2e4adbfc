"""Experiment trackers are guests: one that fails is told so once and asked no more; the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Warn = Callable[[str, str], None]
EVENTS = [name for name in vars(TrainerCallback) if name.startswith("on_")]


class Guarded(TrainerCallback):
    """A tracker's callback whose errors end it instead of the run."""

    def __init__(self, tracker: TrainerCallback, warn: Warn) -> None:
        self.tracker = tracker
        self.warn = warn
        self.failed = False

    def call(self, event: str, *arguments: Any, **options: Any) -> None:
        if self.failed:
            return
        try:
            getattr(self.tracker, event)(*arguments, **options)
        except Exception as error:  # whatever a tracker, its network or its account raises
            self.failed = True
            name = type(self.tracker).__name__.removesuffix("Callback")
            self.warn("tracker", f"{name} failed and is left out from now on: {error}")


def _forward(event: str) -> Callable[..., None]:
    def method(
        self: Guarded,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **options: Any,
    ) -> None:
        self.call(event, args, state, control, **options)

    return method


for _event in EVENTS:
    setattr(Guarded, _event, _forward(_event))


def guard_trackers(trainer: Trainer, warn: Warn) -> None:
    """Put a guard before every tracker that transformers has added for `report_to`."""
    callbacks = trainer.callback_handler.callbacks
    for index, callback in enumerate(callbacks):
        if type(callback).__module__.startswith("transformers.integrations"):
            callbacks[index] = Guarded(callback, warn)
