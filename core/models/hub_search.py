"""Search the Hub for language models, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, cast

from core.models.hub import api, check_reachable, hub_errors
from core.models.listing import ModelEntry

Sort = Literal["downloads", "likes", "updated"]
_SORT = {"downloads": "downloads", "likes": "likes", "updated": "last_modified"}
_FIELDS = ["downloads", "likes", "gated", "lastModified", "safetensors", "tags", "config", "sha"]


@dataclass(frozen=True, slots=True)
class HubQuery:
    """What to look for. `parameters` is the Hub's own form, for example "min:1B,max:9B"."""

    text: str = ""
    author: str = ""
    licence: str = ""
    gated: bool | None = None
    parameters: str = ""
    sort: Sort = "downloads"


def parse_query(text: str) -> HubQuery:
    """Words to look for, and filters among them: `author:acme licence:mit size:max:9B gated:no sort:likes`."""
    words, filters = [], dict[str, str]()
    for word in text.split():
        key, colon, value = word.partition(":")
        key = {"license": "licence"}.get(key.lower(), key.lower())
        if colon and value and key in ("author", "licence", "size", "gated", "sort"):
            filters[key] = value
        else:
            words.append(word)
    gated = {"yes": True, "no": False}.get(filters.get("gated", ""))
    sort = filters.get("sort", "downloads")
    return HubQuery(
        " ".join(words),
        filters.get("author", ""),
        filters.get("licence", ""),
        gated,
        filters.get("size", ""),
        cast(Sort, sort if sort in _SORT else "downloads"),
    )


class HubSearch:
    """One search; `page()` gives the next models until it gives none. Blocks on the network: not for the screen."""

    def __init__(self, query: HubQuery) -> None:
        self.query = query
        self._items: Iterator[Any] | None = None

    def page(self, size: int = 20) -> list[ModelEntry]:
        """The next `size` models. Raises HubUnreachable offline, TunedeckError for a limit or a refusal."""
        with hub_errors():
            if self._items is None:
                check_reachable()
                self._items = iter(_listed(self.query, size))
            return [_entry(info) for info in islice(self._items, size)]


def _listed(query: HubQuery, size: int) -> Any:
    return api().list_models(
        search=query.text or None,
        author=query.author or None,
        filter=[f"license:{query.licence}"] if query.licence else None,
        gated=query.gated,
        num_parameters=query.parameters or None,
        pipeline_tag="text-generation",
        sort=_SORT[query.sort],
        expand=_FIELDS,
    )


def _entry(info: Any) -> ModelEntry:
    licence = next(
        (tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")), ""
    )
    return ModelEntry(
        id=info.id,
        source="hub",
        family=str((info.config or {}).get("model_type") or ""),
        revision=info.sha or "",
        parameters=info.safetensors.total if info.safetensors else 0,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        updated=info.last_modified.timestamp() if info.last_modified else 0.0,
        licence=licence,
        gated=info.gated or "",
    )
