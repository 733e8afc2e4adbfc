"""Answers to the recipe's fixed prompts while the run goes on: how it learns, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.train.measure import METER
from core.train.reporter import Reporter
from core.train.trainer import RunTrainer

MOST_TOKENS = 64


class Samples(TrainerCallback):
    """Every `steps` steps, and greedily, so that only the training changes the answer and no random state is used.

    All ranks answer together, since each may hold only a part of the weights; the first one writes. A failing
    answer is a warning, never the end of a run.
    """

    def __init__(
        self, trainer: RunTrainer, reporter: Reporter, prompts: Sequence[str], system: str, steps: int
    ) -> None:
        self.trainer = trainer
        self.reporter = reporter
        self.prompts = prompts
        self.system = system
        self.steps = steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self.steps or state.global_step % self.steps:
            return
        for prompt in self.prompts:
            try:
                answer = self._answer(prompt)
            except Exception as error:  # whatever a template or a generation raises
                self.reporter.warn("sample", f"no answer to a sample prompt: {error}")
                self.steps = 0
                break
            self.reporter.events.write("sample", step=state.global_step, prompt=prompt, answer=answer)
        self.reporter.restart_clock()

    def _answer(self, prompt: str) -> str:
        tokenizer: Any = self.trainer.processing_class
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": prompt})
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.trainer.args.device)
        model: Any = self.trainer.model
        model.eval()
        METER.enter("evaluation")
        try:
            with torch.no_grad(), self.trainer.compute_loss_context_manager():
                ids = model.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False, use_cache=True)
        finally:
            METER.leave()
            model.train()
        return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
