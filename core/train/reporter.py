"""The trainer's voice: turns what happens in training into events of the run. Only the first rank speaks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.runs.checkpoints import Checkpoint
from core.runs.events import EventWriter
from core.runs.watch import Watcher
from core.train.device_reading import DeviceReading
from core.train.measure import memory
from core.train.trainer import RunTrainer

log = logging.getLogger("tunedeck.train")


class Reporter(TrainerCallback):
    """Writes step, eval and checkpoint events.

    Rates count only the time spent in steps: evaluation, checkpoints and samples stop the clock.
    """

    def __init__(
        self,
        events: EventWriter,
        trainer: RunTrainer,
        stop_on: Sequence[str] = (),
        stop: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`stop_on` names the watch rules that end the run; `stop` is called with the reason."""
        self.events = events
        self.stop_on = stop_on
        self.stop = stop
        self.watcher = Watcher()
        self._device = DeviceReading()
        self.trainer = trainer
        self.first_loss: float | None = None
        self.loss: float | None = None
        self.eval_loss: float | None = None
        self.best_eval_loss: float | None = None
        self._clock = time.monotonic()
        self._step_seconds = 0.0  # in steps since the last step event
        self._seconds_per_step: float | None = None  # smoothed
        self._reported_step = 0
        self.tokens = 0  # of all kinds, since the start
        trainer.on_checkpoint = self.checkpoint
        trainer.on_checkpoint_failed = self.checkpoint_failed

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._reported_step = state.global_step
        self._clock = time.monotonic()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._clock = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        now = time.monotonic()
        self._step_seconds += now - self._clock
        self._clock = now

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return  # an evaluation's or the final summary's log
        self.loss = logs["loss"]
        self.first_loss = self.loss if self.first_loss is None else self.first_loss
        steps = max(state.global_step - self._reported_step, 1)
        tokens = int(logs.get("num_tokens", 0))
        seconds, self._step_seconds = self._step_seconds, 0.0
        rate = (tokens - self.tokens) / seconds if seconds > 0 else None
        newest = seconds / steps
        self._seconds_per_step = (
            newest if self._seconds_per_step is None else 0.9 * self._seconds_per_step + 0.1 * newest
        )
        self._reported_step, self.tokens = state.global_step, tokens
        self._tell(
            "step",
            step=state.global_step,
            steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            loss=self.loss,
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            token_accuracy=logs.get("mean_token_accuracy"),
            entropy=logs.get("entropy"),
            tokens=tokens,
            trained_tokens=int(self.trainer.trained_tokens),
            tokens_per_second=None if rate is None else round(rate, 1),
            eval_loss=self.eval_loss,
            best_eval_loss=self.best_eval_loss,
            eta_seconds=round((state.max_steps - state.global_step) * self._seconds_per_step, 1),
            **memory(),
            **self._device.read(),
        )
        log.info("step %d/%d loss %.4f", state.global_step, state.max_steps, self.loss)
        self._clock = time.monotonic()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if metrics and "eval_loss" in metrics:
            self.eval_loss = metrics["eval_loss"]
            self.best_eval_loss = min(
                value
                for value in (self.best_eval_loss, state.best_metric, self.eval_loss)
                if value is not None
            )
            self._tell(
                "eval",
                step=state.global_step,
                epoch=round(state.epoch or 0.0, 4),
                eval_loss=self.eval_loss,
                best_eval_loss=self.best_eval_loss,
                token_accuracy=metrics.get("eval_mean_token_accuracy"),
                seconds=metrics.get("eval_runtime"),
            )
            log.info("eval at step %d loss %.4f", state.global_step, self.eval_loss)
        self._clock = time.monotonic()

    def _tell(self, kind: str, **values: Any) -> None:
        """Write a step or eval event, and what the watch rules make of it."""
        self.events.write(kind, **values)
        for alarm in self.watcher.see({"kind": kind, **values}):
            self.warn(alarm.rule, alarm.what)
            if alarm.rule in self.stop_on:
                self.stop(f"{alarm.rule}: {alarm.what}")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._clock = time.monotonic()

    def restart_clock(self) -> None:
        """What happened since the last step was not training."""
        self._clock = time.monotonic()

    def checkpoint(self, whole: Checkpoint) -> None:
        path = whole.path.relative_to(self.trainer.run.folder)
        self.events.write("checkpoint", step=whole.step, path=str(path), bytes=whole.bytes, verified=True)
        log.info("checkpoint at step %d: %s", whole.step, path)

    def checkpoint_failed(self, what: str) -> None:
        self.warn("checkpoint", f"no checkpoint was written: {what}; training goes on, older ones are kept")

    def warn(self, rule: str, what: str, rows: list[int] | None = None) -> None:
        self.events.write("warning", rule=rule, what=what, rows=rows or [])
        log.warning("%s: %s", rule, what)
