"""The bars of the shell: a header of two lines and a footer of one, drawn line by line.

Both have a fixed size and repaint only a line whose text has changed, so an idle app sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.text import cut, cut_left

MOST_HINTS = 6


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: its text, the style class it takes, and what a click on it does."""

    text: str
    style: str = ""
    click: str = ""


class Bar(Widget):
    """Lines of parts. `put` repaints only the cells between the first part that differs and the last."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key", "muted", "current", "good", "bad", "name"}

    DEFAULT_CSS = """
    Bar { width: 100%; background: $panel; color: $foreground; }
    Bar .key { color: $accent; text-style: bold; }
    Bar .muted { color: $foreground 65%; }
    Bar .current { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold underline; }
    Bar .good { color: $text-success; }
    Bar .bad { color: $text-error; text-style: bold; }
    Bar .name { color: $text-primary; text-style: bold; }
    """

    def __init__(self, lines: int = 1, *, id: str | None = None) -> None:
        """`lines` is the height; with 0 the stylesheet gives it."""
        super().__init__(id=id)
        if lines:
            self.styles.height = lines
        self._lines: list[tuple[Part, ...]] = [()] * lines

    def put(self, line: int, parts: Sequence[Part]) -> None:
        """Show these parts on a line."""
        self._lines += [()] * (line + 1 - len(self._lines))
        old, new = self._lines[line], tuple(parts)
        if new != old:
            self._lines[line] = new
            start, end = _changed_cells(old, new)
            self.refresh(Region(start, line, max(end - start, 1), 1))

    def text(self, line: int = 0) -> str:
        """What a line says, without styles."""
        return "".join(part.text for part in self._lines[line])

    def render_line(self, y: int) -> Strip:
        plain = self.rich_style
        segments = [
            Segment(part.text, self._style_of(part, plain))
            for part in (self._lines[y] if y < len(self._lines) else ())
        ]
        return Strip(segments).adjust_cell_length(self.size.width, plain)

    def _style_of(self, part: Part, plain: Style) -> Style:
        style = plain + self.get_component_rich_style(part.style) if part.style else plain
        return style + Style(meta={"@click": part.click}) if part.click else style


def _changed_cells(old: Sequence[Part], new: Sequence[Part]) -> tuple[int, int]:
    """First cell that differs, and the one after the last."""
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    start = sum(cell_len(part.text) for part in new[:same])
    ends = [sum(cell_len(part.text) for part in parts) for parts in (old, new)]
    if ends[0] == ends[1]:
        tail = 0
        while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        return start, ends[1] - sum(cell_len(part.text) for part in new[len(new) - tail :])
    return start, max(ends)


class Header(Vertical):
    """Workspace and recipe on the left, devices and run on the right; below, the panels.

    Three bars, because the screen repaints a bar from its left end: what changes often stands alone.
    """

    DEFAULT_CSS = """
    Header { height: 2; }
    Header Horizontal { height: 1; }
    Header #place { width: 1fr; }
    Header #now { width: 46; }
    """

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Bar(id="place")
            yield Bar(id="now")
        yield Bar(id="tabs-of-panels")

    def text(self, line: int = 0) -> str:
        """What a line says, without styles."""
        bars = [bar.text() for bar in self.query(Bar)]
        return bars[0] + bars[1] if line == 0 else bars[2]

    def tell(self, workspace: str, recipe: str, device: Part, run: Part) -> None:
        """Fill the first line. Names yield when there is not room for all."""
        place, now = self.query_one("#place", Bar), self.query_one("#now", Bar)
        room = max(place.size.width - len(" tunedeck   "), 0)
        recipe = cut(recipe, room)
        folder = cut_left(workspace, room - cell_len(recipe))
        place.put(0, [Part(" tunedeck ", "name"), Part(f" {folder}", "muted"), Part(f" {recipe}")])
        right = [part for part in (device, run) if part.text]
        gap = now.size.width - sum(cell_len(part.text) for part in right) - 2 * len(right)
        parts = [Part(" " * max(gap, 0))]
        for part in right:
            parts += [Part(" "), part, Part(" ")]
        now.put(0, parts)

    def panels(self, titles: Sequence[tuple[str, str, str]], current: str) -> None:
        """Fill the second line: (key, name, title) of each panel; the current one is underlined."""
        parts: list[Part] = []
        for key, name, title in titles:
            click = f"app.show('{name}')"
            if name == current:
                parts.append(Part(f" {key} {title} ", "current", click))
            else:
                parts += [Part(f" {key} ", "key", click), Part(f"{title} ", "", click)]
        self.query_one("#tabs-of-panels", Bar).put(0, parts)


class Footer(Bar):
    """At most six hints: key, then what it does now."""

    def hints(self, hints: Sequence[tuple[str, str, str]]) -> None:
        """(key as shown, description, key as pressed) each."""
        parts: list[Part] = []
        for shown, what, pressed in hints[:MOST_HINTS]:
            click = f"app.press('{pressed}')"
            parts += [Part(f" {shown} ", "key", click), Part(f"{what} ", "", click)]
        self.put(0, parts)
