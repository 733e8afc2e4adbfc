"""What exactly was asked and how sure each token of the answer was."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from core.chat.messages import Inspection, TokenChance
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (
    Column("", 3),
    Column("id", 8, right=True),
    Column("token", 18),
    Column("chance", 7, right=True),
    Column("what else it weighed", 0),
)


class InspectScreen(ModalScreen[None]):
    """Prompt tokens, then the answer's tokens with their probability; esc or i closes it."""

    DEFAULT_CSS = """
    InspectScreen { align: center middle; }
    InspectScreen Vertical { width: 96%; height: 92%; border: round $border; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,i,q", "dismiss", "close", show=False),
    ]

    def __init__(self, who: str, found: Inspection) -> None:
        super().__init__()
        self.who = who
        self.found = found

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="about")
            yield RowList(COLUMNS, empty="nothing was generated")
            yield Bar(id="legend")

    def on_mount(self) -> None:
        prompt, answer = self.found.prompt, self.found.answer
        sure = sum(1 for token in answer if token.rank == 0)
        about = (
            f" {self.who}: {len(prompt)} prompt tokens, {len(answer)} answered, {sure} of them the likeliest"
        )
        self.query_one("#about", Bar).put(0, [Part(about, "name")])
        self.query_one("#legend", Bar).put(
            0,
            [
                Part(
                    " › asked  · the likeliest  ▲ likely  !! below 5 %  esc closes",
                    "muted",
                )
            ],
        )
        rows = [_asked(number, *token) for number, token in enumerate(prompt)]
        rows += [_answered(number, token) for number, token in enumerate(answer)]
        table = self.query_one(RowList)
        table.show(rows)
        table.action_move(len(prompt))


def surprise(token: TokenChance) -> tuple[str, str]:
    """Mark and style of a token: by rank and probability, never by hue alone."""
    if token.rank == 0:
        return "·", ""
    return ("▲", "muted") if token.probability >= 0.05 else ("!!", "bad")


def _asked(number: int, id: int, text: str) -> Row:
    return Row(f"p{number}", ("›", str(id), visible(text), "", ""), "muted")


def _answered(number: int, token: TokenChance) -> Row:
    mark, style = surprise(token)
    others = "  ".join(
        f"{visible(text)} {chance:.0%}" for id, text, chance in token.alternatives if id != token.id
    )
    return Row(
        f"a{number}", (mark, str(token.id), visible(token.text), f"{token.probability:.1%}", others), style
    )
