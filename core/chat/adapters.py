"""Does an adapter belong to this base? Answered from shapes in the file's header, before anything is loaded."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import TunedeckError

PREFIX = "base_model.model."
LORA_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<side>A|B)\.(?:weight|[^.]+\.weight)")


def adapter_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of `adapter_model.safetensors`; empty for another file format.

    Raises TunedeckError if the file is cut off or damaged.
    """
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, path.stat().st_size)))
        end = max(
            (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0
        )
        if path.stat().st_size < 8 + size + end:
            raise ValueError(f"{path.stat().st_size} bytes, {8 + size + end} expected")
        return {key: tuple(entry["shape"]) for key, entry in header.items() if key != "__metadata__"}
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise TunedeckError(
            f"the adapter's weights are damaged: {error}",
            where=str(path),
            fix="copy or save the adapter again",
        ) from error


def saved_embedding_rows(folder: Path) -> int:
    """Rows of an embedding (or head) that the adapter carries whole; 0 if it carries none."""
    rows = [
        shape[0]
        for key, shape in adapter_shapes(folder).items()
        if len(shape) == 2
        and re.search(r"(embed_tokens|lm_head|wte)(\.[^.]*)?\.weight$", key)
        and ".lora_" not in key
    ]
    return max(rows, default=0)


def check_fits(model: Any, folder: Path) -> None:
    """Raise TunedeckError if a LoRA adapter names layers the model lacks or of another size."""
    modules = dict(model.named_modules())
    complaint = misfit(
        adapter_shapes(folder),
        {
            name: (int(module.in_features), int(module.out_features))
            for name, module in modules.items()
            if hasattr(module, "in_features") and hasattr(module, "out_features")
        },
        set(modules),
    )
    if complaint:
        raise TunedeckError(
            f"this adapter was trained on another base model: {complaint}",
            where=str(folder),
            fix=f"use the base that {folder / 'adapter_config.json'} names",
        )


def misfit(
    shapes: Mapping[str, tuple[int, ...]], linears: Mapping[str, tuple[int, int]], modules: set[str]
) -> str:
    """The first reason why an adapter's tensors do not fit, empty if they do. `linears`: name -> (in, out)."""
    for key, shape in shapes.items():
        match = LORA_KEY.fullmatch(key.removeprefix(PREFIX))
        if match is None:
            continue
        name = match["module"]
        if name not in modules:
            return f"it has weights for {name}, which this model does not have"
        if name not in linears or len(shape) != 2:
            continue
        inputs, outputs = linears[name]
        theirs, ours = (shape[1], inputs) if match["side"] == "A" else (shape[0], outputs)
        if theirs != ours:
            side = "inputs" if match["side"] == "A" else "outputs"
            return f"{name} has {ours:,} {side} here and {theirs:,} in the adapter"
    return ""
