"""A batch as the model will get it: the real tensors of TRL's real collator, and what they waste.

The rows are drawn as the trainer draws them: transformers shuffles with the seed of the run plus the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.data.packing import load_rows, pack
from core.data.prepare import prepare
from core.data.token_bytes import token_bytes_of
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED
from core.errors import UsageError
from core.models.quiet import hush_slow_kernels
from core.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Stretch:
    """Places [start, end) of one line of the tensors, padding included, and the source rows that stand there."""

    line: int
    start: int
    end: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """One micro-batch. `tensors` are numpy arrays by name, and `max_length_q`, `max_length_k` numbers.

    `rows` names the source rows of every sequence (several in a pack). `stretches` tile the lines of the tensors:
    what attends to itself alone. `texts` holds the bytes of every token id, `special_ids` the control tokens.
    """

    number: int
    batches: int  # per epoch
    epoch: int
    tensors: dict[str, Any]
    rows: tuple[tuple[int, ...], ...]
    padding_free: bool
    real_tokens: int
    trained_tokens: int
    shuffled: bool
    stretches: tuple[Stretch, ...] = ()
    texts: Mapping[int, bytes] = field(default_factory=dict)
    special_ids: frozenset[int] = frozenset()

    @property
    def places(self) -> int:
        """Token places that are computed, padding included."""
        return int(self.tensors["input_ids"].size)

    @property
    def waste(self) -> float:
        """Share of the places that is padding."""
        return 1 - self.real_tokens / self.places if self.places else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json` and for a screen."""
        return {
            "number": self.number,
            "batches": self.batches,
            "epoch": self.epoch,
            "rows": [list(rows) for rows in self.rows],
            "padding_free": self.padding_free,
            "real_tokens": self.real_tokens,
            "trained_tokens": self.trained_tokens,
            "places": self.places,
            "waste": self.waste,
            "tensors": {
                name: value.tolist() if isinstance(value, np.ndarray) else value
                for name, value in self.tensors.items()
            },
        }


def collated(recipe: Recipe, folder: Path, pad_id: int, number: int, epoch: int = 0) -> Batch:
    """Micro-batch `number` (from 0) of an epoch, from the prepared rows in `folder`.

    Raises UsageError for a number beyond the last batch.
    """
    hush_slow_kernels()
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    data = recipe.data
    rows = _examples(folder, data.packing, data.max_length)
    size = recipe.training.micro_batch
    batches = -(-len(rows) // size)
    if not 0 <= number < batches:
        raise UsageError(f"there is no batch {number}", fix=f"batches go from 0 to {batches - 1}")
    shuffled = "train_sampling_strategy" not in recipe.training.extra
    order = drawing_order(len(rows), recipe.training.seed, epoch) if shuffled else list(range(len(rows)))
    examples = [rows[index] for index in order[number * size : (number + 1) * size]]
    padding_free = data.packing in ("bfd", "bfd_split")
    collate = DataCollatorForLanguageModeling(
        pad_token_id=pad_id,
        padding_free=padding_free,
        pad_to_multiple_of=recipe.training.extra.get("pad_to_multiple_of"),
    )
    owners = [example.pop("row") for example in examples]
    lengths = [example.get("seq_lengths") or [len(example["input_ids"])] for example in examples]
    tensors = {
        name: value.numpy() if hasattr(value, "numpy") else value for name, value in collate(examples).items()
    }
    return Batch(
        number,
        batches,
        epoch,
        tensors,
        tuple(tuple(dict.fromkeys(owner)) if isinstance(owner, list) else (owner,) for owner in owners),
        padding_free,
        sum(len(example["input_ids"]) for example in examples),
        int((tensors["labels"] != IGNORED).sum()),
        shuffled,
        tuple(_stretches(lengths, owners, tensors["input_ids"].shape[1], padding_free)),
    )


def _stretches(
    lengths: list[list[int]], owners: list[int | list[int]], width: int, padding_free: bool
) -> Iterator[Stretch]:
    """One per line where lines are padded; one per piece of a row where they are joined into one."""
    place = 0
    for line, (pieces, owner) in enumerate(zip(lengths, owners, strict=True)):
        each = owner if isinstance(owner, list) else [owner] * sum(pieces)
        if not padding_free:
            yield Stretch(line, 0, width, tuple(dict.fromkeys(each)))
            continue
        start = 0
        for length in pieces:
            yield Stretch(0, place, place + length, tuple(dict.fromkeys(each[start : start + length])))
            place, start = place + length, start + length


def show_batch(
    recipe: Recipe,
    model_folder: Path,
    number: int,
    epoch: int = 0,
    progress: Any = None,
    *,
    workspace: Path | None = None,
) -> Batch:
    """Prepare the recipe's rows (or take them from the cache) and collate one batch of them."""
    prepared = prepare(recipe, model_folder, None, progress, workspace=workspace)
    tokenizer = load_tokenizer(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    batch = collated(recipe, prepared.folder, tokenizer.pad_id or 0, number, epoch)
    known, ids = token_bytes_of(tokenizer), np.unique(batch.tensors["input_ids"]).tolist()
    return replace(
        batch, texts={id: known.of(id) for id in ids}, special_ids=tokenizer.control_ids & frozenset(ids)
    )


def drawing_order(rows: int, seed: int, epoch: int) -> list[int]:
    """The order in which the trainer draws rows in one epoch: accelerate's SeedableRandomSampler."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order: list[int] = torch.randperm(rows, generator=generator).tolist()
    return order


@lru_cache(maxsize=2)
def _examples_at(folder: Path, packing: str, max_length: int, _state: int) -> Any:
    rows = load_rows(folder)
    return rows if packing == "none" else pack(rows, packing, max_length)


def _examples(folder: Path, packing: str, max_length: int) -> Any:
    """Rows or packs of a prepared folder, kept while it does not change."""
    return _examples_at(folder, packing, max_length, (folder / "state.json").stat().st_mtime_ns)
