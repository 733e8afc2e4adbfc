"""Step 0: the longest batch first, so that a lack of memory shows in the first seconds, not after hours.

One forward, backward and optimizer step on the longest rows, with a learning rate of zero. Weights, random
state, optimizer state and counters are afterwards as they were.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.train import measure
from core.train.reporter import Reporter
from core.train.trainer import ROW, RunTrainer

# With a learning rate of zero these leave the weights as they are, to the bit. Others may not.
EXACT_AT_ZERO = ("adamw", "adam_", "sgd", "lion")
COMPARED_TOKENS = 128  # of one row; the model's own loss builds the full logits
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Probe:
    """What the probe saw. Losses are per trained token; `own_loss` is the model's own, on one short row."""

    rows: list[int]
    tokens: int
    loss: float
    seconds: float
    with_optimizer: bool
    row_loss: float
    own_loss: float
    peak_allocated_bytes: int | None
    peak_rss_bytes: int | None

    def warnings(self, vocabulary: int) -> list[str]:
        """What is odd about these losses, in words; empty for a healthy start."""
        odd = []
        if abs(self.row_loss - self.own_loss) > TOLERANCE * max(abs(self.own_loss), 0.05):
            odd.append(
                f"the trainer's loss of a row is {self.row_loss:.4f}, the model's own is {self.own_loss:.4f}: "
                "the two should agree"
            )
        if self.own_loss > 1.2 * math.log(vocabulary):
            odd.append(
                f"the loss starts at {self.own_loss:.2f}, above that of guessing ({math.log(vocabulary):.2f}): "
                "the model is sure of other answers. Right if the data goes against its habit; "
                "if it should not, compare template and tokenizer with the model's own"
            )
        return odd


def longest_rows(dataset: Any, count: int) -> list[int]:
    """Indices of the rows with the most tokens, longest first."""
    lengths = pyarrow.compute.list_value_length(dataset.with_format("arrow")["input_ids"]).to_numpy()
    return [int(index) for index in np.argsort(lengths, kind="stable")[::-1][:count]]


def probe(trainer: RunTrainer, optimizer: Any) -> Probe:
    """Run the longest batch once. Raises what the first steps of training would raise: out of memory, NaN."""
    dataset = trainer.train_dataset
    chosen = longest_rows(dataset, trainer.args.per_device_train_batch_size)
    examples = [dataset[index] for index in chosen]
    rows = [example[ROW] for example in examples if ROW in example]
    batch = trainer.data_collator(examples)
    tokens = int(batch["input_ids"].numel())
    items = batch["labels"][..., 1:].ne(-100).sum().to(trainer.args.device)
    exact = any(trainer.args.optim.replace("paged_", "").startswith(name) for name in EXACT_AT_ZERO)
    started = time.monotonic()
    with _as_it_was(trainer, optimizer):
        loss = trainer.training_step(trainer.model_wrapped, dict(batch), items)
        if exact:
            measure.METER.enter("optimizer")
            _step_without_change(optimizer)
            measure.METER.leave()
        row_loss, own_loss = _two_losses(trainer, dataset)
    return Probe(
        rows=rows,
        tokens=tokens,
        loss=float(loss) / trainer.accelerator.num_processes,
        seconds=round(time.monotonic() - started, 3),
        with_optimizer=exact,
        row_loss=row_loss,
        own_loss=own_loss,
        **measure.peaks(),
    )


def _step_without_change(optimizer: Any) -> None:
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        for group in optimizer.param_groups:
            group["lr"] = torch.zeros_like(group["lr"]) if torch.is_tensor(group["lr"]) else 0.0
        optimizer.step()
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def _two_losses(trainer: RunTrainer, dataset: Any) -> tuple[float, float]:
    """The loss of one short row by TRL's fused head and by the model's own forward, without dropout."""
    candidates = [dataset[index] for index in range(min(len(dataset), 64))]
    trained = [example for example in candidates if any(label != -100 for label in example["labels"][1:])]
    example = min(trained or candidates, key=lambda example: len(example["input_ids"]))
    short = {
        name: value[:COMPARED_TOKENS] for name, value in example.items() if name in ("input_ids", "labels")
    }
    batch = trainer.data_collator([short])
    inputs = trainer._prepare_inputs({name: value for name, value in batch.items() if name != ROW})
    model = trainer.model_wrapped
    model.eval()
    try:
        with torch.no_grad(), trainer.compute_loss_context_manager():
            fused = model(**inputs, use_cache=False, fused_lm_head=True)
            trained_tokens = fused.label_mask.sum().clamp(min=1)
            row_loss = float(-fused.log_probs.sum() / trained_tokens)
            own_loss = float(model(**inputs, use_cache=False).loss)
    finally:
        model.train()
    return row_loss, own_loss


@contextlib.contextmanager
def _as_it_was(trainer: RunTrainer, optimizer: Any) -> Iterator[None]:
    """Whatever happens inside: gradients, optimizer state, metrics and random state are restored."""
    state = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    on_gpu = torch.cuda.is_available()
    cuda_state = torch.cuda.get_rng_state_all() if on_gpu else None
    tokens = trainer._total_train_tokens
    try:
        yield
    finally:
        optimizer.zero_grad(set_to_none=True)
        getattr(optimizer, "optimizer", optimizer).state.clear()
        trainer._metrics["train"].clear()
        trainer._total_train_tokens = tokens
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
        if cuda_state is not None:
            torch.cuda.set_rng_state_all(cuda_state)
            torch.cuda.empty_cache()


class ProbeFirst(TrainerCallback):
    """Runs the probe before the first step and reports it."""

    def __init__(self, trainer: RunTrainer, reporter: Reporter) -> None:
        self.trainer = trainer
        self.reporter = reporter

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        seen = probe(self.trainer, others["optimizer"])
        self.reporter.events.write("probe", **asdict(seen))
        for what in seen.warnings(self.trainer.model.config.get_text_config().vocab_size):
            self.reporter.warn("first loss", what, seen.rows)
