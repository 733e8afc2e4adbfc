"""The tail of a growing log file: drawn line by line, read in a thread, with search and bounded memory.

Only the lines in view are held; the file may have millions. New lines at the end are followed until the view
is moved away from it; a full view jumps by half, because moving every row for every line would cost most of
what the app sends. ANSI escapes in the file are shown as marks, never obeyed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.runs.log_file import LogFile
from tui.widgets.text import fit, visible

READ_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Page:
    """Lines `first` and on, of `count` in the file."""

    first: int
    count: int
    lines: tuple[str, ...]


class LogView(Widget, can_focus=True):
    """`open(path)` shows a file; `open(None)` shows nothing."""

    HELP = "The log as the run writes it. It follows the end until you move up; G follows again."
    COMPONENT_CLASSES: ClassVar[set[str]] = {"found", "muted"}
    DEFAULT_CSS = """
    LogView { width: 1fr; height: 1fr; min-height: 3; }
    LogView .found { background: $warning; color: $background; text-style: bold underline; }
    LogView .muted { color: $foreground 60%; text-style: italic; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "top", "top", show=False),
        Binding("G,end", "bottom", "bottom", show=False),
        Binding("slash", "search", "search log", show=False, key_display="/"),
        Binding("n", "next(1)", "next match", show=False),
        Binding("N", "next(-1)", "match before", show=False),
    ]

    class Read(Message):
        """The reader's answer to what is wanted."""

        def __init__(self, page: Page, *, found: int | None = None, missed: bool = False) -> None:
            super().__init__()
            self.page = page
            self.found = found
            self.missed = missed

    class SearchAsked(Message):
        """`/` was pressed; whoever holds an input line shows it and calls `search`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = Page(0, 0, ())
        self.following = True
        self.pattern = ""
        self.found: int | None = None
        self._first = 0
        self._reader: _Reader | None = None

    def open(self, path: Path | None) -> None:
        self.close()
        self.page, self.following, self._first, self.found = Page(0, 0, ()), True, 0, None
        if path is not None:
            self._reader = _Reader(self, path)
            self._want()
        self.refresh()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def on_unmount(self) -> None:
        self.close()

    def on_resize(self) -> None:
        self._want()

    # Moving

    def action_move(self, lines: int) -> None:
        self._go(self.page.first + lines)

    def action_page(self, pages: int) -> None:
        self._go(self.page.first + pages * max(self.size.height - 1, 1))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(self.page.count)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def _go(self, first: int) -> None:
        end = max(self.page.count - self.size.height, 0)
        self.following = first >= end
        self._first = min(max(first, 0), end)
        self._want()

    # Search

    def action_search(self) -> None:
        self.post_message(self.SearchAsked())

    def search(self, pattern: str) -> None:
        """Go to the newest line that has the pattern, from the lines in view upwards."""
        self.pattern = pattern
        self.found = None
        if pattern:
            self._want(search=(pattern, self.page.first + len(self.page.lines) - 1, -1))
        self.refresh()

    def action_next(self, step: int) -> None:
        if not self.pattern:
            self.action_search()
            return
        start = self.found + step if self.found is not None else self.page.first
        self._want(search=(self.pattern, start, step))

    # Reading and drawing

    def _want(self, search: tuple[str, int, int] | None = None) -> None:
        if self._reader is not None and self.size.height:
            self._reader.want(None if self.following else self._first, self.size.height, search)

    def on_log_view_read(self, message: Read) -> None:
        message.stop()
        if message.found is not None:
            self.found = message.found
            self._go(message.found - self.size.height // 2)
            self.refresh()
        elif message.missed:
            self.app.bell()
            self.notify(f"not found: {self.pattern}", severity="warning")
        else:
            self._show(message.page)

    def _show(self, page: Page) -> None:
        """Repaint the rows whose text differs, as far as it reaches."""
        before, self.page = self.page, page
        self._first = page.first
        for y in range(self.size.height):
            old = before.lines[y] if y < len(before.lines) else ""
            new = page.lines[y] if y < len(page.lines) else ""
            marks = (before.first + y == self.found) != (page.first + y == self.found)
            if old != new or marks or not before.lines:
                widest = self.size.width if marks or not before.lines else max(cell_len(old), cell_len(new))
                self.refresh(Region(0, y, min(widest, self.size.width), 1))

    def render_line(self, y: int) -> Strip:
        width, plain = self.size.width, self.rich_style
        if not self.page.lines:
            text = "the log is empty" if y == 0 and self._reader is not None else ""
            return Strip([Segment(fit(text, width), self.get_component_rich_style("muted"))])
        if y >= len(self.page.lines):
            return Strip.blank(width, plain)
        style = self.get_component_rich_style("found") if self.page.first + y == self.found else plain
        return Strip([Segment(fit(self.page.lines[y], width), style)])


class _Reader:
    """The thread that reads for one view. At most one answer waits to be shown."""

    def __init__(self, view: LogView, path: Path) -> None:
        self._view = view
        self._log = LogFile(path)
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._ended = False
        self._first: int | None = None
        self._followed = 0  # first line in view while the end is followed
        self._height = 0
        self._search: tuple[str, int, int] | None = None
        threading.Thread(target=self._run, daemon=True, name="log").start()

    def want(self, first: int | None, height: int, search: tuple[str, int, int] | None) -> None:
        with self._lock:
            if height != self._height:
                self._followed = 0
            self._first, self._height = first, height
            self._search = search or self._search
        self._awake.set()

    def stop(self) -> None:
        self._ended = True
        self._awake.set()

    def _run(self) -> None:
        while True:
            asked = self._awake.wait(READ_SECONDS)
            self._awake.clear()
            if self._ended:
                return
            grown = self._log.grow()
            if asked or grown:
                self._answer()

    def _answer(self) -> None:
        with self._lock:
            first, height, search = self._first, self._height, self._search
            self._search = None
        if search is not None:
            found = self._log.find(*search)
            self._view.post_message(LogView.Read(Page(0, 0, ()), found=found, missed=found is None))
            return
        start = self._start_at_end(height) if first is None else first
        lines = tuple(visible(line) for line in self._log.lines(start, height))
        self._view.post_message(LogView.Read(Page(start, self._log.count, lines)))

    def _start_at_end(self, height: int) -> int:
        """The first line to show so that the last one is in view, moved as seldom as possible."""
        count = self._log.count
        if not count - height <= self._followed < max(count, 1):
            self._followed = max(count - height // 2 - 1, 0) if self._followed else max(count - height, 0)
        return self._followed
