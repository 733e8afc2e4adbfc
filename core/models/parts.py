"""The parts a model is made of, as the formulas list them: linear layers, norms, embeddings, experts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.models.architecture import Group, Linear, Module, Parameters


@dataclass(frozen=True, slots=True)
class Part:
    """One module with weights, and the group it counts in.

    `own` is how many of its weights no earlier module holds; None means all of them.
    """

    group: Group
    module: Module | Linear
    own: int | None = None

    @property
    def parameters(self) -> int:
        return self.module.parameters if self.own is None else self.own


def linear(name: str, group: Group, inputs: int, outputs: int, bias: bool = False) -> Part:
    """A linear layer."""
    return Part(group, Linear(name, inputs, outputs, bias))


def norm(name: str, size: int, bias: bool = False) -> Part:
    """A norm with a scale and perhaps a shift."""
    return Part("norms", Module(name, "norms", size * (2 if bias else 1)))


def embedding(name: str, rows: int, columns: int) -> Part:
    """An embedding table."""
    return Part("embedding", Module(name, "embedding", rows * columns, (rows, columns)))


def weights(name: str, group: Group, count: int) -> Part:
    """Any other module with `count` parameters of its own."""
    return Part(group, Module(name, group, count))


def parameters_of(parts: Iterable[Part], *, tied: bool) -> Parameters:
    """Counts by group. A tied head shares the embedding's weights: only its bias, if any, counts."""
    counts = dict.fromkeys(
        ("embedding", "attention", "mlp", "experts", "router", "norms", "head", "other"), 0
    )
    for part in parts:
        count = part.parameters
        if part.own is None and part.group == "head" and tied and isinstance(part.module, Linear):
            count -= part.module.inputs * part.module.outputs
        counts[part.group] += count
    return Parameters(**counts, tied=tied)
