"""What transformers knows of a model type, read from `known.json` without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import TunedeckError

KNOWN_FILE = Path(__file__).with_name("known.json")

OUT_OF_SCOPE = {
    "encoder-decoder": "an encoder-decoder model; tunedeck trains decoder-only language models",
    "encoder": "an encoder (for classification or embedding), not a language model that writes",
    "vision-language": "a model of several modalities; only its language model could be trained here",
    "other": "not a language model",
}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(KNOWN_FILE.read_text(encoding="utf-8"))
    return table


def decoder_types() -> tuple[str, ...]:
    """Model types of decoder-only language models."""
    return tuple(_table()["decoders"])


def decoder_defaults(model_type: str) -> dict[str, Any]:
    """The keys that transformers gives a config of this type when its file leaves them out."""
    return dict(_table()["decoders"][model_type]["defaults"])


def experts_as_layers(model_type: str) -> str:
    """PEFT's name for how it maps old expert layer names of this family; empty if it does not."""
    return str(_table()["experts_as_layers"].get(model_type, ""))


def kind_of(model_type: str) -> str:
    """`decoder`, `encoder-decoder`, `encoder`, `vision-language`, `other`, or `unknown`."""
    table = _table()
    if model_type in table["decoders"]:
        return "decoder"
    return str(table["others"].get(model_type, "unknown"))


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with every key that its file leaves out at its default, under every name a key has.

    Raises TunedeckError for a config without model_type, and for a model that is not decoder-only.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise TunedeckError(
            "the config has no model_type", fix="take the config.json of the model's own repository"
        )
    kind = kind_of(model_type)
    if kind == "unknown":
        raise TunedeckError(
            f"model type {model_type} is not known to transformers {_table()['transformers']}",
            fix="update transformers, or read its code first and set model.trust_remote_code = true",
        )
    if kind != "decoder":
        raise TunedeckError(
            f"model type {model_type} is {OUT_OF_SCOPE[kind]}", fix="choose a text-only causal model"
        )
    entry = _table()["decoders"][model_type]
    if entry.get("text_only") and isinstance(config.get("text_config"), dict):
        outer = {key: config[key] for key in ("dtype", "torch_dtype") if config.get(key)}
        return completed({**outer, **config["text_config"]})
    names: dict[str, str] = entry["names"]
    values: dict[str, Any] = {}
    for key, value in [*entry["defaults"].items(), *config.items()]:
        values[names.get(key, key)] = value
    for common, own in names.items():
        values.setdefault(common, values.get(own))
    return values
