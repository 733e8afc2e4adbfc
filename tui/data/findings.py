"""The findings tab: every diagnosis of the set on the left, its cause, fix and rows on the right."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.data.types import Finding
from tui.data.lines import finding_lines
from tui.widgets.layers import layered
from tui.widgets.row_list import MARKS
from tui.widgets.text import fit
from tui.widgets.text_view import TextView


class FindingList(Widget, can_focus=True):
    """One line per finding."""

    HELP = "Enter shows only the rows of this finding. ✗ is an error, ! a warning, · a note."
    COMPONENT_CLASSES: ClassVar[set[str]] = {"cursor", "error", "warning", "note"}
    DEFAULT_CSS = """
    FindingList { width: 36; height: 1fr; }
    FindingList .cursor { background: $panel; text-style: bold; }
    FindingList:focus .cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    FindingList .error { color: $text-error; text-style: bold; }
    FindingList .warning { color: $text-warning; }
    FindingList .note { color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("g,home", "move(-1000)", "first", show=False),
        Binding("G,end", "move(1000)", "last", show=False),
        Binding("enter", "choose", "only its rows"),
    ]

    class Moved(Message):
        """Another finding is under the cursor."""

        def __init__(self, finding: Finding) -> None:
            super().__init__()
            self.finding = finding

    class Chosen(Moved):
        """Its rows are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: tuple[Finding, ...] = ()
        self.place = 0
        self._first = 0

    def show(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        self.action_move(0)

    @property
    def finding(self) -> Finding | None:
        return self.findings[self.place] if self.place < len(self.findings) else None

    def action_move(self, lines: int) -> None:
        self.place = min(max(self.place + lines, 0), max(len(self.findings) - 1, 0))
        height = max(self.size.height, 1)
        self._first = min(max(self._first, self.place - height + 1), self.place)
        self.refresh()
        if self.finding is not None:
            self.post_message(self.Moved(self.finding))

    def action_choose(self) -> None:
        if self.finding is not None:
            self.post_message(self.Chosen(self.finding))

    def on_click(self, event: events.Click) -> None:
        self.action_move(self._first + event.y - self.place)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def render_line(self, y: int) -> Strip:
        place, width = self._first + y, self.size.width
        if place >= len(self.findings):
            return Strip.blank(width, self.rich_style)
        finding = self.findings[place]
        count = f"{finding.count:,}" if finding.rows else "set"
        style = layered(self, finding.severity, *(("cursor",) if place == self.place else ()))
        text = f"{MARKS[finding.severity]} {fit(finding.code, width - 10)} {count:>6} "
        return Strip([Segment(fit(text, width), style)])


class FindingsView(Horizontal):
    """List and detail. `show` gives the findings, `say` a line where there are none."""

    DEFAULT_CSS = """
    FindingsView { height: 1fr; }
    FindingsView TextView { padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        yield FindingList()
        yield TextView(id="finding")

    def show(self, findings: tuple[Finding, ...]) -> None:
        self.query_one(FindingList).show(findings)
        if not findings:
            self.say("Nothing to report.")

    def say(self, text: str) -> None:
        self.query_one("#finding", TextView).show([(text, "muted")])

    def on_finding_list_moved(self, message: FindingList.Moved) -> None:
        self.query_one("#finding", TextView).show(finding_lines(message.finding))
