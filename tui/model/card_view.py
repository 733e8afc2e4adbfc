"""A card on the screen: labelled lines, wrapped to the width, drawn line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.text import fit, visible, wrap

LABEL = 11  # cells
_MARKS = {"problem": "✗ ", "note": "! "}


class CardView(Widget, can_focus=True):
    """`put(title, lines)` shows a card from its top."""

    HELP = "What the model is. ✗ stands in the way of training it, ! is worth knowing."
    COMPONENT_CLASSES: ClassVar[set[str]] = {"title", "label", "problem", "note"}
    DEFAULT_CSS = """
    CardView { height: 1fr; min-height: 3; padding: 0 1; }
    CardView:focus { background: $surface; }
    CardView .title { text-style: bold; color: $text-primary; }
    CardView .label { color: $foreground 60%; }
    CardView .problem { color: $text-error; text-style: bold; }
    CardView .note { color: $text-warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_lines(1)", "down", show=False),
        Binding("up,k", "scroll_lines(-1)", "up", show=False),
        Binding("pagedown,space", "scroll_lines(10)", "page down", show=False),
        Binding("pageup,b", "scroll_lines(-10)", "page up", show=False),
        Binding("g,home", "scroll_lines(-1000000)", "top", show=False),
        Binding("G,end", "scroll_lines(1000000)", "bottom", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.title = ""
        self.card: list[tuple[str, str]] = []
        self._shown: list[tuple[str, str, str]] = []  # label, text, style class
        self._top = 0

    def put(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        if (title, list(lines)) == (self.title, self.card):
            return
        if title != self.title:
            self._top = 0
        self.title, self.card = title, list(lines)
        self._lay_out()

    def text(self) -> str:
        """What it says, for tests and for copying."""
        return "\n".join([self.title, *(f"{label}  {value}" for label, value in self.card)])

    def on_resize(self) -> None:
        self._lay_out()

    def action_scroll_lines(self, by: int) -> None:
        top = max(0, min(self._top + by, len(self._shown) - self.content_size.height))
        if top != self._top:
            self._top = top
            self.refresh()

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll_lines(-3)

    def render_line(self, y: int) -> Strip:
        plain, width = self.rich_style, self.content_size.width
        number = self._top + y
        if number >= len(self._shown):
            return Strip.blank(width, plain)
        label, text, name = self._shown[number]
        style = plain + self.get_component_rich_style(name) if name else plain
        if not label and name == "title":
            return Strip([Segment(fit(text, width), style)])
        label_style = plain + self.get_component_rich_style("label")
        return Strip([Segment(fit(label, LABEL), label_style), Segment(fit(text, width - LABEL), style)])

    def _lay_out(self) -> None:
        width = max(self.content_size.width - LABEL, 10)
        self._shown = [("", visible(self.title), "title")] if self.title else []
        for label, value in self.card:
            name = label if label in _MARKS else ""
            for number, text in enumerate(wrap(_MARKS.get(label, "") + visible(value), width)):
                self._shown.append((label if number == 0 else "", text, name))
        self._top = max(0, min(self._top, len(self._shown) - self.content_size.height))
        self.refresh()
