"""What a model's licence means for someone who wants to train on it. Words, not advice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FREE = "free to use, change and share, commercially too; keep the notices"
_SHARE_ALIKE = "free to use, commercially too; what you share must carry the same licence"
_NOT_COMMERCIAL = "not for commercial use; a tuned model inherits that"
_OWN_TERMS = "the maker's own terms: read them before you share or sell a tuned model"
_USE_RULES = "free to use under rules of use that a tuned model inherits"

_WORDS = {
    "apache-2.0": _FREE,
    "mit": _FREE,
    "bsd-2-clause": _FREE,
    "bsd-3-clause": _FREE,
    "isc": _FREE,
    "unlicense": "public domain",
    "cc0-1.0": "public domain",
    "cc-by-4.0": "free to use, commercially too; name the source",
    "cc-by-3.0": "free to use, commercially too; name the source",
    "cc-by-2.0": "free to use, commercially too; name the source",
    "cc-by-sa-4.0": _SHARE_ALIKE,
    "cc-by-sa-3.0": _SHARE_ALIKE,
    "gpl-3.0": _SHARE_ALIKE,
    "agpl-3.0": f"{_SHARE_ALIKE}, and also when you only serve it",
    "cc-by-nc-4.0": _NOT_COMMERCIAL,
    "cc-by-nc-sa-4.0": _NOT_COMMERCIAL,
    "cc-by-nc-nd-4.0": "not for commercial use, and changed versions may not be shared: a tuned model is one",
    "cc-by-nd-4.0": "changed versions may not be shared: a tuned model is one",
    "llama2": "Meta's licence: commercial use up to 700 million monthly users; name Llama in what you share",
    "llama3": "Meta's licence: commercial use up to 700 million monthly users; a tuned model's name begins with Llama 3",
    "llama3.1": "Meta's licence: commercial use up to 700 million monthly users; a tuned model's name begins with Llama",
    "llama3.2": "Meta's licence: commercial use up to 700 million monthly users; a tuned model's name begins with Llama",
    "llama3.3": "Meta's licence: commercial use up to 700 million monthly users; a tuned model's name begins with Llama",
    "llama4": "Meta's licence: commercial use up to 700 million monthly users; a tuned model's name begins with Llama",
    "gemma": "Google's terms: commercial use allowed; rules of use that a tuned model inherits",
    "openrail": _USE_RULES,
    "creativeml-openrail-m": _USE_RULES,
    "bigscience-bloom-rail-1.0": _USE_RULES,
    "bigscience-openrail-m": _USE_RULES,
    "bigcode-openrail-m": _USE_RULES,
    "openrail++": _USE_RULES,
    "apple-amlr": "for research only",
    "apple-ascl": _OWN_TERMS,
    "deepfloyd-if-license": _OWN_TERMS,
    "other": _OWN_TERMS,
}


@dataclass(frozen=True, slots=True)
class Licence:
    """`id` as the Hub writes it ("apache-2.0"), empty if the model names none; `words` say what it means."""

    id: str
    name: str
    link: str
    words: str


def licence_of(front_matter: dict[str, Any]) -> Licence:
    """From the front matter of a README (or the Hub's `card_data`)."""
    given = front_matter.get("license")
    if isinstance(given, list):
        given = given[0] if given else None
    name, link = front_matter.get("license_name"), front_matter.get("license_link")
    licence = str(given or "").lower()
    if not licence:
        words = "no licence is named: without one nothing is allowed that the maker did not allow"
    else:
        words = _WORDS.get(licence, _OWN_TERMS)
    return Licence(licence, str(name or given or ""), str(link or ""), words)


def front_matter(folder: Path) -> dict[str, Any]:
    """The YAML block at the head of README.md; empty if there is none or it cannot be read."""
    from huggingface_hub.repocard import metadata_load

    try:
        values = metadata_load(folder / "README.md")
    except Exception:  # the block is written by people and holds whatever it holds
        return {}
    return values if isinstance(values, dict) else {}
