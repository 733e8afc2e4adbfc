"""The tokenizer, loaded the way the run loads it, and the few facts about it that labels need."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.data.kept_tokenizer import is_plain, kept
from core.errors import MissingError, TunedeckError


@dataclass(frozen=True, slots=True)
class Facts:
    """What transformers says of a tokenizer, in plain values."""

    special_texts: dict[str, Any]  # bos_token, eos_token, ... as the template sees them
    special_ids: list[int]
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    vocabulary_size: int  # one more than the largest id
    chat_template: Any  # text, a dict of named texts, or None


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer, its Rust part where it has one, and what is read from it once.

    `eos_text` is what TRL appends to plain rows. `stop_texts` are the texts of the tokens that end
    generation: EOS and every `eos_token_id` of a generation config beside it.
    """

    folder: Path
    facts: Facts
    backend: Any | None  # tokenizers.Tokenizer; None where transformers runs another implementation
    plain: bool = True  # its Rust part gives all that it gives
    trust_remote_code: bool = False

    @cached_property
    def hf(self) -> Any:
        """The tokenizer of transformers (PreTrainedTokenizerBase), loaded when it is asked for."""
        return from_transformers(self.folder, trust_remote_code=self.trust_remote_code)

    @property
    def _rust(self) -> Any | None:
        return self.backend if self.plain else None

    @property
    def special_texts(self) -> dict[str, Any]:
        """bos_token, eos_token, ... as the template sees them."""
        return self.facts.special_texts

    @property
    def eos_text(self) -> str:
        return str(self.special_texts.get("eos_token") or "")

    @cached_property
    def added(self) -> dict[str, int]:
        """Text and id of every added token, special or not."""
        if self._rust is None:
            return dict(self.hf.get_added_vocab())
        tokens = sorted(self._rust.get_added_tokens_decoder().items())
        return {token.content: number for number, token in tokens}

    @cached_property
    def special_added(self) -> tuple[str, ...]:
        """Texts of the added tokens that are special."""
        rust = self._rust
        tokens = self.hf.added_tokens_decoder if rust is None else rust.get_added_tokens_decoder()
        return tuple(token.content for token in tokens.values() if token.special)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self.added.values()) | frozenset(self.facts.special_ids)

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Special tokens, and added ones that look like markup (`<think>`); not added blanks or words."""
        marked = {number for text, number in self.added.items() if text[:1] in "<[" and text[-1:] in ">]"}
        return frozenset(self.facts.special_ids) | frozenset(marked)

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        texts = [self.eos_text] if self.eos_text else []
        for number in _generation_stop_ids(self.folder):
            text = self.token(number)
            if text and text not in texts:
                texts.append(text)
        return tuple(texts)

    @property
    def pad_id(self) -> int | None:
        """What TRL pads with: the tokenizer's pad token, else EOS."""
        return self.facts.pad_id if self.facts.pad_id is not None else self.facts.eos_id

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        return self.facts.vocabulary_size

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of one text; `special` adds what the tokenizer adds to a plain call (a BOS, say)."""
        if self._rust is None:
            return list(self.hf(text, add_special_tokens=special)["input_ids"])
        return list(self._rust.encode(text, add_special_tokens=special).ids)

    def token(self, number: int) -> str:
        """A token as it stands in the vocabulary; an empty text where there is none of that number."""
        if self._rust is None:
            return self.hf.convert_ids_to_tokens(number) or ""
        return self._rust.id_to_token(number) or ""

    def id_of(self, token: str) -> int | None:
        """The number of a token; None where the vocabulary lacks it."""
        if self._rust is None:
            return self.hf.get_vocab().get(token)
        number: int | None = self._rust.token_to_id(token)
        return number

    def token_text(self, number: int) -> str:
        """One token as text. Part of a character that several tokens share shows as U+FFFD."""
        if self._rust is None:
            return str(
                self.hf.decode([number], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            )
        return str(self._rust.decode([number], skip_special_tokens=False))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any file that decides ids or text changes."""
        return folder_state(self.folder)


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a model folder, as AutoTokenizer loads it, offline.

    Raises MissingError where the folder holds none, TunedeckError where it cannot be loaded.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError("no such model folder", where=str(folder), fix="tunedeck models get fetches one")
    return _loaded(folder.resolve(), folder_state(folder), trust_remote_code)


@lru_cache(maxsize=4)
def _loaded(folder: Path, _state: str, trust_remote_code: bool) -> Tokenizer:
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise MissingError(
            "the folder holds no tokenizer",
            where=str(folder),
            fix="choose a model folder with tokenizer.json",
        )
    found = None if trust_remote_code else kept(folder)
    if found is not None:
        facts, backend = found
        return Tokenizer(folder, Facts(**facts), backend)
    try:
        hf = from_transformers(folder, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise TunedeckError(
            f"the tokenizer cannot be loaded: {error}", where=str(folder), fix="check the folder's files"
        ) from error
    return wrapped(hf, folder, trust_remote_code=trust_remote_code)


def wrapped(hf: Any, folder: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """A tokenizer that transformers has loaded already."""
    backend = getattr(hf, "backend_tokenizer", None)
    tokenizer = Tokenizer(folder, Facts(**facts_of(hf)), backend, is_plain(hf), trust_remote_code)
    tokenizer.__dict__["hf"] = hf
    return tokenizer


def from_transformers(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's tokenizer as transformers loads it (PreTrainedTokenizerBase). Raises what transformers raises."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)


def facts_of(hf: Any) -> dict[str, Any]:
    """The facts of a transformers tokenizer, as a dictionary."""
    return asdict(
        Facts(
            special_texts=dict(hf.special_tokens_map),
            special_ids=list(hf.all_special_ids),
            bos_id=hf.bos_token_id,
            eos_id=hf.eos_token_id,
            pad_id=hf.pad_token_id,
            vocabulary_size=max(hf.get_vocab().values(), default=-1) + 1,
            chat_template=hf.chat_template,
        )
    )


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
