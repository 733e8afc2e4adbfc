"""What a model is, exactly, as plain numbers: the value that models, memory and targets share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayerKind = Literal["full", "sliding", "linear", "mla", "chunked"]
Group = Literal["embedding", "attention", "mlp", "experts", "router", "norms", "head", "other"]


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer: its full dotted name with the layer number in place, and its shape."""

    name: str  # "model.layers.0.self_attn.q_proj"
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Module:
    """A module with weights of its own that is not a linear layer: a norm, an embedding, a set of experts."""

    name: str  # "model.layers.0.input_layernorm"
    group: Group
    parameters: int
    embedding: tuple[int, int] | None = None  # (rows, columns) of an embedding table


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts by group. Tied head: `head` is 0 and `tied` is true."""

    embedding: int
    attention: int
    mlp: int  # dense MLPs; for mixtures of experts: shared experts and dense layers
    experts: int  # all routed experts
    router: int
    norms: int
    head: int
    other: int
    tied: bool

    @property
    def total(self) -> int:
        return (
            self.embedding
            + self.attention
            + self.mlp
            + self.experts
            + self.router
            + self.norms
            + self.head
            + self.other
        )


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only language model as its config describes it. Lengths in tokens, sizes in elements."""

    family: str  # model_type of the config
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    tied: bool
    parameters: Parameters
    linears: tuple[Linear, ...]  # every nn.Linear and Conv1D of the model, head included (named by `head`)
    layer_kinds: tuple[LayerKind, ...]  # one per layer
    sliding_window: int | None = None
    qk_norm: bool = False
    experts: int = 0
    experts_per_token: int = 0
    gated_mlp: bool = True
    dtype: str = "float32"  # on disk
    rope_scaling: str = ""  # in words; empty if none
    mla_kv_rank: int = 0  # kv_lora_rank, MLA only
    mla_rope_dim: int = 0
    counted_by: Literal["formula", "meta model"] = "formula"
    head: str = "lm_head"  # name of the output layer among `linears`
    modules: tuple[Module, ...] = ()  # everything with weights that is not in `linears`

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes through: all but the experts it is not routed to."""
        if not self.experts:
            return self.parameters.total
        unused = self.parameters.experts * (self.experts - self.experts_per_token) // self.experts
        return self.parameters.total - unused
