"""Write `known.json`: what the installed transformers knows of every model type.

    python -m core.models.make_known

The table lets the light parts of tunedeck read a config without importing transformers: the defaults of
keys that a config.json leaves out, the other names of a key, and which model types are not decoder-only
language models. A test compares the file with the installed library.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from core.models.known import KNOWN_FILE
from core.workspace import write_atomically

# Keys of every config that say nothing about the shape of the model.
_NOISE = frozenset(
    [
        "transformers_version",
        "architectures",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "id2label",
        "label2id",
        "chunk_size_feed_forward",
        "is_encoder_decoder",
        "problem_type",
        "initializer_range",
        "use_cache",
        "attention_dropout",
        "hidden_dropout",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
        "classifier_dropout",
        "init_std",
        "dropout",
        "dtype",
    ]
)


def known_types() -> dict[str, Any]:
    """The table, from the installed transformers. Imports it."""
    from transformers import __version__
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    causal = dict(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    pictures = set(auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    pictures |= set(auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    two_sided = set(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    two_sided |= set(auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES)
    encoders = set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    decoders: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name in sorted(auto.CONFIG_MAPPING_NAMES):
        config = CONFIG_MAPPING[name]
        several = {"vision_config", "audio_config", "text_config"} & set(config.sub_configs)
        if name in two_sided:
            others[name] = "encoder-decoder"
        elif name in encoders:
            others[name] = "encoder"
        elif name not in causal:
            others[name] = "vision-language" if name in pictures else "other"
        elif several and (name in _NOT_TEXT or not _is_text_only(causal[name], config)):
            others[name] = "vision-language"
        elif name in _NOT_TEXT or not _is_causal(causal[name]):
            others[name] = "other"
        else:
            decoders[name] = {
                "defaults": _defaults(config) | _rope(config),
                "names": dict(config.attribute_map),
            }
            if several:
                decoders[name]["text_only"] = True
    return {
        "transformers": __version__,
        "decoders": decoders,
        "others": others,
        "experts_as_layers": _experts_as_layers(decoders),
    }


# Decoders that write sound, or read pictures beside text: they need more than tokens.
_NOT_TEXT = frozenset(
    {"musicgen", "musicgen_melody", "trocr", "git", "fuyu", "moshi", "phi4_multimodal", "blt", "mllama"}
)


def _experts_as_layers(decoders: Iterable[str]) -> dict[str, str]:
    """Families whose old expert layer names PEFT maps to stacked parameters, and the mapping's name."""
    from peft.utils import transformers_weight_conversion as conversion

    patterns, known = conversion._MODEL_TO_CONVERSION_PATTERN, conversion._MOE_TARGET_MODULE_MAPPING
    return {
        name: patterns[name]
        for name in decoders
        if patterns.get(name) in known and conversion.get_checkpoint_conversion_mapping(name) is not None
    }


def _is_causal(class_name: str) -> bool:
    return class_name.endswith(("ForCausalLM", "LMHeadModel"))


def _is_text_only(class_name: str, config: Any) -> bool:
    """Whether the causal class takes the text part of the config alone."""
    import transformers

    return getattr(transformers, class_name).config_class is not config


def _defaults(config: Any) -> dict[str, Any]:
    values = {}
    for field in dataclasses.fields(config):
        if field.name in _NOISE:
            continue
        if field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            continue
        if isinstance(value, (int, float, str, bool, list, dict, tuple)) or value is None:
            values[field.name] = value
    return values


def _rope(config: Any) -> dict[str, Any]:
    """The scaling of positions a config gets when its file names none, if it is not the plain one."""
    try:
        scaling = config().rope_parameters
    except Exception:  # some configs cannot be built without arguments
        return {}
    plain = not isinstance(scaling, dict) or scaling.get("rope_type", "default") == "default"
    return {} if plain else {"rope_parameters": scaling}


def table_text() -> str:
    """The file's text: one line per model type, so that a change of one family is a change of one line."""
    table = known_types()
    lines = [f'{{"transformers": {json.dumps(table["transformers"])},', '"decoders": {']
    lines.append(",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table["decoders"].items()))
    lines.append(f'}},\n"experts_as_layers": {json.dumps(table["experts_as_layers"])},')
    lines.append(f'"others": {json.dumps(table["others"])}}}\n')
    return "\n".join(lines)


if __name__ == "__main__":
    write_atomically(KNOWN_FILE, table_text())
