"""The tokenizer's files of a model folder, read as JSON; no tokenizer is built."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import TunedeckError

# Files that can hold a vocabulary, in the order transformers prefers them.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tekken.json", "vocab.txt")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the small files say. `vocabulary` names the file tokens come from, empty if there is none."""

    vocabulary: str
    config: dict[str, Any]  # tokenizer_config.json
    tokenizer: dict[str, Any]  # tokenizer.json; empty if it is not there
    generation: dict[str, Any]  # generation_config.json
    template: str  # the chat template transformers would use; empty if there is none
    template_file: str
    shadowed_template: bool  # tokenizer_config.json holds another text than the file that wins

    @property
    def ids(self) -> dict[str, int]:
        """Ids of added tokens by their text."""
        added = {one["content"]: one["id"] for one in self.tokenizer.get("added_tokens", ())}
        named = self.config.get("added_tokens_decoder") or {}
        return {**{one["content"]: int(number) for number, one in named.items()}, **added}

    @property
    def size(self) -> int:
        """One more than the highest id, as far as the files tell; 0 without tokenizer.json."""
        model = self.tokenizer.get("model", {})
        vocabulary = model.get("vocab") or {}
        base = len(vocabulary) if isinstance(vocabulary, list) else max(vocabulary.values(), default=-1) + 1
        return max([base, *(number + 1 for number in self.ids.values())], default=0)

    def special(self, name: str) -> str:
        """The text of "bos_token", "eos_token", ...; empty if the tokenizer has none."""
        value = self.config.get(name)
        return str(value.get("content") or "") if isinstance(value, dict) else str(value or "")


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read them. Missing files are empty; a file that is not JSON raises TunedeckError with its name."""
    config = _json(folder / "tokenizer_config.json")
    for name, value in _json(folder / "special_tokens_map.json").items():
        config.setdefault(name, value)
    template, where, shadowed = _template(folder, config)
    return TokenizerFiles(
        next((name for name in VOCABULARIES if (folder / name).is_file()), ""),
        config,
        _json(folder / "tokenizer.json"),
        _json(folder / "generation_config.json"),
        template,
        where,
        shadowed,
    )


def _template(folder: Path, config: dict[str, Any]) -> tuple[str, str, bool]:
    """The template that wins (chat_template.jinja over chat_template.json over the config), and its file."""
    inside = config.get("chat_template")
    if isinstance(inside, list):  # several named templates
        named = {one.get("name"): one.get("template") for one in inside if isinstance(one, dict)}
        inside = named.get("default") or next(iter(named.values()), "")
    inside = inside if isinstance(inside, str) else ""
    file = folder / "chat_template.jinja"
    if file.is_file():
        text = file.read_text(encoding="utf-8", errors="replace")
        return text, file.name, bool(inside) and inside != text
    separate = _json(folder / "chat_template.json").get("chat_template")
    if isinstance(separate, str) and separate:
        return separate, "chat_template.json", bool(inside) and inside != separate
    return inside, "tokenizer_config.json" if inside else "", False


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TunedeckError(f"{path.name} cannot be read: {error}", where=str(path.parent)) from None
    return value if isinstance(value, dict) else {}
