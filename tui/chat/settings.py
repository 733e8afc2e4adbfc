"""How the next token is picked: every value with the model's own beside it, changed in place."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from core.chat.sampling import FIELDS, Decoding, Sampling, changed, laid_over
from core.errors import UsageError
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (
    Column("", 19),
    Column("used", 9, right=True),
    Column("model's own", 11, right=True),
    Column("set here", 9, right=True),
    Column("", 0),
)
GREEDY = "greedy"


class SamplingScreen(ModalScreen[Sampling]):
    """Enter changes a value, d gives it back to the model, esc keeps what is set."""

    DEFAULT_CSS = """
    SamplingScreen { align: center middle; }
    SamplingScreen Vertical { width: 94%; max-width: 110; height: 16; border: round $border; background: $surface; }
    SamplingScreen Input { padding: 0 1; background: $panel; display: none; }
    SamplingScreen Input.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "close", show=False),
        Binding("d,delete,backspace", "give_back", "the model's own", show=False),
    ]

    def __init__(self, sampling: Sampling, own: Decoding | None) -> None:
        """`own` are the model's own defaults, None while it is not loaded."""
        super().__init__()
        self.sampling = sampling
        self.own = own

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="about")
            yield RowList(COLUMNS, empty="")
            yield Bar(id="meaning")
            yield Input(compact=True)
            yield Bar(id="told")

    def on_mount(self) -> None:
        self._show()
        self.query_one(RowList).focus()

    def _show(self) -> None:
        used = laid_over(self.sampling, self.own) if self.own is not None else None
        about = f" {used}, {used.max_tokens} tokens at most" if used else " the model is not loaded yet"
        self.query_one("#about", Bar).put(0, [Part(about, "name")])
        rows = [
            _row(GREEDY, _yes(used and used.greedy), _yes(self.own and self.own.greedy), "", "Enter switches")
        ]
        for field in FIELDS:
            here = getattr(self.sampling, field.name)
            rows.append(
                _row(
                    field.name,
                    _number(getattr(used, field.name, here)),
                    _number(getattr(self.own, field.name, None)),
                    _number(here),
                    field.meaning,
                )
            )
        self.query_one(RowList).show(rows)
        self._tell_keys()

    @on(RowList.Moved)
    def _tell_keys(self) -> None:
        row = self.query_one(RowList).row
        meaning = f"{row.cells[0]}: {row.cells[-1]}" if row is not None else ""
        self.query_one("#meaning", Bar).put(0, [Part(f" {meaning}")])
        self._tell("Enter changes · d gives back to the model · esc keeps and closes")

    def _tell(self, what: str, style: str = "muted") -> None:
        self.query_one("#told", Bar).put(0, [Part(f" {visible(what)}", style)])

    @on(RowList.Chosen)
    def _choose(self, message: RowList.Chosen) -> None:
        if message.row.key == GREEDY:
            used = laid_over(self.sampling, self.own) if self.own is not None else None
            is_greedy = used.greedy if used else self.sampling.temperature == 0
            self._set("temperature", "1" if is_greedy else "0")
            return
        field = self.query_one(Input)
        field.placeholder = f"{message.row.key}: empty gives it back to the model"
        here = getattr(self.sampling, message.row.key)
        field.value = "" if here is None else f"{here}"
        field.add_class("open")
        field.focus()

    @on(Input.Submitted)
    def _take(self, message: Input.Submitted) -> None:
        row = self.query_one(RowList).row
        if row is not None and self._set(row.key, message.value):
            self._leave_field()

    def _set(self, name: str, text: str) -> bool:
        try:
            self.sampling = changed(self.sampling, name, text)
        except UsageError as error:
            self._tell(str(error), "bad")
            return False
        self._show()
        return True

    def _leave_field(self) -> None:
        self.query_one(Input).remove_class("open")
        self.query_one(RowList).focus()

    def action_give_back(self) -> None:
        row = self.query_one(RowList).row
        if row is not None:
            self._set("temperature" if row.key == GREEDY else row.key, "")

    def action_close(self) -> None:
        if self.query_one(Input).has_class("open"):
            self._leave_field()
        else:
            self.dismiss(self.sampling)


def _row(name: str, used: str, own: str, here: str, meaning: str) -> Row:
    return Row(name, (name.replace("_", " "), used, own, here, meaning), marked="*" if here else "")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _yes(value: Any) -> str:
    return "" if value is None else "yes" if value else "no"
