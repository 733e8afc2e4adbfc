"""TRL's SFTTrainer with what a run needs beside it: row numbers, an end to NaN, checkpoints that are whole."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from core.errors import TunedeckError
from core.runs.checkpoints import UNFINISHED, Checkpoint, keep, publish
from core.runs.folder import Run
from core.train.measure import METER
from core.train.prompt_weight import WeightedModel, prompt_tokens
from core.train.verify import verify_checkpoint

ROW = "row"  # column with the row number of the data source; absent in packed data


class NotFiniteLoss(TunedeckError):
    """The loss is NaN or infinite. `rows` are the offending rows, empty if the weights themselves are broken."""

    def __init__(self, step: int, rows: list[int], batch: list[int]) -> None:
        which = f"rows {', '.join(map(str, rows))}" if rows else "every row, so the weights are broken"
        super().__init__(
            f"the loss is not finite at step {step}: {which}",
            where=f"batch of rows {', '.join(map(str, batch))}" if batch else "",
            fix="look at these rows with tunedeck show; else lower the learning rate, or train in bfloat16",
        )
        self.rows = rows or batch


class RowCollator:
    """TRL's own collator; the row numbers travel beside its output."""

    def __init__(self, collator: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        rows = [example.pop(ROW) for example in examples if ROW in example]
        batch = self.collator(examples)
        if rows:
            batch[ROW] = torch.tensor(rows)
        return batch


class OptimizerPhase(TrainerCallback):
    """Marks the optimizer's step for the meter, in the first two steps."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step < 2:
            METER.enter("optimizer")

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        METER.leave("optimizer")


class RunTrainer(SFTTrainer):
    """SFTTrainer on prepared, labelled rows, writing into a run folder."""

    def __init__(self, run: Run, keep_checkpoints: int, prompt_loss_weight: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.run = run
        self.prompt_loss_weight = prompt_loss_weight
        self.keep_checkpoints = keep_checkpoints
        self.on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None
        self.on_checkpoint_failed: Callable[[str], None] = lambda what: None
        self.trained_tokens = torch.tensor(0)  # since the start; on the device until somebody reads it
        self.data_collator: Any = RowCollator(self.data_collator)
        self.add_callback(OptimizerPhase())

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: list[str] = self._signature_columns  # type: ignore[has-type]
        if ROW not in columns:
            self._signature_columns = [*columns, ROW]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """What the loss of a step is divided by: its trained tokens, and the weighted prompt tokens."""
        items = super()._get_num_items_in_batch(batch_samples, device)
        if items is None:
            return None
        self.trained_tokens = self.trained_tokens.to(items.device) + items
        if not self.prompt_loss_weight:
            return items
        prompt = prompt_tokens(batch_samples).to(device)
        if self.args.world_size > 1:
            prompt = self.accelerator.gather(prompt).sum()
        return items + self.prompt_loss_weight * prompt

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        rows = inputs.pop(ROW, None)
        training = model.training
        if training and METER.worth_measuring(self.state.global_step, inputs["input_ids"].numel()):
            METER.enter("forward")
        weighted = training and self.prompt_loss_weight > 0  # evaluation is always of the answers
        scored = WeightedModel(model, self.prompt_loss_weight) if weighted else model
        result = super().compute_loss(scored, inputs, return_outputs, num_items_in_batch)
        loss = result[0] if return_outputs else result
        # TRL has just read its own metrics from the device, so this waits for nothing more.
        if model.training and not math.isfinite(loss.item()):
            batch = [] if rows is None else rows.tolist()
            raise NotFiniteLoss(self.state.global_step + 1, self._broken_rows(model, inputs, batch), batch)
        if METER.phase == "forward":
            METER.enter("backward")
        return result

    def training_step(self, *arguments: Any, **options: Any) -> Any:
        loss = super().training_step(*arguments, **options)
        METER.leave("backward")
        return loss

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        METER.enter("evaluation")
        try:
            return super().evaluate(*arguments, **options)
        finally:
            METER.leave()

    def _broken_rows(self, model: Any, inputs: dict[str, Any], rows: list[int]) -> list[int]:
        """The rows whose own loss is not finite; none if all are, which speaks against the weights."""
        broken = []
        for index, row in enumerate(rows):
            alone = {
                name: value[index : index + 1] for name, value in inputs.items() if torch.is_tensor(value)
            }
            with torch.no_grad(), self.compute_loss_context_manager():
                scored = model(**alone, use_cache=False, fused_lm_head=True)
            if not math.isfinite(scored.log_probs.sum().item()):
                broken.append(row)
        return [] if len(broken) == len(rows) > 1 else broken

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """PEFT loads an adapter in fp32 whatever it was; a resumed run keeps the types it started with."""
        types = {name: parameter.dtype for name, parameter in self.model.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in self.model.named_parameters():
            if parameter.dtype != types.get(name, parameter.dtype):
                parameter.data = parameter.data.to(types[name])

    def create_model_card(self, *_arguments: Any, **_options: Any) -> None:
        """No model card in a checkpoint: it would describe a model that is not finished."""

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.run.checkpoints / UNFINISHED)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write aside, read back, rename; then delete what is no longer kept. All ranks write, the first renames.

        One process alone survives a checkpoint that cannot be written (a full disk): it is reported, the
        older ones stay, and training goes on.
        """
        aside = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        METER.enter("checkpoint")
        try:
            self._save_aside(aside, model, trial)
        except (OSError, RuntimeError, TunedeckError, SafetensorError) as error:
            if self.accelerator.num_processes > 1:
                raise
            shutil.rmtree(aside, ignore_errors=True)
            self.on_checkpoint_failed(str(error))
        finally:
            METER.leave()

    def _save_aside(self, aside: Path, model: Any, trial: Any) -> None:
        step = self.state.global_step
        if self.is_world_process_zero():
            shutil.rmtree(aside, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            verify_checkpoint(aside)
            whole = publish(self.run, aside, step, self._newest_eval_loss())
            keep(self.run, self.keep_checkpoints, self.state.best_global_step)
            self.on_checkpoint(whole)
        self.accelerator.wait_for_everyone()

    def _newest_eval_loss(self) -> float | None:
        losses = (entry["eval_loss"] for entry in reversed(self.state.log_history) if "eval_loss" in entry)
        return next(losses, None)
