"""The findings tab: every diagnosis of the set on the left, its cause, fix and rows on the right."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message

from core.data.types import Finding
from tui.data.lines import finding_lines
from tui.widgets.line_list import POINTER, LineList, Pieces
from tui.widgets.marks import SEVERITIES
from tui.widgets.text import fit
from tui.widgets.text_view import TextView


class FindingList(LineList):
    """One line per finding."""

    TITLE = "The findings"
    HELP = "Enter shows only the rows of this finding. ✗ is an error, ! a warning, · a note."
    COMPONENT_CLASSES: ClassVar[set[str]] = {"error", "warning", "note"}
    DEFAULT_CSS = """
    FindingList { width: 36; }
    FindingList .error { color: $text-error; text-style: bold; }
    FindingList .warning { color: $text-warning; }
    FindingList .note { color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "only its rows")]

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

    def show(self, findings: tuple[Finding, ...]) -> None:
        """Show these; the cursor stays on the finding with the same code."""
        before = self.finding
        self.findings = findings
        codes = [finding.code for finding in findings]
        self.cursor = codes.index(before.code) if before is not None and before.code in codes else 0
        self.redraw()
        self.moved()

    @property
    def count(self) -> int:
        return len(self.findings)

    @property
    def finding(self) -> Finding | None:
        return self.findings[self.cursor] if self.cursor < len(self.findings) else None

    def moved(self) -> None:
        if self.finding is not None:
            self.post_message(self.Moved(self.finding))

    def chosen(self) -> None:
        self.post_message(self.Chosen(self.findings[self.cursor]))

    def pieces(self, place: int, pointed: bool) -> Pieces:
        finding, width = self.findings[place], self.size.width
        count = f"{finding.count:,}" if finding.rows else "set"
        start = f"{POINTER if pointed else ' '}{SEVERITIES[finding.severity]}"
        text = f"{start} {fit(finding.code, width - 11)} {count:>6} "
        return ((fit(text, width), finding.severity + (" cursor" if pointed else "")),)


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
