"""Many answers at once: greedy, batched, left-padded. Shared by the evaluation, the demo and the checks of exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    stop_ids: Sequence[int],
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[int, ...]]:
    """Greedy continuations of `prompts` (ids), in their order; each ends with its stop token if it reached one.

    Prompts of like length share a batch, so that little is padded. `progress` is told how many are done.
    The model answers in the state it is in: adapter on or off is the caller's choice.
    """
    by_length = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    results: list[tuple[int, ...]] = [()] * len(prompts)
    done = 0
    for start in range(0, len(by_length), batch_size):
        indices = by_length[start : start + batch_size]
        batch = [prompts[index] for index in indices]
        for index, ids in zip(indices, _batch(model, tokenizer, batch, max_tokens, stop_ids), strict=True):
            results[index] = ids
        done += len(indices)
        if progress is not None:
            progress(done)
    return results


def greedy_config(model: Any, *, max_tokens: int, stop_ids: Sequence[int], pad_id: int) -> Any:
    """A generation config for plain greedy decoding, whatever the model's own defaults are."""
    import copy

    config = copy.deepcopy(model.generation_config)
    config.update(
        do_sample=False, temperature=1.0, top_p=1.0, top_k=50, min_p=None, repetition_penalty=1.0, num_beams=1
    )
    config.update(
        max_length=None, max_new_tokens=max_tokens, eos_token_id=list(stop_ids) or None, pad_token_id=pad_id
    )
    return config


def pad_id(tokenizer: Any, stop_ids: Sequence[int]) -> int:
    """An id to fill batches with. Padding is masked, so any id will do."""
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    return int(stop_ids[0]) if stop_ids else 0


def _batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    stop_ids: Sequence[int],
) -> list[tuple[int, ...]]:
    import torch

    pad = pad_id(tokenizer, stop_ids)
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, width - len(prompt) :] = 1
    config = greedy_config(model, max_tokens=max_tokens, stop_ids=stop_ids, pad_id=pad)
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config
        )
    return [_until_stop(row[width:].tolist(), stop_ids) for row in output]


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> tuple[int, ...]:
    end = next((index for index, id in enumerate(ids) if id in stop_ids), None)
    return tuple(ids if end is None else ids[: end + 1])
