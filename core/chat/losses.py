"""Loss over labelled tokens, row by row, with a bound on the memory that logits take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.chat.metrics import RowLoss
from core.chat.questions import ScoredRow
from core.data.types import IGNORED

LOGIT_BYTES_AT_ONCE = 512 << 20


def row_losses(
    model: Any, rows: Sequence[ScoredRow], progress: Callable[[list[RowLoss]], None] | None = None
) -> list[RowLoss]:
    """Sums of loss and hits per row, in the order of `rows`. The model answers in the state it is in.

    Padding carries no label and is masked. `progress` is handed each batch's results as they come.
    """
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    budget = max(LOGIT_BYTES_AT_ONCE // (vocabulary * 8), 1)  # the logits and their fp32 log-softmax
    results: dict[int, RowLoss] = {}
    for indices in _batches([len(row.input_ids) for row in rows], budget):
        batch = _score(model, [rows[index] for index in indices])
        results.update(zip(indices, batch, strict=True))
        if progress is not None:
            progress(batch)
    return [results[index] for index in range(len(rows))]


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows of like length together, at most `budget` tokens (padding counted) unless one row alone has more."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) + 1) * lengths[index] > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _score(model: Any, rows: Sequence[ScoredRow]) -> list[RowLoss]:
    import torch

    width = max(len(row.input_ids) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        length = len(row.input_ids)
        ids[index, :length] = torch.tensor(row.input_ids)
        labels[index, :length] = torch.tensor(row.labels)
        mask[index, :length] = 1
    ids, labels, mask = (tensor.to(model.device) for tensor in (ids, labels, mask))
    with torch.inference_mode():
        # Prompt tuning puts virtual positions before the row, so positions are counted from the end.
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -width:]
        targets = labels[:, 1:]
        kept = targets != IGNORED
        chosen = logits[:, :-1][kept].float()
        losses = torch.nn.functional.cross_entropy(chosen, targets[kept], reduction="none").double()
        hits = chosen.argmax(-1) == targets[kept]
        owner = torch.arange(len(rows), device=ids.device)[:, None].expand_as(targets)[kept]
        zeros = torch.zeros(len(rows), dtype=torch.float64, device=ids.device)
        loss_sums = zeros.index_add(0, owner, losses).tolist()
        hit_sums = zeros.index_add(0, owner, hits.double()).tolist()
        counts = kept.sum(1).tolist()
    return [
        RowLoss(row.row, loss, round(hit), count)
        for row, loss, hit, count in zip(rows, loss_sums, hit_sums, counts, strict=True)
    ]
