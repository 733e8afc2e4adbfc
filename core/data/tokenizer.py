"""The tokenizer, loaded the way the run loads it, and the few facts about it that labels need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import MissingError, TunedeckError


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer of transformers and what is read from it once.

    `eos_text` is what TRL appends to plain rows. `stop_texts` are the texts of the tokens that end
    generation: EOS and every `eos_token_id` of a generation config beside it.
    """

    folder: Path
    hf: Any  # PreTrainedTokenizerBase

    @cached_property
    def backend(self) -> Any | None:
        """The Rust tokenizer, or None where transformers runs another implementation."""
        return getattr(self.hf, "backend_tokenizer", None)

    @cached_property
    def eos_text(self) -> str:
        return self.hf.eos_token or ""

    @cached_property
    def special_texts(self) -> dict[str, Any]:
        """bos_token, eos_token, ... as the template sees them."""
        return dict(self.hf.special_tokens_map)

    @cached_property
    def added(self) -> dict[str, int]:
        """Text and id of every added token, special or not."""
        return dict(self.hf.get_added_vocab())

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self.added.values()) | frozenset(self.hf.all_special_ids)

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Special tokens, and added ones that look like markup (`<think>`); not added blanks or words."""
        marked = {number for text, number in self.added.items() if text[:1] in "<[" and text[-1:] in ">]"}
        return frozenset(self.hf.all_special_ids) | frozenset(marked)

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        texts = [self.eos_text] if self.eos_text else []
        for number in _generation_stop_ids(self.folder):
            text = self.hf.convert_ids_to_tokens(number)
            if text and text not in texts:
                texts.append(text)
        return tuple(texts)

    @cached_property
    def pad_id(self) -> int | None:
        """What TRL pads with: the tokenizer's pad token, else EOS."""
        return self.hf.pad_token_id if self.hf.pad_token_id is not None else self.hf.eos_token_id

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        return max(self.hf.get_vocab().values(), default=-1) + 1

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of one text; `special` adds what the tokenizer adds to a plain call (a BOS, say)."""
        return list(self.hf(text, add_special_tokens=special)["input_ids"])

    def token_text(self, number: int) -> str:
        """One token as text. Part of a character that several tokens share shows as U+FFFD."""
        return str(self.hf.decode([number], skip_special_tokens=False, clean_up_tokenization_spaces=False))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any file that decides ids or text changes."""
        return folder_state(self.folder)


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a model folder, through AutoTokenizer, offline.

    Raises MissingError where the folder holds none, TunedeckError where it cannot be loaded.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError("no such model folder", where=str(folder), fix="tunedeck models get fetches one")
    return _loaded(folder.resolve(), folder_state(folder), trust_remote_code)


@lru_cache(maxsize=4)
def _loaded(folder: Path, _state: str, trust_remote_code: bool) -> Tokenizer:
    from transformers import AutoTokenizer

    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise MissingError(
            "the folder holds no tokenizer",
            where=str(folder),
            fix="choose a model folder with tokenizer.json",
        )
    try:
        hf = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise TunedeckError(
            f"the tokenizer cannot be loaded: {error}", where=str(folder), fix="check the folder's files"
        ) from error
    return Tokenizer(folder, hf)


_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "tekken.json",
)
_DECIDING_FILES = (*_TOKENIZER_FILES, "config.json", "generation_config.json", "chat_template.jinja")


def folder_state(folder: Path) -> str:
    """Sizes and times of the files that decide ids or text."""
    states = []
    for name in (*_DECIDING_FILES, "special_tokens_map.json", "added_tokens.json", "merges.txt"):
        path = folder / name
        if path.exists():
            stat = path.stat()
            states.append(f"{name}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(states)


def _generation_stop_ids(folder: Path) -> list[int]:
    try:
        value = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        return []
    numbers = value if isinstance(value, list) else [value]
    return [number for number in numbers if isinstance(number, int)]


def as_ids(values: Any) -> np.ndarray:
    """Ids as the int32 array that examples hold."""
    return np.asarray(values, dtype=np.int32)
