"""What a tuner trains, as the counts the formulas need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.models.architecture import Architecture, Linear
from core.models.targets import last_layers, matched, saved_whole, trainable_parameters
from core.recipe import LORA_METHODS, TunerSection


@dataclass(frozen=True, slots=True)
class Adapted:
    """`linears` carry an adapter of rank `rank`. Counts are parameters.

    `adapter_trainable` counts the adapter, `saved_whole` the copies of modules_to_save, `base_trainable`
    the base weights that train themselves (full and freeze). No layer below `first_layer` gets a gradient.
    """

    method: str
    rank: int
    linears: tuple[Linear, ...]
    adapter_trainable: int
    saved_whole: int
    base_trainable: int
    head_trains: bool
    embedding_trains: bool
    largest_trained: int  # elements of the largest tensor that trains
    first_layer: int = 0


def adapted(tuner: TunerSection, architecture: Architecture) -> Adapted:
    """What `tuner` trains in `architecture`. Raises UsageError if its targets match no layer."""
    return _adapted(tuner.model_dump_json(), architecture)


@lru_cache(maxsize=256)
def _adapted(tuner_text: str, architecture: Architecture) -> Adapted:
    tuner = TunerSection.model_validate_json(tuner_text)
    method, trained = tuner.method, trainable_parameters(architecture, tuner).trainable
    widest = max((one.parameters for one in architecture.linears), default=0)
    if method == "full":
        largest = max(widest, architecture.parameters.embedding)
        return Adapted(method, 0, (), 0, 0, trained, True, True, largest)
    if method == "freeze":
        layers = last_layers(architecture, tuner.train_last_layers)
        first = max(architecture.layers - tuner.train_last_layers, 0)
        largest = max((one.parameters for one in layers), default=0)
        return Adapted(method, 0, (), 0, 0, trained, False, False, largest, first)
    copies = saved_whole(architecture, tuner.modules_to_save)
    whole = sum(one.parameters for one in copies)
    names = {one.name for one in copies}
    head = architecture.head in names
    table = any(one.name in names for one in architecture.modules if one.embedding is not None)
    largest = max((one.parameters for one in copies), default=0)
    if method in ("prompt", "prefix"):
        return Adapted(method, 0, (), trained, 0, 0, False, False, trained)
    linears = matched(architecture, tuner.targets, tuner.modules_to_save)
    rank = tuner.rank if method in LORA_METHODS else 0
    largest = max(largest, *(max(rank, 1) * max(one.inputs, one.outputs) for one in linears))
    return Adapted(method, rank, linears, trained - whole, whole, 0, head, table, largest)
