"""What LoRA targets mean on mixtures of experts, by PEFT's rules.

transformers 5 holds the experts of a layer in stacked parameters, not in linear layers. For the families in
`known.experts_as_layers` PEFT still takes the old layer names ("w1", "gate_proj", "gate") and puts adapters on
the stacked parameters instead; "all-linear" includes them. Three consequences are easy to miss: experts and
router train by default, a pattern loses its layer numbers, and dropout or DoRA is refused. The rules are those
of `peft.utils.transformers_weight_conversion._convert_peft_config_moe`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UsageError
from core.models.architecture import Architecture
from core.models.known import experts_as_layers

# Old layer name -> parameter that holds it now.
_NOW: dict[str, dict[str, str]] = {
    "mixtral": {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate.weight",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}


@dataclass(frozen=True, slots=True)
class ExpertAdapter:
    """An adapter on one stacked parameter: `count` experts (1 for a router) of this shape.

    `rank_factor` is 2 where gate and up are fused, so that each keeps the rank asked for.
    """

    name: str
    count: int
    inputs: int
    outputs: int
    rank_factor: int = 1

    def parameters(self, rank: int) -> int:
        return self.count * rank * self.rank_factor * (self.inputs + self.outputs)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Targets after PEFT's conversion: names for linear layers, and adapters on stacked parameters."""

    names: tuple[str, ...]
    experts: tuple[ExpertAdapter, ...]


def converts(architecture: Architecture) -> bool:
    """Whether PEFT rewrites LoRA targets for this family."""
    return bool(architecture.experts) and bool(experts_as_layers(architecture.family))


def resolve(architecture: Architecture, targets: str | Iterable[str]) -> Resolved:
    """What PEFT makes of the targets of a family that `converts`.

    Raises UsageError where PEFT refuses: one of gate and up without the other.
    """
    now = _NOW[experts_as_layers(architecture.family)]
    names, parameters, old_seen = [], set(), set()
    for name in _leaf_names(architecture, targets, now) if isinstance(targets, str) else targets:
        old = next((old for old in now if name == old or name.endswith(f".{old}")), None)
        if old is None:
            names.append(name)
        else:
            parameters.add(now[old])
            old_seen.add(old)
    fused = {old for old, new in now.items() if new == "gate_up_proj"}
    if 0 < len(old_seen & fused) < len(fused):
        raise UsageError(
            f"{', '.join(sorted(old_seen & fused))} cannot be trained without {', '.join(sorted(fused - old_seen))}: "
            "gate and up are one parameter in this model",
            where="tuner.targets",
            fix="name both, or neither",
        )
    return Resolved(tuple(names), _adapters(architecture, parameters))


def _leaf_names(architecture: Architecture, targets: str, now: dict[str, str]) -> list[str]:
    """Last names that a pattern or "all-linear" stands for, old expert names included."""
    if targets == "all-linear":
        linears = {
            one.name.rsplit(".", 1)[-1] for one in architecture.linears if one.name != architecture.head
        }
        return sorted(linears | set(now))
    pattern = re.compile(targets.removeprefix("re:"))
    containers = [one.name for one in architecture.modules if one.group == "experts"]
    routers = [one.name.rsplit(".", 1)[0] for one in architecture.modules if one.group == "router"]
    full = [one.name for one in architecture.linears] + [one.name for one in architecture.modules]
    full += [f"{place}.{old}" for place in containers for old in now if old != "gate"]
    full += [f"{place}.{new}" for place in containers for new in ("gate_up_proj", "down_proj")]
    full += [f"{place}.gate" for place in routers]
    return sorted({name.rsplit(".", 1)[-1] for name in full if pattern.fullmatch(name)})


def _adapters(architecture: Architecture, parameters: set[str]) -> tuple[ExpertAdapter, ...]:
    hidden, count = architecture.hidden_size, architecture.experts
    found = []
    for one in architecture.modules:
        if one.group == "router" and "gate.weight" in parameters and one.name.endswith(".gate"):
            found.append(ExpertAdapter(one.name, 1, hidden, count))
        if one.group != "experts":
            continue
        inner = one.parameters // (3 * hidden * count)
        if "gate_up_proj" in parameters:
            found.append(ExpertAdapter(f"{one.name}.gate_up_proj", count, hidden, 2 * inner, 2))
        if "down_proj" in parameters:
            found.append(ExpertAdapter(f"{one.name}.down_proj", count, inner, hidden))
    return tuple(found)
