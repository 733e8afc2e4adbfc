"""The two lists of the Plan panel: knobs on the left, a view of lines on the right. Both draw only their lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from core.recipe import Recipe
from tui.plan.knobs import KNOBS, Knob
from tui.plan.shown import Line
from tui.widgets.bars import Bar, Part
from tui.widgets.text import fit, visible


class Knobs(Bar, can_focus=True):
    """One line per knob; left and right step it, enter types a value."""

    HELP = """
    Every line is a field of the recipe. Left and right step it, enter types a value, and the plan is priced
    again at once. ctrl+s saves the recipe; u takes the last change back.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("left", "step(-1)", "step back", show=False),
        Binding("right", "step(1)", "step", show=False),
        Binding("enter", "type", "type a value", show=False),
    ]

    class Stepped(Message):
        """A knob is to take a new value."""

        def __init__(self, knob: Knob, direction: int) -> None:
            super().__init__()
            self.knob = knob
            self.direction = direction

    class Asked(Message):
        """A value for this knob is to be typed."""

        def __init__(self, knob: Knob) -> None:
            super().__init__()
            self.knob = knob

    def __init__(self) -> None:
        super().__init__(0, id="knobs")
        self.at = 0
        self.recipe: Recipe | None = None

    def tell(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._draw()

    def action_move(self, by: int) -> None:
        self.at = (self.at + by) % len(KNOBS)
        self._draw()

    def action_step(self, direction: int) -> None:
        self.post_message(self.Stepped(KNOBS[self.at], direction))

    def action_type(self) -> None:
        self.post_message(self.Asked(KNOBS[self.at]))

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self.recipe is None or not self.size.width:
            return
        for number, knob in enumerate(KNOBS):
            here = number == self.at
            value = fit(visible(knob.text(self.recipe)), max(self.size.width - 15, 4))
            style = ("current" if self.has_focus else "name") if here else ""
            self.put(
                number,
                [
                    Part("›" if here else " "),
                    Part(fit(knob.name, 14), "" if here else "muted"),
                    Part(value, style),
                ],
            )


class View(Bar, can_focus=True):
    """Lines with a cursor; enter does what the line says."""

    HELP = """
    v takes the next view: phases, levers, lengths, GPUs, figures. Up and down move, enter opens a category's
    sums or applies a lever, A applies the levers that make it fit together.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "move(-10)", "page up", show=False),
        Binding("pagedown", "move(10)", "page down", show=False),
        Binding("g,home", "move(-9999)", "top", show=False),
        Binding("G,end", "move(9999)", "bottom", show=False),
        Binding("enter", "do", "open or apply", show=False),
    ]

    class Chosen(Message):
        """Enter on a line that does something."""

        def __init__(self, does: str) -> None:
            super().__init__()
            self.does = does

    def __init__(self) -> None:
        super().__init__(0, id="view")
        self.lines: list[Line] = []
        self.at = 0
        self._first = 0

    def tell(self, lines: Sequence[Line], *, afresh: bool = False) -> None:
        """Show these lines; `afresh` goes to the top."""
        self.lines = list(lines)
        self.at = 0 if afresh else min(self.at, max(len(self.lines) - 1, 0))
        if afresh:
            self._first = 0
        self._draw()

    def action_move(self, by: int) -> None:
        self.at = min(max(self.at + by, 0), max(len(self.lines) - 1, 0))
        self._draw()

    def action_do(self) -> None:
        if self.lines and self.lines[self.at].does:
            self.post_message(self.Chosen(self.lines[self.at].does))

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        height = self.size.height
        if not height:
            return
        self._first = min(max(self._first, self.at - height + 1), self.at)
        self._first = max(min(self._first, len(self.lines) - height), 0)
        for row in range(height):
            number = self._first + row
            if number >= len(self.lines):
                self.put(row, [])
                continue
            mark = Part("›" if self.has_focus and number == self.at else " ")
            self.put(row, [mark, *self.lines[number].parts])
