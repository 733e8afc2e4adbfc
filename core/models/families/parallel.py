"""Families whose attention and MLP read the same normed input."""

from __future__ import annotations

from core.models.families.blocks import Attention, Values, decoder, norms, plain_mlp
from core.models.parts import Part, norm


def _phi(v: Values) -> list[Part]:
    """Biases everywhere, on the head too; LayerNorms on queries and keys if asked."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        found = [
            *Attention(bias=True, output_bias=True, output="dense").parts(v, at),
            *plain_mlp(v, f"{at}.mlp", ("fc1", "fc2"), True),
            *norms(v, at, ("input_layernorm",), bias=True),
        ]
        if v.get("qk_layernorm"):
            size = v["hidden_size"] // v["num_attention_heads"]
            found += [
                norm(f"{at}.self_attn.{name}", size, bias=True) for name in ("q_layernorm", "k_layernorm")
            ]
        return found

    parts = decoder(v, layer, final_norm=False, head_bias=True)
    return [*parts[:-1], norm("model.final_layernorm", v["hidden_size"], bias=True), parts[-1]]


FORMULAS = {"phi": _phi}
