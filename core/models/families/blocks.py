"""Blocks that many families share. Every block takes its layer's prefix and gives its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from core.models.architecture import Group
from core.models.parts import Part, embedding, linear, norm

Values = dict[str, Any]
Layer = Callable[[Values, str, int], list[Part]]  # values, "model.layers.3", 3


def head_dim(v: Values) -> int:
    """Size of one attention head: as given, else the hidden size shared out."""
    return int(v.get("head_dim") or v["hidden_size"] // v["num_attention_heads"])


def kv_heads(v: Values) -> int:
    """Key and value heads: as given, else as many as query heads; one under multi-query attention."""
    if v.get("multi_query") and not v.get("new_decoder_architecture"):
        return 1
    return int(v.get("num_key_value_heads") or v.get("num_kv_heads") or v["num_attention_heads"])


@dataclass(frozen=True, slots=True)
class Attention:
    """Separate q, k, v and output projections.

    `qk_norm`: "head" norms each head's vector, "all" the whole projection.
    """

    bias: bool = False
    output_bias: bool = False
    output: str = "o_proj"
    qk_norm: Literal["", "head", "all"] = ""
    square_output: bool = False

    def parts(self, v: Values, layer: str) -> list[Part]:
        at, hidden = f"{layer}.self_attn", v["hidden_size"]
        queries, keys = v["num_attention_heads"] * head_dim(v), kv_heads(v) * head_dim(v)
        found = [
            linear(f"{at}.q_proj", "attention", hidden, queries, self.bias),
            linear(f"{at}.k_proj", "attention", hidden, keys, self.bias),
            linear(f"{at}.v_proj", "attention", hidden, keys, self.bias),
            linear(
                f"{at}.{self.output}",
                "attention",
                hidden if self.square_output else queries,
                hidden,
                self.output_bias,
            ),
        ]
        if self.qk_norm:
            whole = self.qk_norm == "all"
            found.append(norm(f"{at}.q_norm", queries if whole else head_dim(v)))
            found.append(norm(f"{at}.k_norm", keys if whole else head_dim(v)))
        return found


def gated_mlp(
    v: Values, at: str, size: int | None = None, bias: bool = False, group: Group = "mlp"
) -> list[Part]:
    """gate, up and down projections."""
    hidden, inner = v["hidden_size"], size or v["intermediate_size"]
    return [
        linear(f"{at}.gate_proj", group, hidden, inner, bias),
        linear(f"{at}.up_proj", group, hidden, inner, bias),
        linear(f"{at}.down_proj", group, inner, hidden, bias),
    ]


def plain_mlp(v: Values, at: str, names: tuple[str, str], bias: bool, size: int | None = None) -> list[Part]:
    """Two projections without a gate."""
    hidden, inner = v["hidden_size"], size or v["intermediate_size"]
    return [
        linear(f"{at}.{names[0]}", "mlp", hidden, inner, bias),
        linear(f"{at}.{names[1]}", "mlp", inner, hidden, bias),
    ]


def norms(v: Values, layer: str, names: tuple[str, ...], bias: bool = False) -> list[Part]:
    """Norms over the hidden size."""
    return [norm(f"{layer}.{name}", v["hidden_size"], bias) for name in names]


PRE_NORMS = ("input_layernorm", "post_attention_layernorm")
SANDWICH_NORMS = (*PRE_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")
POST_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")


def decoder(
    v: Values, layer: Layer, *, final_norm: bool = True, norm_bias: bool = False, head_bias: bool = False
) -> list[Part]:
    """The frame of most models: `model.embed_tokens`, `model.layers.N`, `model.norm`, `lm_head`."""
    hidden, vocab = v["hidden_size"], v["vocab_size"]
    found = [embedding("model.embed_tokens", vocab, hidden)]
    for index in range(v["num_hidden_layers"]):
        found += layer(v, f"model.layers.{index}", index)
    if final_norm:
        found.append(norm("model.norm", hidden, norm_bias))
    return [*found, linear("lm_head", "head", hidden, vocab, head_bias)]
