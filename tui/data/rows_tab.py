"""The rows tab: the list of rows, the row's tokens, its conversation and raw record, and what is under the cursor."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget

from core.data.check import CheckReport
from core.data.glance import Comparison, Found, Glances
from core.data.tokens import NO_TOKENS
from core.data.types import Finding
from core.data.view import ShownRow
from tui.data.ask import Ask
from tui.data.choice import SORTS, Wanted, finding_at, gravest, in_order, next_row, rows_that, wanted
from tui.data.lines import comparison_lines, inspector_lines
from tui.data.record_view import ConversationText, RecordView
from tui.data.row_list import NumberedRows
from tui.deck import Deck
from tui.messages import JobFailed, JobResult
from tui.widgets.bars import Bar, Part
from tui.widgets.compare_view import CompareView
from tui.widgets.text import cut, visible
from tui.widgets.text_view import Line, TextView
from tui.widgets.token_view import TokenView

View = Literal["tokens", "record"]
COMPARED = ("assistant", "last", "completion", "all", "flags", "trl-training")
_FIRST_PAGE = 40


class RowsTab(Vertical):
    """Asks the workshop for rows itself. `Changed` says that what the bar tells has changed, `Opened` how many rows there are."""

    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    RowsTab { height: 1fr; }
    RowsTab #both { height: 1fr; }
    RowsTab #views { width: 1fr; height: 1fr; padding: 0 0 0 1; }
    RowsTab #problem { display: none; }
    RowsTab.zoomed NumberedRows { display: none; }
    .-wide RowsTab RecordView, .-widest RowsTab RecordView { height: 45%; border-top: solid $panel; }
    .-wide RowsTab RecordView.whole, .-widest RowsTab RecordView.whole { height: 1fr; border: none; }
    .-wide RowsTab NumberedRows, .-widest RowsTab NumberedRows { width: 46; }
    .-widest RowsTab NumberedRows { width: 70; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "next view"),
        Binding("c", "compare", "compare"),
        Binding("C", "ask('compare')", "compare with ...", show=False),
        Binding("slash", "ask('find')", "find, filter", show=False, key_display="/"),
        Binding("colon", "ask('row')", "go to row", show=False, key_display=":"),
        Binding("s", "sort", "sort", show=False),
        Binding("n", "next_finding(1)", "next of this finding", show=False),
        Binding("N", "next_finding(-1)", "the one before", show=False),
        Binding("J", "row(1)", "next row", show=False),
        Binding("K", "row(-1)", "row before", show=False),
        Binding("z", "zoom", "hide or show the list", show=False),
        Binding("escape", "back", "one step back", show=False),
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
        self.problem = ""  # why no row can be shown
        self.compared = ""
        self.order = SORTS[0]
        self.choice = ""  # why only some rows are listed
        self._chosen: np.ndarray | None = None  # those rows, by number; None: all
        self._wanted = Wanted("", "", ())
        self._row_job = self._glance_job = self._find_job = self._compare_job = 0
        self._wanted_row: int | None = None
        self._wanted_glances: list[int] = []

    def compose(self) -> ComposeResult:
        with Horizontal(id="both"):
            yield NumberedRows()
            with Vertical(id="views"):
                yield TokenView()
                yield CompareView()
                yield TextView(id="problem")
                yield RecordView()
        yield Bar(lines=4, id="inspector")

    @property
    def listed(self) -> NumberedRows:
        return self.query_one(NumberedRows)

    # The source

    def open_source(self) -> None:
        """Look at the recipe's source from its first row on."""
        self.row = self.report = self.finding = None
        self.problem = ""
        self.compared, self.choice, self.order, self._chosen = "", "", SORTS[0], None
        self.listed.mark({})
        self.listed.set_order(None)
        self.listed.go(0)
        self.listed.open(0)
        self.query_one(TokenView).show(NO_TOKENS, 0, frozenset(), empty="reading the first row …")
        self._show_view()
        self._want_row(0, again=True)
        self._want_glances(list(range(_FIRST_PAGE)))

    def relabel(self) -> None:
        """The same rows under another mode, template or length: the row in view first."""
        self._want_row(self.listed.number or 0, again=True)
        self.listed.forget()

    def put_report(self, report: CheckReport) -> None:
        """What the check found, marked on the rows."""
        self.report = report
        code = self.finding.code if self.finding else ""
        self.finding = next((item for item in report.findings if item.code == code), None)
        self.listed.mark(gravest(report))
        if self.order != SORTS[0]:
            self._list()
        self._inspect()

    # Which rows are listed

    def list_only(self, numbers: np.ndarray | None, why: str = "", finding: Finding | None = None) -> None:
        """Only these rows, or all of them."""
        self._chosen, self.choice = numbers, why
        self.finding = finding or self.finding
        self._list()

    def _list(self) -> None:
        self.listed.set_order(in_order(self._chosen, self.order, self.report))
        self.post_message(self.Changed())

    def find(self, typed: str) -> None:
        """List the rows that meet a filter; nothing typed lists all."""
        report = self.report
        self._wanted = wanted(
            typed, frozenset(item.code for item in report.findings) if report else frozenset()
        )
        if not typed:
            self.list_only(None)
        elif self._wanted.terms and report is None:
            self._refuse("tokens and findings can be filtered once the set has been checked")
        elif self._wanted.text:
            self._find_job = self._submit("find", pattern=self._wanted.text)
        elif report is not None:
            self._show_found(rows_that(self._wanted.terms, report))

    def _show_found(self, rows: np.ndarray) -> None:
        if self._wanted.text and self._wanted.terms and self.report is not None:
            rows = np.intersect1d(rows, rows_that(self._wanted.terms, self.report))
        if len(rows):
            self.list_only(rows, f'"{self._wanted.typed}" {len(rows):,} rows')
        else:
            self._refuse(f'no row has "{self._wanted.typed}"')

    def action_sort(self) -> None:
        if self.report is None:
            self._refuse("rows can be sorted once the set has been checked")
            return
        self.order = SORTS[(SORTS.index(self.order) + 1) % len(SORTS)]
        self._list()
        self.listed.action_edge(0)

    def action_row(self, step: int) -> None:
        self.listed.action_move(step)

    def go_to(self, number: int) -> None:
        """Put the cursor on a row, listing all rows again if it is not among those listed."""
        if not 0 <= number < self.listed.total:
            self._refuse(f"rows go from 0 to {self.listed.total - 1:,}")
        elif not self.listed.go_to(number):
            self.list_only(None)
            self.listed.go_to(number)

    def action_next_finding(self, step: int) -> None:
        """The next row, in the whole set, that has the chosen finding; else that of the row in view; else any."""
        report, here = self.report, self.listed.number or 0
        if report is None:
            self._refuse("the set has not been checked yet")
            return
        self.finding = self.finding or finding_at(report, here)
        rows = self.finding.rows if self.finding else tuple(gravest(report))
        row = next_row(rows, here, step)
        if row is None:
            where = "further" if step > 0 else "earlier"
            self._refuse(f"no {where} row has {self.finding.code if self.finding else 'a finding'}")
            return
        self.finding = self.finding or finding_at(report, row)
        self.go_to(row)
        self.post_message(self.Changed())

    @property
    def place_in_finding(self) -> str:
        """`answer-cut 3 of 12`, where the row in view has the finding that n and N go through."""
        number, finding = self.listed.number, self.finding
        if finding is None or number is None or number not in finding.rows:
            return ""
        return f"{finding.code} {sorted(finding.rows).index(number) + 1:,} of {finding.count:,}"

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
            self._show_found(value.rows)
        elif message.job == self._compare_job and isinstance(value, Comparison) and self.compared:
            self.query_one(CompareView).put(value.left, value.right, value.pairs)
            self._show_view()
        self.post_message(self.Changed())

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._row_job:
            self._row_job = 0
            self.row = None
            self._show_problem(message.what)
        elif message.job == self._glance_job:
            self._glance_job = 0
        elif message.job == self._find_job:
            self._refuse(message.what)
        elif message.job == self._compare_job:
            self.compared = ""
            self._show_view()
            self._refuse(message.what)
        self.post_message(self.Changed())

    def _show_row(self, row: ShownRow) -> None:
        self.row, self.problem = row, ""
        empty = f"not trained: {row.problem}" if row.problem else "the row has no tokens"
        self.query_one(TokenView).show(row.tokens, row.kept, row.special_ids, empty=empty)
        self.query_one(RecordView).show(row)
        if self.compared:
            self._ask_comparison()
        self._show_view()

    def _show_glances(self, glances: Glances) -> None:
        self.whole = glances.whole
        if glances.total != self.listed.total:
            self.listed.open(glances.total)
            self.post_message(self.Opened(glances.total))
        self.listed.put(glances.rows)
        self.listed.scrolled()  # a tall screen shows more than the first page
        if self._wanted_glances:
            self._want_glances(self._wanted_glances)

    # Views

    def action_view(self) -> None:
        if self.row is None:
            self._refuse("no row is shown")
            return
        if self.compared:
            self.compared = ""
        else:
            self.view = "record" if self.view == "tokens" else "tokens"
        self._show_view()
        self.post_message(self.Changed())

    def action_zoom(self) -> None:
        """The whole width for what is right of the list, and back."""
        self.toggle_class("zoomed")
        if self.has_class("zoomed") and self.listed.has_focus:
            self.main_view.focus()

    def action_back(self) -> None:
        """One step back: the comparison, the width, the choice of rows, their order."""
        if self.compared:
            self.compared = ""
            self._show_view()
        elif self.has_class("zoomed"):
            self.remove_class("zoomed")
        elif self.choice:
            self.list_only(None)
        elif self.order != SORTS[0]:
            self.order = SORTS[0]
            self._list()
        self.listed.focus()
        self.post_message(self.Changed())

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_view)

    @property
    def main_view(self) -> Widget:
        """What is right of the list now."""
        if self.query_one(CompareView).display:
            return self.query_one(CompareView)
        return self.query_one(TokenView if self.view == "tokens" else ConversationText)

    def _show_view(self) -> None:
        """The tokens, with conversation and record below them where there is room; or one of these alone."""
        if self.problem:
            return
        wide = self.screen.has_class("-wide") or self.screen.has_class("-widest")
        focused = self.screen.focused
        compare, record = self.query_one(CompareView), self.query_one(RecordView)
        comparing = bool(self.compared) and compare.left is not None and self.row is not None
        self.query_one("#problem").display = False
        self.query_one(TokenView).display = not comparing and (self.view == "tokens" or self.row is None)
        compare.display = comparing
        record.display = self.row is not None and not comparing and (self.view == "record" or wide)
        record.set_class(self.view == "record", "whole")
        self._keep_focus(focused)
        self._inspect()

    def _keep_focus(self, before: Widget | None) -> None:
        """Keys go on to work when the view that had the focus gives way to another."""
        if before is not None and self in before.ancestors and not _is_displayed(before):
            self.main_view.focus()

    def _show_problem(self, what: str) -> None:
        """Why there are no rows, in place of all views."""
        self.problem = what = what.replace(str(Path.home()), "~")
        for view in (TokenView, CompareView, RecordView):
            self.query_one(view).display = False
        first, *rest = what.split("\n")
        lines: list[Line] = [(first, "bad"), *((line, "") for line in rest)]
        problem = self.query_one("#problem", TextView)
        problem.display = True
        problem.show([*lines, ("", ""), ("e chooses a data source, T a template, 1 a model", "muted")])
        self._inspect()

    # What is under the cursor

    def on_token_view_moved(self, message: TokenView.Moved) -> None:
        self._inspect()

    def on_compare_view_moved(self, message: CompareView.Moved) -> None:
        self._inspect()

    def _inspect(self) -> None:
        tokens, compare = self.query_one(TokenView), self.query_one(CompareView)
        if self.compared and compare.display:
            lines = comparison_lines(compare)
        else:
            lines = inspector_lines(self.row, tokens.cursor if len(tokens.tokens) else None, self.report)
        bar, styles = self.query_one("#inspector", Bar), ("name", "", "", "muted")
        for number, (line, style) in enumerate(zip(lines, styles, strict=True)):
            bar.put(number, [Part(" " + cut(visible(line), max(self.size.width - 2, 0)), style)])

    # Side by side

    def action_compare(self) -> None:
        """The next other mode or template beside this one."""
        if self.row is None:
            self._refuse("no row is shown")
            return
        others = [name for name in COMPARED if name not in (self.row.loss_on, self.deck.recipe.data.template)]
        place = others.index(self.compared) + 1 if self.compared in others else 0
        self.compare_with(others[place] if place < len(others) else "")

    def compare_with(self, setting: str) -> None:
        """Lay this mode or template beside the recipe's own; nothing ends the comparison."""
        self.compared = setting
        if setting:
            self._ask_comparison()
        else:
            self._show_view()
        self.post_message(self.Changed())

    def _ask_comparison(self) -> None:
        if self.row is not None:
            self._compare_job = self._submit("comparison", number=self.row.row, setting=self.compared)

    def action_ask(self, what: Literal["find", "row", "compare"]) -> None:
        self.post_message(Ask.Wanted(what))

    def _refuse(self, why: str) -> None:
        self.notify(why, severity="warning", markup=False)


def _is_displayed(widget: Widget) -> bool:
    """Whether it and all that hold it are displayed."""
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
