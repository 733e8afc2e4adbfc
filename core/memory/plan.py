"""The plan: what a run needs in memory, by phase and category, and whether it fits. Pure and without torch.

plan(recipe, architecture, Lengths(rows=1000, longest=900, mean=300.0), room=room)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.memory.figure import Figure, by_category, total
from core.memory.optimizer import optimizer_named
from core.memory.outside import nvidia_smi_band, outside_figures
from core.memory.phases import Phase, phases_of, static_figures
from core.memory.setting import Lengths, Setting, resolve
from core.memory.stack import Stack, installed_stack
from core.memory.verdict import Room, Verdict, reserve_bytes, usable, verdict_of
from core.models.architecture import Architecture
from core.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """Predicted memory of one process on one device. `notes` say what a person should know about it."""

    setting: Setting
    room: Room
    phases: tuple[Phase, ...]
    static: tuple[Figure, ...]
    outside: tuple[Figure, ...]
    nvidia_smi_bytes: tuple[int, int]
    verdict: Verdict
    limit_bytes: int | None
    notes: tuple[str, ...]
    reserve: int | None = None  # an explicit one of the recipe

    @property
    def peak(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def peak_allocated_bytes(self) -> int:
        return self.peak.bytes

    @property
    def static_bytes(self) -> int:
        return total(self.static)

    @property
    def outside_bytes(self) -> int:
        return total(self.outside)

    @property
    def margin_bytes(self) -> int | None:
        """How much more would still fit; negative if it does not."""
        return None if self.limit_bytes is None else self.limit_bytes - self.peak_allocated_bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "static_bytes": self.static_bytes,
            "peak_phase": self.peak.name,
            "phases": {phase.name: by_category(phase.figures) for phase in self.phases},
            "outside_bytes": self.outside_bytes,
            "nvidia_smi_bytes": list(self.nvidia_smi_bytes),
            "available_bytes": self.room.available,
            "others_bytes": self.room.others,
            "device": self.room.name or self.room.device,
            "verdict": self.verdict,
            "margin_bytes": self.margin_bytes,
            "tokens_per_step": self.setting.tokens,
            "length": self.setting.length,
            "attention": self.setting.attention,
            "loss": self.setting.loss.kind,
            "notes": list(self.notes),
            "figures": [
                {"phase": phase.name, "category": item.category, "bytes": item.bytes, "formula": item.formula, "source": item.source}
                for phase in self.phases
                for item in phase.figures
            ],
        }  # fmt: skip


def plan(
    recipe: Recipe,
    architecture: Architecture,
    lengths: Lengths | None = None,
    *,
    stack: Stack | None = None,
    room: Room | None = None,
) -> Plan:
    """Price a recipe on one device. `lengths` are those of the prepared data; without them every row is
    taken to be `max_length` long. Raises UsageError for what has no number: unknown optimizer, no layers.
    """
    room = room or Room()
    stack = stack or installed_stack()
    setting = resolve(recipe, architecture, lengths=lengths, stack=stack, device=room.device, card=room.name)
    return plan_of(
        setting, architecture, room, reserve=reserve_bytes(recipe.plan.reserve), notes=_notes(recipe, architecture, setting, lengths)
    )  # fmt: skip


def plan_of(
    setting: Setting,
    architecture: Architecture,
    room: Room,
    *,
    reserve: int | None = None,
    notes: tuple[str, ...] = (),
) -> Plan:
    """As `plan`, from a resolved setting."""
    phases = phases_of(setting, architecture)
    outside = tuple(outside_figures(setting, room.context, measured=room.context is not None))
    peak, beside = max(phase.bytes for phase in phases), total(outside)
    return Plan(
        setting=setting,
        room=room,
        phases=phases,
        static=tuple(static_figures(setting, architecture)),
        outside=outside,
        nvidia_smi_bytes=nvidia_smi_band(setting, peak, beside, room.others, room.total, room.reserve_share),
        verdict=verdict_of(peak, beside, room.available, reserve),
        limit_bytes=usable(beside, room.available, reserve),
        notes=notes,
        reserve=reserve,
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """A plan on one of the devices it would run on: every process needs the same, the rooms differ."""

    room: Room
    outside_bytes: int
    verdict: Verdict
    margin_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        room = self.room
        return {
            "device": room.label, "name": room.name, "total_bytes": room.total, "available_bytes": room.available,
            "others_bytes": room.others, "outside_bytes": self.outside_bytes, "verdict": self.verdict,
            "margin_bytes": self.margin_bytes,
        }  # fmt: skip


def on_each(made: Plan, rooms: tuple[Room, ...]) -> tuple[Placed, ...]:
    """The plan of one process set into every room."""
    found = []
    for room in rooms:
        outside = total(outside_figures(made.setting, room.context, measured=room.context is not None))
        limit = usable(outside, room.available, made.reserve)
        margin = None if limit is None else limit - made.peak_allocated_bytes
        verdict = verdict_of(made.peak_allocated_bytes, outside, room.available, made.reserve)
        found.append(Placed(room, outside, verdict, margin))
    return tuple(found)


def _notes(
    recipe: Recipe, architecture: Architecture, setting: Setting, lengths: Lengths | None
) -> tuple[str, ...]:
    notes = [f"loss: {setting.loss.kind} ({setting.loss.why})", f"attention: {setting.attention}"]
    if lengths is None:
        notes.append(f"no prepared data: every row is taken to be {setting.length:,} tokens long")
    elif recipe.data.packing == "none":
        notes.append(f"the longest row decides: {setting.length:,} tokens")
    if setting.weight == 4 and setting.device == "cuda":
        notes.append('weights in fp32: model.dtype = "bfloat16" halves them and the checkpoints')
    notes += _beyond_context(recipe, architecture.context_length, lengths)
    if optimizer_named(setting.optimizer).paged:
        notes.append(
            "paged optimizer states lie outside the allocator and move to the host when room is short"
        )
    if architecture.experts:
        notes.append("mixture of experts: memory counts all experts, compute only those a token uses")
    return tuple(notes)


def _beyond_context(recipe: Recipe, context: int, lengths: Lengths | None) -> list[str]:
    """Said of rows only where their lengths are known; else of what `max_length` lets through."""
    limit = recipe.data.max_length
    if not context or limit <= context:
        return []
    if lengths is None:
        return [
            f"max_length {limit:,} is above the model's context of {context:,} tokens: "
            "rows longer than that would go beyond it"
        ]
    if recipe.data.packing == "wrapped":
        return [f"packs of {limit:,} tokens are longer than the model's context of {context:,} tokens"]
    longest = min(lengths.longest, limit)
    if longest <= context:
        return []
    return [f"the longest row, {longest:,} tokens, is beyond the model's context of {context:,} tokens"]
