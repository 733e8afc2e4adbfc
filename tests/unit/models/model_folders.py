"""Small model folders for tests, made from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TINY = {
    "model_type": "llama", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True, "dtype": "bfloat16",
}  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def safetensors_bytes(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """A safetensors file of zeros: name -> (dtype, shape, bytes)."""
    header, offset = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(offset)


def write_model(folder: Path, config: dict[str, Any] | None = None, *, template: str = TEMPLATE) -> Path:
    """A whole model folder: config, weights of its true size (zeros), tokenizer, template, README."""
    from core.models.architecture_of import read_architecture

    config = {**TINY, **(config or {})}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    count = read_architecture(config).parameters.total
    (folder / "model.safetensors").write_bytes(safetensors_bytes({"all": ("BF16", [count], 2 * count)}))
    special = ["<pad>", "<s>", "</s>"]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": text, "special": True, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False}
            for number, text in enumerate(special)
        ],
        "model": {"type": "BPE", "vocab": {text: number for number, text in enumerate([*special, *"abcdefg"])}, "merges": []},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    )
    if template:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    return folder
