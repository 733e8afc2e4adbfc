"""Named figures in columns: as many columns as the width allows, only changed values are sent."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from tui.widgets.bars import Bar, Part
from tui.widgets.text import cut, fit

COLUMN_CELLS = 26
NAME_CELLS = 11


class Figures(Bar):
    """`tell([("loss", "1.234", ""), ...])`: name, value, style ("good", "bad" or "")."""

    DEFAULT_CSS = """
    Figures { background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(0, id=id)
        self.values: list[tuple[str, str, str]] = []

    def tell(self, values: Sequence[tuple[str, str, str]]) -> None:
        self.values = list(values)
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        columns = max(width // COLUMN_CELLS, 1)
        cells = width // columns
        rows = -(-len(self.values) // columns)
        for y in range(max(rows, len(self._lines))):
            parts: list[Part] = []
            for name, value, style in self.values[y * columns : (y + 1) * columns]:
                parts.append(Part(fit(f" {name}", NAME_CELLS), "muted"))
                value = cut(value, cells - NAME_CELLS)
                parts.append(Part(value, style))
                parts.append(Part(" " * (cells - NAME_CELLS - cell_len(value))))
            self.put(y, parts)
