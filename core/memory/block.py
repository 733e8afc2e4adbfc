"""One decoder block as groups of linears that share an input: the ground for counting activations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from core.models.architecture import Architecture, Linear, Module
from core.models.targets import layer_number

Place = Literal["attention in", "attention out", "mlp in", "mlp out"]

_HEAD_NORMS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm", "q_a_layernorm", "kv_a_layernorm")
_OUT = {"o_proj", "out_proj", "wo", "dense", "c_proj", "attn_out"}
_DOWN = {"down_proj", "w2", "fc2", "fc_out", "dense_4h_to_h", "c_proj", "output_linear"}
_ATTENTION = re.compile(r"\.(?:self_attn|attn|attention|self_attention|mixer|linear_attn)\.")

# RMSNorm that multiplies by (1 + weight) in fp32 before it returns to 16 bit.
NORM_IN_FP32 = {"gemma", "gemma2", "gemma3", "gemma3_text"}
RELU = {"opt"}  # its output is all that is saved; other activations save their input
DROPS_RESIDUAL = {"opt", "gpt2", "gpt_neo"}  # two dropouts of the residual stream, on by default
LAYER_NORM = {"cohere", "cohere2"}  # LayerNorm without a shift; with one it is known by its size


@dataclass(frozen=True, slots=True)
class Group:
    """Linears of one block that read the same input of `width` elements per token."""

    place: Place
    width: int
    linears: tuple[Linear, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A decoder block: its groups, and what its norms look like. `norms` counts those of the residual width."""

    groups: tuple[Group, ...]
    norms: int
    layer_norm: bool
    norm_in_fp32: bool
    fused_qkv: bool  # one projection makes q, k and v, so keeping v keeps all three
    relu: bool
    drops_residual: bool
    linear_parameters: int
    largest_linear: int

    def group(self, place: Place) -> Group | None:
        return next((group for group in self.groups if group.place == place), None)


def place_of(linear: Linear) -> Place:
    last = linear.name.rpartition(".")[2]
    if _ATTENTION.search(linear.name):
        return "attention out" if last in _OUT else "attention in"
    return "mlp out" if last in _DOWN else "mlp in"


@lru_cache(maxsize=32)
def blocks_of(architecture: Architecture) -> tuple[Block, ...]:
    """One Block per layer; layers of equal shape share one object."""
    by_layer: dict[int | None, list[Linear]] = {}
    norms: dict[int | None, list[Module]] = {}
    for linear in architecture.linears:
        by_layer.setdefault(layer_number(linear.name), []).append(linear)
    for module in architecture.modules:
        if module.group == "norms" and not module.name.endswith(_HEAD_NORMS):
            norms.setdefault(layer_number(module.name), []).append(module)
    seen: dict[tuple[object, ...], Block] = {}
    blocks = []
    for number in range(architecture.layers):
        linears = by_layer.get(number, [])
        beside = norms.get(number, [])
        key = (len(beside), *((item.name.rpartition(".")[2], item.inputs, item.outputs) for item in linears))
        if key not in seen:
            seen[key] = _block(tuple(linears), tuple(beside), architecture)
        blocks.append(seen[key])
    return tuple(blocks)


def unique_blocks(architecture: Architecture) -> tuple[Block, ...]:
    """The kinds of block a model has, in order; most have one."""
    return tuple({id(block): block for block in blocks_of(architecture)}.values())


def _block(linears: tuple[Linear, ...], norms: tuple[Module, ...], architecture: Architecture) -> Block:
    grouped: dict[tuple[Place, int], list[Linear]] = {}
    for linear in linears:
        grouped.setdefault((place_of(linear), linear.inputs), []).append(linear)
    attention_in = [item for item in linears if place_of(item) == "attention in"]
    shifted = any(norm.parameters == 2 * architecture.hidden_size for norm in norms)
    return Block(
        groups=tuple(Group(place, width, tuple(items)) for (place, width), items in grouped.items()),
        norms=len(norms),
        layer_norm=shifted or architecture.family in LAYER_NORM,
        norm_in_fp32=architecture.family in NORM_IN_FP32,
        fused_qkv=len(attention_in) == 1,
        relu=architecture.family in RELU,
        drops_residual=architecture.family in DROPS_RESIDUAL,
        linear_parameters=sum(item.inputs * item.outputs for item in linears),
        largest_linear=max((item.inputs * item.outputs for item in linears), default=0),
    )
