"""Runs side by side: how they stand, and the keys in which their recipes differ."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from core.runs.compare import Comparison
from core.runs.cost import cost
from tui.runs.lines import state_word, with_tags
from tui.widgets.numbers import count, dollars, duration, figure, gib
from tui.widgets.text import fit, visible
from tui.widgets.text_view import TextView

LETTERS = "abcd"
KEY_CELLS = 24

Line = tuple[str, str]


class CompareScreen(ModalScreen[None]):
    """One column per run; any of esc, q and d closes it."""

    DEFAULT_CSS = """
    CompareScreen { align: center middle; }
    CompareScreen Vertical {
        width: 96%; max-width: 150; height: 90%; border: round $border; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,d", "dismiss", "close", show=False)]

    def __init__(self, comparison: Comparison, prices: tuple[float | None, ...]) -> None:
        """`prices` are dollars an hour, one per run."""
        super().__init__()
        self.comparison = comparison
        self.prices = prices

    def compose(self) -> ComposeResult:
        with Vertical():
            yield TextView(id="compared")

    def on_mount(self) -> None:
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        view = self.query_one(TextView)
        view.show(comparison_lines(self.comparison, self.prices, view.size.width), keep_place=True)


def comparison_lines(comparison: Comparison, prices: tuple[float | None, ...], width: int) -> list[Line]:
    """The whole page, for a view that wide."""
    states = comparison.states
    cells = max((width - KEY_CELLS) // len(states), 8)

    def row(key: str, values: list[str]) -> str:
        return fit(key, KEY_CELLS) + "".join(fit(visible(value), cells - 1) + " " for value in values)

    lines: list[Line] = [
        (row("", [f"{letter}  {s.id}" for letter, s in zip(LETTERS, states, strict=False)]), "heading")
    ]
    figures = {
        "state": [state_word(state) for state in states],
        "step": [f"{state.step}/{state.steps or '–'}" for state in states],
        "loss": [figure(state.loss) for state in states],
        "eval loss": [figure(state.eval_loss) for state in states],
        "best eval loss": [figure(state.best_eval_loss) for state in states],
        "tokens/s": [count(state.tokens_per_second) for state in states],
        "peak": [gib(state.peak_allocated_bytes) for state in states],
        "planned peak": [gib(state.planned_peak_bytes) for state in states],
        "time": [duration(state.seconds) for state in states],
        "cost": [dollars(cost(price, state.seconds)) for price, state in zip(prices, states, strict=True)],
        "note": [with_tags(state) for state in states],
    }
    lines += [(row(name, values), "") for name, values in figures.items()]
    lines += [("", ""), (row("recipe key", []), "heading")]
    lines += [
        (row(key, [str(value) for value in values]), "warn") for key, values in comparison.differences.items()
    ]
    return lines if comparison.differences else [*lines, ("the recipes are equal", "muted")]
