"""The adapter as a folder that PEFT, vLLM and the Hub take: weights, configuration, tokenizer, template, card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.adapters import adapter_shapes
from core.chat.subject import ADAPTER_FILES, Subject, read_adapter_config
from core.errors import MissingError, TunedeckError, UsageError
from core.export.aside import made_aside, weight_bytes
from core.export.card import base_name, write_card

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True)
class ExportedAdapter:
    """The folder, its size, the base it names and how many tensors it holds."""

    folder: Path
    bytes: int
    base: str
    tensors: int

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def export_adapter(subject: Subject, out: Path) -> ExportedAdapter:
    """Copy the adapter without the optimizer and other leftovers of training, and fill in a card.

    The copy is checked: every tensor's name and shape is there, and the bytes are equal. Raises UsageError if
    there is no adapter, MissingError without a tokenizer.
    """
    if subject.adapter is None:
        raise UsageError(
            "there is no adapter here",
            where=subject.label,
            fix="a model trained whole is complete in its folder; tunedeck export gguf makes one file of it",
        )
    config = read_adapter_config(subject.adapter)
    base = base_name(subject)
    with made_aside(out, weight_bytes(subject.adapter)) as aside:
        aside.mkdir()
        for name in ADAPTER_FILES:
            if (subject.adapter / name).is_file():
                shutil.copyfile(subject.adapter / name, aside / name)
        copy_tokenizer(subject, aside)
        if subject.run is not None and base != "demo":
            config["base_model_name_or_path"] = base
        (aside / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_card(aside, subject, "adapter")
        if adapter_shapes(aside) != adapter_shapes(subject.adapter):
            raise TunedeckError(
                "the copy is not the adapter", where=str(out), fix="try again; check the disk"
            )
    return ExportedAdapter(out, weight_bytes(out), base, len(adapter_shapes(out)))


def copy_tokenizer(subject: Subject, folder: Path) -> None:
    """Copy the training's tokenizer and template. Raises MissingError if there is none."""
    source = subject.template_folder or subject.model_folder
    copied = [name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not copied:
        raise MissingError("no tokenizer", where=str(source), fix="put the tokenizer's files there")
    for name in copied:
        shutil.copyfile(source / name, folder / name)
