"""What the list of models shows: its lines, made from entries, downloads and the recipe."""

from __future__ import annotations

from collections.abc import Iterable

from core.models.listing import ModelEntry
from core.recipe import Recipe
from tui.model.card_lines import count_text, size_text
from tui.model.downloads import Downloads
from tui.model.model_list import Row


def local_rows(entries: Iterable[ModelEntry], downloads: Downloads, recipe: Recipe) -> list[Row]:
    """The models of this machine, and downloads that have no folder yet."""
    entries = list(entries)
    here = {one.id for one in entries}
    rows = [Row("on this machine")]
    for download in downloads.running:
        if download.model not in here:
            rows.append(_row(ModelEntry(download.model, "cache", missing="on its way"), downloads, recipe))
    return [*rows, *(_row(entry, downloads, recipe) for entry in entries)]


def hub_rows(entries: Iterable[ModelEntry], state: str, downloads: Downloads, recipe: Recipe) -> list[Row]:
    """What the Hub found, under a line that says how the search stands."""
    if not state:
        return []
    return [Row(state), *(_row(entry, downloads, recipe) for entry in entries)]


def _row(entry: ModelEntry, downloads: Downloads, recipe: Recipe) -> Row:
    download = downloads.all.get(entry.id)
    if download is not None and download.running and entry.source in ("cache", "hub"):
        return Row(entry.id, f"{100 * download.share:.0f} %", "↓", entry)
    if entry.source == "hub":
        return Row(entry.id, _hub_figures(entry), "·", entry)
    if entry.missing:
        return Row(entry.id, f"not whole  {size_text(entry.bytes)}", "◐", entry)
    chosen = recipe.model.source == entry.id
    return Row(entry.id, f"{entry.source}  {size_text(entry.bytes):>10}", "▶" if chosen else "✓", entry)


def _hub_figures(entry: ModelEntry) -> str:
    parts = [
        "gated" if entry.gated else "",
        count_text(entry.parameters) if entry.parameters else "",
        f"{count_text(entry.downloads)} downloads" if entry.downloads else "",
    ]
    return "  ".join(part for part in parts if part)
