"""Count a model by building it on the meta device: no weights, the real modules. Imports torch and transformers.

Run as a job of the workshop (`core.models.meta:count`) or through `core.models.meta_cache`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from core.errors import TunedeckError
from core.models.architecture import Architecture, Group, LayerKind, Linear, Module
from core.models.families.blocks import kv_heads
from core.models.known import completed
from core.models.layer_kinds import layer_kinds, rope_in_words, window_of
from core.models.parts import Part, parameters_of


def count(config: dict[str, Any], progress: Callable[[Any], None] | None = None) -> Architecture:
    """The architecture of a config, from the model transformers builds of it.

    Raises TunedeckError if transformers cannot build a causal language model from this config.
    """
    completed(config)  # out-of-scope and unknown model types end here, before the slow imports
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    try:
        full = transformers.AutoConfig.for_model(**config)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(full)
    except Exception as error:  # the library raises what it likes on a config it does not expect
        first = str(error).strip().splitlines()[:1]
        raise TunedeckError(
            f"transformers cannot build this {config.get('model_type')} model: {' '.join(first)}",
            fix="compare its config with the config.json of the model it was made from",
        ) from error
    return replace(architecture_of(model), family=config["model_type"])


def architecture_of(model: Any) -> Architecture:
    """The architecture of a transformers model on any device."""
    parts, head = parts_of(model)
    config = model.config.get_text_config()
    tied = model.get_output_embeddings() is not None and (
        model.get_output_embeddings().weight is model.get_input_embeddings().weight
    )
    values = _values(config)
    linears = tuple(part.module for part in parts if isinstance(part.module, Linear))
    modules = tuple(part.module for part in parts if isinstance(part.module, Module))
    kinds = _kinds(values)
    experts = _first(values, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    return Architecture(
        family=model.config.model_type,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=_first(values, "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
        or 4 * config.hidden_size,
        layers=config.num_hidden_layers,
        heads=_first(values, "num_attention_heads", "n_head", "num_heads"),
        kv_heads=kv_heads(values) if values.get("num_attention_heads") else 0,
        head_dim=_head_dim(values),
        context_length=_first(
            values, "max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"
        ),
        tied=tied,
        parameters=parameters_of(parts, tied=tied),
        linears=linears,
        layer_kinds=kinds,
        sliding_window=window_of(values) if "sliding" in kinds else None,
        qk_norm=any(re.search(r"\.(q|query)_?(layer)?norm$", one.name) for one in modules),
        experts=experts,
        experts_per_token=_first(values, "num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts")
        if experts
        else 0,
        gated_mlp=any(re.search(r"\.(gate_proj|gate_up_proj|gate|w1)$", one.name) for one in linears)
        or bool(experts),
        dtype=str(values.get("dtype") or values.get("torch_dtype") or "float32").removeprefix("torch."),
        rope_scaling=rope_in_words(values),
        mla_kv_rank=_first(values, "kv_lora_rank"),
        mla_rope_dim=_first(values, "qk_rope_head_dim") if values.get("kv_lora_rank") else 0,
        counted_by="meta model",
        head=head,
        modules=modules,
    )


def parts_of(model: Any) -> tuple[list[Part], str]:
    """Every module with weights of its own, in the group it counts in, and the name of the head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    embedding_in, head_module = model.get_input_embeddings(), model.get_output_embeddings()
    parts: list[Part] = []
    head, seen = "", set[int]()
    group: Group
    for name, module in model.named_modules():
        weights = list(module.parameters(recurse=False))
        if not weights:
            continue
        # Weights may be shared (a tied head, a block used twice); they count where they come first.
        own = sum(weight.numel() for weight in weights if id(weight) not in seen)
        seen |= {id(weight) for weight in weights}
        if module is head_module:
            head, group = name, "head"
        else:
            group = "embedding" if module is embedding_in else _group(name, module)
        if isinstance(module, torch.nn.Linear) and len(module.weight.shape) == 2:
            one: Linear | Module = Linear(
                name, module.in_features, module.out_features, module.bias is not None
            )
        elif isinstance(module, Conv1D):
            one = Linear(name, module.nx, module.nf, True)
        else:
            count = sum(weight.numel() for weight in weights)
            table = tuple(module.weight.shape) if isinstance(module, torch.nn.Embedding) else None
            one = Module(name, group, count, table)
        parts.append(Part(group, one, own))
    return parts, head


_ROUTER = re.compile(r"(router|\.gate$|topk|statics)", re.IGNORECASE)
_ATTENTION = re.compile(
    r"attn|attention|mixer|mamba|\.conv|linear_attn|delta|ssm|query_key|rglru|temporal_block|recurrent|xlstm|mlstm"
)
_MLP = re.compile(r"mlp|feed_forward|ffn|\.fc[12]$|shared_expert|moe|channel|mixture")


def _group(name: str, module: Any) -> Group:
    import torch

    kind = type(module).__name__
    if isinstance(module, torch.nn.Embedding):
        return "embedding"
    if "Norm" in kind:
        return "norms"
    if (
        "Router" in kind
        or kind == "Gate"
        or _ROUTER.search(name.rsplit(".", 1)[-1])
        or name.endswith(".gate")
    ):
        return "router"
    if "Experts" in kind or re.search(r"\.experts(\.|$)", name):
        return "experts"
    if _ATTENTION.search(name):
        return "attention"
    if _MLP.search(name):
        return "mlp"
    return "other"


def _values(config: Any) -> dict[str, Any]:
    values: dict[str, Any] = config.to_dict()
    for common in (*config.attribute_map, "num_hidden_layers"):
        values.setdefault(common, getattr(config, common, None))
    return values


def _kinds(values: dict[str, Any]) -> tuple[LayerKind, ...]:
    try:
        return layer_kinds(values)
    except (KeyError, TypeError):
        return cast(tuple[LayerKind, ...], ("full",) * int(values["num_hidden_layers"]))


def _head_dim(values: dict[str, Any]) -> int:
    given = _first(values, "qk_rope_head_dim") if values.get("kv_lora_rank") else _first(values, "head_dim")
    heads = _first(values, "num_attention_heads", "n_head", "num_heads")
    return given or (values["hidden_size"] // heads if heads else 0)


def _first(values: dict[str, Any], *keys: str) -> int:
    """The first of these keys that holds a positive integer, else 0."""
    return next(
        (v for key in keys if isinstance(v := values.get(key), int) and not isinstance(v, bool) and v > 0), 0
    )
