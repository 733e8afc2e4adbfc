"""After a lack of memory: what would have made this very run fit; enter starts it again with that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from core.memory.fit import Lever
from tui.widgets.line_list import POINTER, LineList, Pieces
from tui.widgets.numbers import gib
from tui.widgets.text import fit, visible

NUMBER_CELLS = 10
VERDICT_CELLS = 14


class Levers(LineList):
    """`offer(levers)`; the first that fits is pointed at."""

    HELP = """
    Each line is one change of the recipe, with what it saves, the peak it leads to, whether that fits what is
    free now, and its price. Enter starts a new run with it: same rows, same effective batch where the line
    does not say otherwise. Nothing is ever changed without being asked for.
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "start with it")]

    class Chosen(Message):
        """Start the run again with this."""

        def __init__(self, lever: Lever) -> None:
            super().__init__()
            self.lever = lever

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(empty="no change of the recipe is known that would save memory here", id=id)
        self.levers: tuple[Lever, ...] = ()

    def offer(self, levers: Sequence[Lever]) -> None:
        self.levers = tuple(levers)
        fitting = (place for place, lever in enumerate(self.levers) if lever.verdict == "fits")
        self.cursor = next(fitting, 0)
        self.redraw()

    @property
    def count(self) -> int:
        return len(self.levers)

    def heading(self) -> str:
        return self._line_of("  start it again with", "saves", "peak", "verdict", "costs")

    def pieces(self, place: int, pointed: bool) -> Pieces:
        lever = self.levers[place]
        text = self._line_of(
            f"{POINTER if pointed else ' '} {visible(lever.name)}",
            gib(lever.saving_bytes),
            gib(lever.peak_allocated_bytes),
            lever.verdict,
            lever.price,
        )
        return ((text, "cursor" if pointed else ""),)

    def chosen(self) -> None:
        self.post_message(self.Chosen(self.levers[self.cursor]))

    def _line_of(self, name: str, saves: str, peak: str, verdict: str, costs: str) -> str:
        room = self.size.width - 2 * NUMBER_CELLS - VERDICT_CELLS - 2
        named = room if room < 60 else room // 2
        start = f"{fit(name, named)}{saves:>{NUMBER_CELLS}}{peak:>{NUMBER_CELLS}}  {verdict:<{VERDICT_CELLS}}"
        return fit(start + (costs if named < room else ""), self.size.width)
