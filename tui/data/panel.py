"""The Data panel: every row with its tokens and labels, the findings over the set, and its figures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Literal, get_args

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget

from core.recipe import LossOn, Packing, RecipeError
from tui.data.aside import Aside
from tui.data.ask import Ask, What
from tui.data.batches import BatchText, BatchView, Sequences
from tui.data.choice import SORTS
from tui.data.figures import FiguresView
from tui.data.findings import FindingList, FindingsView
from tui.data.pick_source import PickSource
from tui.data.row_list import NumberedRows
from tui.data.rows_tab import COMPARED, RowsTab
from tui.deck import Deck
from tui.messages import RecipeChanged
from tui.panel import Command, Panel
from tui.widgets.bars import Bar, Part
from tui.widgets.marks import SEVERITIES
from tui.widgets.text import cut, visible

Tab = Literal["rows", "findings", "figures", "batch"]
MODES: tuple[LossOn, ...] = ("assistant", "last", "completion", "all", "flags")
# Larger sets are checked when they are asked for: a check takes about half a minute per hundred thousand rows.
CHECKED_UNASKED_ROWS = 200_000
CHECK_AFTER_SECONDS = 0.7


class DataPanel(Panel):
    """Three tabs: rows, findings, figures. The check of the whole set runs beside them."""

    HELP = """
    What will be trained, row by row and over the whole set. The trainer gets exactly the rows shown here.

    Rows: tab goes from the list to the tokens. v shows the conversation beside the raw record. c lays another
    mode or template beside this one, C one that you name. / finds text and filters (tokens>500, trained<10%,
    error, a finding's code), : goes to a row number, s sorts, n and N go through the rows of a finding, J and K
    to the next row from anywhere. z hides the list. Escape goes one step back.

    m takes the next loss mode, T another template, L another max_length, e another source: the row is labelled
    again at once, the set behind it.

    f shows the findings over the set, w the figures, d a batch as the model gets it, r the rows.
    """
    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    DataPanel #findings, DataPanel #figures, DataPanel #batch { display: none; }
    DataPanel FiguresView { padding: 0 1; }
    .-wide DataPanel FindingList, .-widest DataPanel FindingList { width: 46; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "tab('findings')", "findings"),
        Binding("w", "tab('figures')", "figures"),
        Binding("d", "tab('batch')", "batch", show=False),
        Binding("r,escape", "tab('rows')", "rows"),
        Binding("m", "mode", "next loss mode", show=False),
        Binding("p", "packing", "next way of packing", show=False),
        Binding("T", "ask('template')", "template", show=False),
        Binding("L", "ask('max_length')", "max_length", show=False),
        Binding("e", "source", "data source", show=False),
        Binding("ctrl+r", "ask_check", "check the set", show=False),
        Binding("x", "stop_check", "stop the check", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.tab: Tab = "rows"
        self.checking = ""
        self.opened = False
        self.asked = False  # a person has asked for the check of this source
        self._check_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="tabs")
        yield RowsTab(self.deck, id="rows")
        yield FindingsView(id="findings")
        yield FiguresView(id="figures")
        yield BatchView(self.deck, id="batch")
        yield Ask()
        yield Aside(id="check")

    @property
    def _aside(self) -> Aside:
        """The process that checks the set."""
        return self.query_one("#check", Aside)

    @property
    def rows(self) -> RowsTab:
        return self.query_one(RowsTab)

    def on_mount(self) -> None:
        self._show_tab()

    def shown(self) -> None:
        if not self.opened:
            self.opened = True
            self.call_after_refresh(self.rows.open_source)  # its own parts are there by then

    def focus_main(self) -> None:
        mains: dict[Tab, type[Widget]] = {
            "rows": NumberedRows,
            "findings": FindingList,
            "figures": FiguresView,
            "batch": Sequences if self.query_one(Sequences).display else BatchText,
        }
        for main in self.query(mains[self.tab]):
            main.focus()

    def on_recipe_changed(self, message: RecipeChanged) -> None:
        before, after = message.before, message.after
        if before != after:
            self.query_one(BatchView).forget()
            if self.tab == "batch":
                self.query_one(BatchView).open()
        if (before.model, before.data.source, before.data.config, before.data.split, before.data.columns) != (
            after.model, after.data.source, after.data.config, after.data.split, after.data.columns,
        ):  # fmt: skip
            self._aside.stop()
            self.asked = False
            self.query_one(FindingsView).show(())
            self.rows.open_source()
        elif before.data != after.data or before.training.seed != after.training.seed:
            self._aside.stop()
            self.rows.relabel()
            self._check_soon(self.rows.listed.total)
        self._show_bar()

    # Tabs

    def action_tab(self, tab: Tab) -> None:
        self.tab = tab
        self._show_tab()
        self.focus_main()
        if tab == "batch":
            self.query_one(BatchView).open()
        elif tab != "rows" and self.rows.report is None and not self._aside.running:
            self.check()

    def why_not(self, action: str) -> str:
        if action == "stop_check" and not any(aside.running for aside in self.query("#check").results(Aside)):
            return "no check is running"
        return "the rows are shown" if action == "tab('rows')" and self.tab == "rows" else ""

    def _show_tab(self) -> None:
        for name in get_args(Tab):
            self.query_one(f"#{name}").display = name == self.tab
        self._show_bar()
        self.refresh_bindings()

    def on_rows_tab_changed(self, message: RowsTab.Changed) -> None:
        self._show_bar()

    def action_mode(self) -> None:
        current = self.deck.recipe.data.loss_on
        after = MODES[(MODES.index(current) + 1) % len(MODES)] if current in MODES else MODES[0]
        self._change({"data.loss_on": after})

    def action_packing(self) -> None:
        """The next way of packing; the batch and the figures follow."""
        ways = get_args(Packing)
        after = ways[(ways.index(self.deck.recipe.data.packing) + 1) % len(ways)]
        self._change({"data.packing": after})

    def _change(self, changes: dict[str, object]) -> None:
        try:
            self.change_recipe(changes)
        except RecipeError as error:
            self.refuse(str(error))

    # The field

    def action_ask(self, what: What) -> None:
        if what in ("find", "row", "compare"):
            self.action_tab("rows")
        data = self.deck.recipe.data
        values: dict[What, str] = {"template": data.template, "max_length": str(data.max_length)}
        self.query_one(Ask).open(what, values.get(what, ""))

    def on_ask_wanted(self, message: Ask.Wanted) -> None:
        self.action_ask(message.what)

    def on_ask_left(self) -> None:
        self.focus_main()

    def on_ask_answered(self, message: Ask.Answered) -> None:
        text = message.text
        number = int(digits) if (digits := text.replace(",", "").replace("_", "")).isdecimal() else -1
        if message.what == "find":
            self.rows.find(text)
        elif message.what == "row":
            self.rows.go_to(number)
        elif message.what == "batch":
            self.query_one(BatchView).go_to(number)
        elif message.what == "compare":
            self.rows.compare_with(text)
        elif message.what == "template" and text:
            self._change({"data.template": text})
        elif message.what == "max_length":
            self._change({"data.max_length": number})

    def action_source(self) -> None:
        self.app.push_screen(
            PickSource(self.deck.workspace.root, self.deck.recipe.data.source), self._take_source
        )

    def _take_source(self, source: str | None) -> None:
        if source:
            self._change({"data.source": source})

    # The whole set

    def on_rows_tab_opened(self, message: RowsTab.Opened) -> None:
        self._check_soon(message.total)

    def _check_soon(self, rows: int) -> None:
        """Check the set a moment after the last change, if it is here and small enough to be checked unasked."""
        if self._check_timer is not None:
            self._check_timer.stop()
        if not self.rows.whole:
            self.checking = f"the first {rows:,} rows, streamed; ctrl+r downloads and checks the set"
        elif rows <= CHECKED_UNASKED_ROWS or self.asked:
            self._check_timer = self.set_timer(CHECK_AFTER_SECONDS, self.check)
        else:
            self.checking = f"{rows:,} rows; ctrl+r checks them"

    def action_ask_check(self) -> None:
        self.asked = True
        self.check()

    def check(self) -> None:
        """Check every row, in the background."""
        self.checking = "checking …"
        self.query_one(FindingsView).say("checking every row …")
        self._aside.start(
            "core.data.glance:check_set", recipe=self.deck.recipe, workspace=self.deck.workspace.root
        )
        self._show_bar()

    def action_stop_check(self) -> None:
        if not self.refused("stop_check"):
            self._aside.stop()
            self.asked = False
            self.checking = "check stopped; ctrl+r checks again"
            self._show_bar()

    def on_aside_told(self, message: Aside.Told) -> None:
        told = message.progress
        self.checking = f"checking {told.done:,} of {told.total:,}, {told.eta_seconds:.0f} s left"
        self._show_bar()

    def on_aside_failed(self, message: Aside.Failed) -> None:
        self.checking = "the check failed"
        self.query_one(FindingsView).say(message.what)
        self._show_bar()

    def on_aside_done(self, message: Aside.Done) -> None:
        self.checking = ""
        self.query_one(FindingsView).show(message.value.findings)
        self.query_one(FiguresView).open(message.value, self.deck.recipe)
        self.rows.put_report(message.value)
        self._show_bar()

    def on_finding_list_chosen(self, message: FindingList.Chosen) -> None:
        finding = message.finding
        if not finding.rows:
            self.refuse("this one is about the whole set, not about single rows")
            return
        self.action_tab("rows")
        self.rows.list_only(np.asarray(finding.rows, dtype=np.int64), finding.code, finding)

    def on_sequences_chosen(self, message: Sequences.Chosen) -> None:
        self.action_tab("rows")
        self.rows.go_to(message.number)

    def on_figures_view_chosen(self, message: FiguresView.Chosen) -> None:
        self._change({"data.max_length": message.max_length})

    # The bar above

    def on_resize(self) -> None:
        self._show_bar()

    def _show_bar(self) -> None:
        parts: list[Part] = []
        titles = (
            ("rows", "r", "Rows"),
            ("findings", "f", f"Findings{self._counts()}"),
            ("figures", "w", "Figures"),
            ("batch", "d", "Batch"),
        )
        for tab, key, title in titles:
            click = f"app.press('{key}')"
            parts.append(Part(f" {key} ", "key", click))
            parts.append(Part(f"{title} ", "current" if tab == self.tab else "", click))
        room = max(self.size.width - sum(len(part.text) for part in parts) - 2, 0)
        told = "  ".join(filter(None, (self._listed(), self.checking or self._setting())))
        self.query_one("#tabs", Bar).put(0, [*parts, Part("  " + cut(visible(told), room), "muted")])

    def _counts(self) -> str:
        report = self.rows.report
        if report is None:
            return ""
        counts = {
            mark: sum(item.severity == name for item in report.findings) for name, mark in SEVERITIES.items()
        }
        return "".join(f" {mark}{count}" for mark, count in counts.items() if count)

    def _listed(self) -> str:
        """Which rows are listed, and where n and N are."""
        rows = self.rows
        order = rows.order if rows.order != SORTS[0] else ""
        return "  ".join(filter(None, (rows.place_in_finding or rows.choice, order)))

    def _setting(self) -> str:
        """Mode, template and length, and what is beside them."""
        rows, data = self.rows, self.deck.recipe.data
        mode = rows.row.loss_on if rows.row else data.loss_on
        beside = f" beside {rows.compared}" if rows.compared else ""
        template = f"  template {data.template}" if data.template != "model" else ""
        packing = f"  packing {data.packing}" if data.packing != "none" else ""
        return f"loss on {mode}{beside}{template}  max {data.max_length:,}{packing}"

    def commands(self) -> Iterable[Command]:
        for mode in ("auto", *MODES):
            yield (
                f"data: loss on {mode}",
                "which tokens are trained",
                partial(self._change, {"data.loss_on": mode}),
            )
        for name in ("model", "trl-training"):
            yield (
                f"data: template {name}",
                "the chat template",
                partial(self._change, {"data.template": name}),
            )
        yield "data: check the set", "every finding, again", self.action_ask_check
        for name in COMPARED:
            yield f"data: compare with {name}", "token by token", partial(self._compare, name)
        yield "data: source", "choose the rows to train on", self.action_source
        yield "data: template ...", "by file or model", partial(self.action_ask, "template")
        yield "data: max_length ...", "tokens per row at most", partial(self.action_ask, "max_length")
        yield "data: find rows", "by text, length, share or finding", partial(self.action_ask, "find")
        yield "data: go to row", "by its number", partial(self.action_ask, "row")

    def _compare(self, setting: str) -> None:
        self.action_tab("rows")
        self.rows.compare_with(setting)
