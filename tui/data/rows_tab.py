"""The rows tab: the list of rows, the row's tokens or its conversation, and what is under the cursor."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from core.data.check import CheckReport
from core.data.compare import compare_rows
from core.data.glance import Found, Glances
from core.data.types import Finding
from core.data.view import ShownRow
from tui.commands.shown import comparison_lines
from tui.data.lines import conversation_lines, inspector_lines, raw_lines
from tui.data.row_list import NumberedRows
from tui.deck import Deck
from tui.messages import JobFailed, JobResult
from tui.widgets.bars import Bar, Part
from tui.widgets.text import cut, visible
from tui.widgets.text_view import Line, TextView
from tui.widgets.token_view import TokenView

View = Literal["tokens", "conversation", "raw", "compare"]
VIEWS: tuple[View, ...] = ("tokens", "conversation", "raw")
COMPARED = ("assistant", "last", "completion", "all", "flags", "trl-training")
SORTS = ("number", "longest first", "least trained first")
_FIRST_PAGE = 40


class RowsTab(Vertical):
    """Asks the workshop for rows itself. `Changed` says that what the bar tells has changed, `Opened` how many rows there are."""

    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    RowsTab { height: 1fr; }
    RowsTab #both { height: 1fr; }
    RowsTab #views { width: 1fr; height: 1fr; padding: 0 0 0 1; }
    RowsTab #ask { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    RowsTab #ask.open { display: block; }
    .-wide RowsTab #text, .-widest RowsTab #text { max-height: 45%; border-top: solid $panel; }
    .-wide RowsTab #views.whole #text, .-widest RowsTab #views.whole #text { max-height: 100%; border: none; }
    .-wide RowsTab NumberedRows, .-widest RowsTab NumberedRows { width: 46; }
    .-widest RowsTab NumberedRows { width: 70; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "next view"),
        Binding("c", "compare", "compare"),
        Binding("slash", "ask('find')", "find", show=False, key_display="/"),
        Binding("colon", "ask('row')", "go to row", show=False, key_display=":"),
        Binding("s", "sort", "sort", show=False),
        Binding("n", "next_finding(1)", "next of this finding", show=False),
        Binding("N", "next_finding(-1)", "the one before", show=False),
        Binding("escape", "back", "all rows", show=False),
    ]

    class Changed(Message):
        """The bar above should be drawn again."""

    class Opened(Message):
        """The source is open and has so many rows."""

        def __init__(self, total: int) -> None:
            super().__init__()
            self.total = total

    def __init__(self, deck: Deck, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.deck = deck
        self.view: View = "tokens"
        self.row: ShownRow | None = None
        self.whole = True  # False: the first rows of a Hub data set that is not on this machine
        self.report: CheckReport | None = None
        self.finding: Finding | None = None
        self.compared = ""
        self.order = SORTS[0]
        self.choice = ""  # why only some rows are listed
        self._asked: Literal["find", "row"] = "find"
        self._row_job = self._glance_job = self._find_job = self._compare_job = 0
        self._wanted_row: int | None = None
        self._wanted_glances: list[int] = []

    def compose(self) -> ComposeResult:
        with Horizontal(id="both"):
            yield NumberedRows()
            with Vertical(id="views"):
                yield TokenView()
                yield TextView(id="text")
        yield Input(id="ask", disabled=True)
        yield Bar(lines=4, id="inspector")

    # The source

    def open_source(self) -> None:
        """Look at the recipe's source from its first row on."""
        self.report, self.finding, self.choice, self.order = None, None, "", SORTS[0]
        rows = self.query_one(NumberedRows)
        rows.mark({})
        rows.set_order(None)
        rows.open(0)
        self.query_one(TokenView).show((), 0, frozenset(), empty="reading the first row …")
        self._show_view()
        self._want_row(0)
        self._want_glances(list(range(_FIRST_PAGE)))

    def relabel(self) -> None:
        """The same rows under another mode, template or length: the row in view first."""
        rows = self.query_one(NumberedRows)
        self._want_row(rows.number or 0, again=True)
        rows.forget()

    def put_report(self, report: CheckReport) -> None:
        """What the check found, marked on the rows."""
        self.report, self.finding = report, None
        self.query_one(NumberedRows).mark(_gravest(report))
        self._inspect()

    def list_only(self, numbers: np.ndarray, why: str, finding: Finding | None = None) -> None:
        """Only these rows, in this order."""
        self.choice, self.order = why, SORTS[0]
        self.finding = finding or self.finding
        self.query_one(NumberedRows).set_order(numbers)
        self.post_message(self.Changed())

    # Rows from the workshop

    def on_numbered_rows_moved(self, message: NumberedRows.Moved) -> None:
        self._want_row(message.number)

    def on_numbered_rows_wanted(self, message: NumberedRows.Wanted) -> None:
        self._want_glances(message.numbers)

    def _want_row(self, number: int, *, again: bool = False) -> None:
        """Ask for a row; while one is on its way, only the newest wish is kept."""
        self._wanted_row = number
        if not self._row_job or again:
            self._row_job = self._submit("row", number=number)

    def _want_glances(self, numbers: list[int]) -> None:
        self._wanted_glances = numbers
        if not self._glance_job:
            self._wanted_glances = []
            self._glance_job = self._submit("glances", numbers=numbers)

    def _submit(self, function: str, **arguments: object) -> int:
        return self.deck.jobs.submit(
            self,
            f"core.data.glance:{function}",
            recipe=self.deck.recipe,
            workspace=self.deck.workspace.root,
            **arguments,
        )

    def on_job_result(self, message: JobResult) -> None:
        value = message.value
        if message.job == self._row_job and isinstance(value, ShownRow):
            self._row_job = 0
            self._show_row(value)
            if self._wanted_row is not None and self._wanted_row != value.row:
                self._row_job = self._submit("row", number=self._wanted_row)
        elif message.job == self._glance_job and isinstance(value, Glances):
            self._glance_job = 0
            self._show_glances(value)
        elif message.job == self._find_job and isinstance(value, Found):
            self._show_found(value)
        elif message.job == self._compare_job and isinstance(value, ShownRow):
            self._show_comparison(value)
        self.post_message(self.Changed())

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._row_job:
            self._row_job = 0
            self.row = None
            first, *rest = message.what.split("\n")
            self._show_text([(first, "bad"), *((line, "") for line in rest)])
        elif message.job == self._glance_job:
            self._glance_job = 0
        elif message.job in (self._find_job, self._compare_job):
            self._refuse(message.what)

    def _show_row(self, row: ShownRow) -> None:
        self.row = row
        empty = f"not trained: {row.problem}" if row.problem else "the row has no tokens"
        self.query_one(TokenView).show(row.tokens, row.kept, row.special_ids, empty=empty)
        self._show_view()
        self._inspect()
        if self.compared:
            self._ask_comparison()

    def _show_glances(self, glances: Glances) -> None:
        rows = self.query_one(NumberedRows)
        self.whole = glances.whole
        if glances.total != rows.total:
            rows.open(glances.total)
            self.post_message(self.Opened(glances.total))
        rows.put(glances.rows)
        if self._wanted_glances:
            self._want_glances(self._wanted_glances)

    # What is under the cursor

    def on_token_view_moved(self, message: TokenView.Moved) -> None:
        self._inspect()

    def _inspect(self) -> None:
        tokens, bar = self.query_one(TokenView), self.query_one("#inspector", Bar)
        lines = inspector_lines(self.row, tokens.cursor if tokens.tokens else None, self.report)
        styles = ("name", "", "", "muted")
        for number, (line, style) in enumerate(zip(lines, styles, strict=True)):
            bar.put(number, [Part(" " + cut(visible(line), max(self.size.width - 2, 0)), style)])

    # Views

    def action_view(self) -> None:
        self.compared = ""
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)] if self.view in VIEWS else "tokens"
        self._show_view()
        self.post_message(self.Changed())

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_view)

    def _show_view(self) -> None:
        """The tokens, with the conversation below them where there is room; or one text in their place."""
        if self.row is None:
            self.query_one(TokenView).display = True
            self.query_one("#text").display = False
        elif self.view == "tokens":
            wide = self.screen.has_class("-wide") or self.screen.has_class("-widest")
            self._show_text(conversation_lines(self.row) if wide else [])
            self.query_one(TokenView).display = True
            self.query_one("#text").display = wide
        elif self.view != "compare":
            self._show_text(
                conversation_lines(self.row) if self.view == "conversation" else raw_lines(self.row)
            )

    def _show_text(self, lines: list[Line]) -> None:
        self.query_one(TokenView).display = False
        self.query_one("#views").set_class(self.view != "tokens", "whole")
        text = self.query_one("#text", TextView)
        text.display = True
        text.show(lines)

    def action_back(self) -> None:
        """One step back: the field, the comparison, the choice of rows."""
        if self.query_one("#ask", Input).has_class("open"):
            self._close_ask()
        elif self.compared:
            self.compared, self.view = "", "tokens"
            self._show_view()
        elif self.choice or self.order != SORTS[0]:
            self._list_all()
        self.query_one(NumberedRows).focus()
        self.post_message(self.Changed())

    def _list_all(self) -> None:
        self.choice, self.order = "", SORTS[0]
        self.query_one(NumberedRows).set_order(None)

    # Side by side

    def action_compare(self) -> None:
        """The next other mode or template beside this one."""
        if self.row is None:
            self._refuse("no row is shown")
            return
        others = [name for name in COMPARED if name not in (self.row.loss_on, self.deck.recipe.data.template)]
        place = others.index(self.compared) + 1 if self.compared in others else 0
        self.compared = others[place] if place < len(others) else ""
        self.view = "compare" if self.compared else "tokens"
        if self.compared:
            self._ask_comparison()
        else:
            self._show_view()
        self.post_message(self.Changed())

    def _ask_comparison(self) -> None:
        if self.row is not None:
            self._compare_job = self._submit("row_under", number=self.row.row, setting=self.compared)

    def _show_comparison(self, other: ShownRow) -> None:
        if self.row is not None and self.compared:
            lines = comparison_lines(compare_rows(self.row, other), self.row, other)
            self._show_text([(line, "warn" if line.startswith("*") else "") for line in lines])

    # Finding rows

    def action_ask(self, what: Literal["find", "row"]) -> None:
        self._asked = what
        ask = self.query_one("#ask", Input)
        ask.placeholder = "rows that hold this text" if what == "find" else "row number"
        ask.value = ""
        ask.disabled = False
        ask.add_class("open")
        ask.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        self._close_ask()
        if self._asked == "find" and text:
            self._find_job = self._submit("find", pattern=text)
        elif self._asked == "row":
            number = text.replace(",", "")
            self.go_to(int(number) if number.isdecimal() else -1)

    def _close_ask(self) -> None:
        ask = self.query_one("#ask", Input)
        ask.remove_class("open")
        ask.disabled = True
        self.query_one(NumberedRows).focus()

    def go_to(self, number: int) -> None:
        """Put the cursor on a row, listing all rows again if it is not among those listed."""
        rows = self.query_one(NumberedRows)
        if not 0 <= number < rows.total:
            self._refuse(f"rows go from 0 to {rows.total - 1:,}")
        elif not rows.go_to(number):
            self._list_all()
            rows.go_to(number)

    def _show_found(self, found: Found) -> None:
        if len(found.rows):
            self.list_only(found.rows, f'"{found.pattern}" in {len(found.rows):,} rows')
        else:
            self._refuse(f'no row holds "{found.pattern}"')

    def action_sort(self) -> None:
        if self.report is None:
            self._refuse("rows can be sorted once the set has been checked")
            return
        after = SORTS[(SORTS.index(self.order) + 1) % len(SORTS)]
        lengths = self.report.lengths
        orders = {
            SORTS[1]: lambda: lengths.rows[np.argsort(-lengths.tokens, kind="stable")],
            SORTS[2]: lambda: lengths.rows[
                np.argsort(lengths.trained / np.maximum(lengths.tokens, 1), kind="stable")
            ],
        }
        self.choice, self.order = "", after
        self.query_one(NumberedRows).set_order(orders[after]() if after in orders else None)
        self.post_message(self.Changed())

    def action_next_finding(self, step: int) -> None:
        if self.report is None:
            self._refuse("the set has not been checked yet")
            return
        rows = self.finding.rows if self.finding else tuple(sorted(_gravest(self.report)))
        here = self.query_one(NumberedRows).number or 0
        wanted = (
            [row for row in rows if row > here] if step > 0 else [row for row in reversed(rows) if row < here]
        )
        if wanted:
            self.go_to(wanted[0])
        else:
            self._refuse("no further row has " + (self.finding.code if self.finding else "a finding"))

    def _refuse(self, why: str) -> None:
        self.notify(why, severity="warning", markup=False)


def _gravest(report: CheckReport) -> dict[int, str]:
    """For every row with a finding, the worst severity."""
    found: dict[int, str] = {}
    for finding in report.findings:  # errors come first
        for row in finding.rows:
            found.setdefault(row, finding.severity)
    return found
