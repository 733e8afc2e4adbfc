"""What the list of models shows: its lines, made from entries, downloads and the recipe."""

from __future__ import annotations

import time
from collections.abc import Iterable

from core.models.listing import LocalSort, ModelEntry, sort_entries
from core.recipe import Recipe
from tui.model.card_lines import count_text, size_text
from tui.model.downloads import Downloads
from tui.model.model_list import Row

_HEADINGS = {
    "found": "on this machine",
    "name": "on this machine, by name",
    "size": "on this machine, largest first",
    "used": "on this machine, last used first",
    "parameters": "on this machine, most parameters first",
}


def local_rows(
    entries: Iterable[ModelEntry], downloads: Downloads, recipe: Recipe, by: LocalSort = "found"
) -> list[Row]:
    """The models of this machine in an order, and before them downloads that have no folder yet."""
    entries = sort_entries(list(entries), by)
    here = {one.id for one in entries}
    rows = [Row(_HEADINGS[by])]
    for download in downloads.running:
        if download.model not in here:
            rows.append(_row(ModelEntry(download.model, "cache", missing="on its way"), downloads, recipe))
    return [*rows, *(_row(entry, downloads, recipe, by) for entry in entries)]


def hub_rows(entries: Iterable[ModelEntry], state: str, downloads: Downloads, recipe: Recipe) -> list[Row]:
    """What the Hub found, under a line that says how the search stands."""
    if not state:
        return []
    return [Row(state), *(_row(entry, downloads, recipe) for entry in entries)]


def _row(entry: ModelEntry, downloads: Downloads, recipe: Recipe, by: LocalSort = "found") -> Row:
    download = downloads.all.get(entry.id)
    if download is not None and download.running and entry.source in ("cache", "hub"):
        return Row(entry.id, f"{100 * download.share:.0f} %", "↓", entry)
    if entry.source == "hub":
        return Row(entry.id, _hub_figures(entry), "·", entry)
    if entry.missing:
        return Row(entry.id, f"not whole  {_figure(entry, by):>10}", "◐", entry)
    chosen = recipe.model.source == entry.id
    return Row(entry.id, f"{entry.source}  {_figure(entry, by):>10}", "▶" if chosen else "✓", entry)


def _figure(entry: ModelEntry, by: LocalSort) -> str:
    """What the list is sorted by; its size where that is a name."""
    if by == "used":
        return time.strftime("%Y-%m-%d", time.localtime(entry.last_used)) if entry.last_used else "never"
    if by == "parameters":
        return count_text(entry.parameters) if entry.parameters else "unknown"
    return size_text(entry.bytes)


def _hub_figures(entry: ModelEntry) -> str:
    parts = [
        "gated" if entry.gated else "",
        count_text(entry.parameters) if entry.parameters else "",
        f"{count_text(entry.downloads)} downloads" if entry.downloads else "",
    ]
    return "  ".join(part for part in parts if part)
