"""The small text files of a model, for a person to read: config, template, README, code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import TunedeckError
from core.models.hub_files import fetch_small, read_hub_model
from core.models.tokenizer_files import read_tokenizer_files

LARGEST = 2 << 20  # bytes; more of a file is not shown
FILES = ("config.json", "chat_template.jinja", "README.md", "tokenizer_config.json", "generation_config.json")
_CODE = "*.py"


def text_files(folder: Path) -> list[tuple[str, str]]:
    """Name and text of the files worth reading; the template also where it stands inside a config."""
    names = [*FILES, *sorted(path.name for path in folder.glob(_CODE))]
    found = [(name, _text(folder / name)) for name in names if (folder / name).is_file()]
    try:
        files = read_tokenizer_files(folder)
    except TunedeckError:
        return found
    if files.template and files.template_file != "chat_template.jinja":
        found.insert(1, (f"chat template (in {files.template_file})", files.template))
    return found


def hub_text_files(model: str, progress: Any = None) -> list[tuple[str, str]]:
    """The same of a model on the Hub that is not here; a workshop job. Nothing of it runs.

    Raises what `read_hub_model` raises, and MissingError for a gated model without access.
    """
    found = read_hub_model(model)
    folder = fetch_small(found, (*FILES, "chat_template.json", _CODE), LARGEST)
    return text_files(folder) if folder else []


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST).decode("utf-8", errors="replace")
