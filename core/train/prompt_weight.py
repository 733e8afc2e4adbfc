"""Prompt tokens with a share of the loss: 0 trains answers only, 1 everything, 0.1 is what the literature uses.

loss = sum(weight_i * nll_i) / sum(weight_i), weight 1 for answer tokens and `prompt_loss_weight` for prompt
tokens; padding has none. At 0 and at 1 this is TRL's own loss on the answers and on all tokens.
"""

from __future__ import annotations

from typing import Any

import torch

from core.data.types import IGNORED


class WeightedModel:
    """Stands before the model for one loss: scores every token, then weighs the prompt's log-probabilities.

    Accuracy and entropy stay those of the answer tokens.
    """

    def __init__(self, model: Any, weight: float) -> None:
        self.model = model
        self.weight = weight

    def __call__(self, *, labels: torch.Tensor, **inputs: Any) -> Any:
        everything = torch.where(real_tokens(inputs, labels), inputs["input_ids"], IGNORED)
        outputs = self.model(labels=everything, **inputs)
        answers = labels[:, 1:].ne(IGNORED)
        # Virtual tokens of prompt tuning stand before the row: they are neither answer nor prompt.
        missing = outputs.log_probs.size(1) - answers.size(1)
        answers = torch.nn.functional.pad(answers, (missing, 0))
        weights = torch.where(answers, 1.0, self.weight).to(outputs.log_probs.dtype)
        outputs.log_probs = outputs.log_probs * weights
        outputs.label_mask = outputs.label_mask & answers
        outputs.entropy = outputs.entropy * answers
        outputs.is_top1 = outputs.is_top1 * answers
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def prompt_tokens(batches: list[dict[str, Any]]) -> torch.Tensor:
    """How many targets of these batches are prompt tokens; the first token of a row is never a target."""
    count = torch.tensor(0)
    for batch in batches:
        prompt = real_tokens(batch, batch["labels"]) & batch["labels"].eq(IGNORED)
        count = count.to(prompt.device) + prompt[:, 1:].sum()
    return count


def real_tokens(inputs: dict[str, Any], labels: torch.Tensor) -> torch.Tensor:
    """Where a row has a token and no padding."""
    mask = inputs.get("attention_mask")
    return torch.ones_like(labels, dtype=torch.bool) if mask is None else mask.bool()
