"""Long text, wrapped and drawn line by line: a conversation, a raw record, a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.layers import layered
from tui.widgets.text import fit, visible

Line = tuple[str, str]  # the text and its style class, or ""
_LONGEST_LINE = 20_000  # characters of one line that are shown; the rest is said to be there


class TextView(Widget, can_focus=True):
    """`show(lines)`; text from outside is made visible here."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading", "muted", "bad", "warn", "good"}
    DEFAULT_CSS = """
    TextView { width: 1fr; height: 1fr; }
    TextView .heading { text-style: bold; color: $text-primary; }
    TextView .muted { color: $foreground 60%; }
    TextView .bad { color: $text-error; text-style: bold; }
    TextView .warn { color: $text-warning; text-style: bold; }
    TextView .good { color: $text-success; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(0)", "top", show=False),
        Binding("G,end", "edge(1)", "bottom", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given: tuple[Line, ...] = ()
        self._wrapped: list[Line] = []
        self._first = 0

    def show(self, lines: Sequence[Line], *, keep_place: bool = False) -> None:
        self._given = tuple(lines)
        self._first = self._first if keep_place else 0
        self._wrap()

    @property
    def text(self) -> str:
        """What is shown, as it was given."""
        return "\n".join(text for text, _ in self._given)

    def on_resize(self) -> None:
        self._wrap()

    def action_move(self, lines: int) -> None:
        self._go(self._first + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._first + pages * max(self.size.height - 1, 1))

    def action_edge(self, end: int) -> None:
        self._go(len(self._wrapped) if end else 0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def _go(self, first: int) -> None:
        end = max(len(self._wrapped) - self.size.height, 0)
        self._first = min(max(first, 0), end)
        self.refresh()

    def _wrap(self) -> None:
        width = max(self.size.width, 1)
        self._wrapped = [(piece, style) for text, style in self._given for piece in wrapped(text, width)]
        self._go(self._first)

    def render_line(self, y: int) -> Strip:
        number = self._first + y
        if number >= len(self._wrapped):
            return Strip.blank(self.size.width, self.rich_style)
        text, name = self._wrapped[number]
        style = layered(self, name) if name else self.rich_style
        return Strip([Segment(fit(text, self.size.width), style)])


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` cells, broken at blanks where there are any."""
    lines: list[str] = []
    for line in text[:_LONGEST_LINE].split("\n"):
        shown = visible(line)
        while cell_len(shown) > width:
            place = _fitting(shown, width)
            blank = shown.rfind(" ", 0, place + 1)
            cut = blank + 1 if blank > 0 else place
            lines.append(shown[:cut].rstrip())
            shown = shown[cut:]
        lines.append(shown)
    if len(text) > _LONGEST_LINE:
        lines.append(f"… and {len(text) - _LONGEST_LINE:,} more characters")
    return lines


def _fitting(text: str, width: int) -> int:
    """How many characters fit, at least one."""
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return max(place, 1)
    return len(text)
