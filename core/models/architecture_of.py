"""From a config to an Architecture: by formula where one is known, else counted on the meta device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import TunedeckError, UsageError
from core.models.architecture import Architecture, Linear, Module
from core.models.families import FORMULAS
from core.models.families.blocks import head_dim, kv_heads
from core.models.known import completed
from core.models.layer_kinds import layer_kinds, rope_in_words, window_of
from core.models.parts import parameters_of

# Names of the MLP's inner size, in different families.
_INNER = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")


def read_model(folder: Path) -> Architecture:
    """The architecture of the model in a folder. Raises TunedeckError if there is no readable config."""
    return read_architecture(read_config(folder))


def with_vocabulary(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """The config after the embedding was resized to `rows` rows, as new tokens ask for."""
    if rows < 1:
        raise UsageError(
            f"a vocabulary of {rows} rows holds nothing", fix="name how many tokens there will be"
        )
    if isinstance(config.get("text_config"), dict):
        return {**config, "text_config": {**config["text_config"], "vocab_size": rows}}
    return {**config, "vocab_size": rows}


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder (or the file itself). Raises TunedeckError with what is wrong."""
    path = folder if folder.is_file() else folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TunedeckError(
            "no config.json",
            where=str(folder),
            fix="this is not a model folder; name the folder that holds it",
        ) from None
    except (OSError, ValueError) as error:
        raise TunedeckError(f"config.json cannot be read: {error}", where=str(path)) from None
    if not isinstance(config, dict):
        raise TunedeckError("config.json is not a JSON object", where=str(path))
    return config


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """What a model is, from its config (the parsed config.json).

    Families with a formula take well under a millisecond. Others are built on the meta device in a child
    process, once; the answer is kept in tunedeck's cache. Raises TunedeckError for a model that is not a
    decoder-only language model, is unknown, or whose config lacks what its shape needs.
    """
    values = completed(config)
    known = by_formula(values)
    if known is not None:
        return known
    from core.models.meta_cache import counted

    return counted(dict(config))


def by_formula(values: dict[str, Any]) -> Architecture | None:
    """The architecture of a completed config, or None where no formula is certain."""
    formula = FORMULAS.get(values["model_type"])
    if formula is None or _is_unusual(values):
        return None
    try:
        parts = formula(values)
        return _assembled(values, parts)
    except (KeyError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise TunedeckError(
            f"the config of this {values['model_type']} model lacks or mistypes a value ({error})",
            fix="compare it with the config.json of the model it was made from",
        ) from None


def _is_unusual(v: Mapping[str, Any]) -> bool:
    """Options that add weights in a way the formulas leave out."""
    learned_activation = "xielu" in (v.get("hidden_act"), v.get("activation_function"))
    return bool(v.get("add_cross_attention")) or (learned_activation and v["model_type"] != "apertus")


def _assembled(v: dict[str, Any], parts: list[Any]) -> Architecture:
    tied = bool(v["tie_word_embeddings"])
    linears = tuple(part.module for part in parts if isinstance(part.module, Linear))
    modules = tuple(part.module for part in parts if isinstance(part.module, Module))
    kinds = layer_kinds(v)
    experts = next(
        (v[key] for key in ("num_local_experts", "num_experts", "n_routed_experts") if v.get(key)), 0
    )
    return Architecture(
        family=v["model_type"],
        vocab_size=v["vocab_size"],
        hidden_size=v["hidden_size"],
        intermediate_size=next((v[key] for key in _INNER if v.get(key)), 4 * v["hidden_size"]),
        layers=v["num_hidden_layers"],
        heads=v["num_attention_heads"],
        kv_heads=kv_heads(v),
        head_dim=v["qk_rope_head_dim"] if v.get("kv_lora_rank") else head_dim(v),
        context_length=v.get("max_position_embeddings") or v.get("max_seq_len") or 0,
        tied=tied,
        parameters=parameters_of(parts, tied=tied),
        linears=linears,
        layer_kinds=kinds,
        sliding_window=window_of(v) if "sliding" in kinds else None,
        qk_norm=any(module.name.endswith((".q_norm", ".q_layernorm")) for module in modules),
        experts=experts,
        experts_per_token=v.get("num_experts_per_tok") or 0 if experts else 0,
        gated_mlp=any(one.name.endswith((".gate_proj", ".gate_up_proj")) for one in linears) or bool(experts),
        dtype=dtype_of(v),
        rope_scaling=rope_in_words(v),
        mla_kv_rank=v.get("kv_lora_rank") or 0,
        mla_rope_dim=v.get("qk_rope_head_dim") or 0 if v.get("kv_lora_rank") else 0,
        counted_by="formula",
        modules=modules,
    )


def dtype_of(v: Mapping[str, Any]) -> str:
    """The dtype the config names; float32 if it names none (transformers' own reading)."""
    return str(v.get("dtype") or v.get("torch_dtype") or "float32").removeprefix("torch.")
