"""One voice's side of a conversation: a header that proves who answers, and the turns, drawn line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.chat.session import Said, Session
from tui.widgets.text import cut, fit, visible, wrap

Line = tuple[str, str]  # text, style class


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the conversation in one style."""

    text: str
    style: str = ""


def blocks(session: Session, who: str) -> list[Block]:
    """A conversation as one voice had it."""
    found: list[Block] = []
    for turn in session.turns:
        found.append(Block(f"› {visible(turn.prompt, lines=True)}", "asked"))
        if turn.expected:
            found.append(Block(f"expected: {visible(turn.expected, lines=True)}", "muted"))
        said = turn.said.get(who)
        if said is not None:
            found += _of_answer(said)
        found.append(Block(""))
    return found


def _of_answer(said: Said) -> list[Block]:
    found = (
        [Block(f"! {visible(warning)}", "warned") for warning in said.started.warnings]
        if said.started
        else []
    )
    text = visible(said.text, lines=True)
    if text or not said.ended:
        found.append(Block(text if said.ended else f"{text}▌"))
    if said.failure:
        found.append(Block(f"✗ {visible(said.failure, lines=True)}", "warned"))
    if said.answer is not None:
        found.append(Block(figures(said), "muted"))
    return found


def figures(said: Said) -> str:
    """The figures below an answer: time to the first token, speed, tokens, how it ended."""
    answer = said.answer
    assert answer is not None
    ended = f"stop {visible(answer.stop_token)}" if answer.stop_token else answer.stop
    speed = f" · {answer.tokens_per_second:.0f} tok/s" if answer.tokens_per_second else ""
    return f"{answer.first_token_seconds:.2f}s first{speed} · {len(answer.ids)} tokens · {ended}"


def proof(said: Said | None) -> str:
    """Who answered, read by the worker from the model itself."""
    if said is None or said.answer is None:
        return ""
    evidence = said.answer.proof
    adapter = f"adapter {'on' if evidence.active else 'off'}" if evidence.adapter else "no adapter"
    return f"{adapter} · logits {evidence.first_step[:8]}"


class Transcript(Widget, can_focus=True):
    """`show(session)` draws it anew; only rows that differ are sent. It follows the end until moved away."""

    HELP = "What this voice was asked and answered. Up and down scroll; i looks into the newest answer."
    COMPONENT_CLASSES: ClassVar[set[str]] = {"asked", "muted", "warned", "heading", "current"}
    DEFAULT_CSS = """
    Transcript { width: 1fr; height: 1fr; }
    Transcript .asked { color: $primary; text-style: bold; }
    Transcript .muted { color: $foreground 60%; }
    Transcript .warned { color: $warning; text-style: bold; }
    Transcript .heading { background: $surface; color: $foreground 75%; }
    Transcript .current { background: $surface; color: $accent; text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "move(-1000000)", "top", show=False),
        Binding("G,end", "move(1000000)", "bottom", show=False),
    ]

    def __init__(self, who: str) -> None:
        super().__init__(id=f"voice-{who}")
        self.who = who
        self.following = True
        self._session = Session()
        self._lines: list[Line] = []
        self._top = 0
        self._drawn: list[Line] = []
        self._wrapped: dict[tuple[Block, int], list[Line]] = {}

    def show(self, session: Session) -> None:
        self._session = session
        width = self.size.width - 2
        if width < 4:
            return
        lines: list[Line] = []
        wrapped: dict[tuple[Block, int], list[Line]] = {}
        for block in blocks(session, self.who):
            key = (block, width)
            wrapped[key] = self._wrapped.get(key) or [(line, block.style) for line in wrap(block.text, width)]
            lines += wrapped[key]
        self._wrapped, self._lines = wrapped, lines
        self._draw()

    def _draw(self) -> None:
        """Work out the rows in view and repaint those that differ."""
        width, height = self.size
        end = max(len(self._lines) - (height - 1), 0)
        self._top = end if self.following else min(self._top, end)
        rows = [self._heading(), *self._lines[self._top : self._top + height - 1]]
        rows += [("", "")] * (height - len(rows))
        before, self._drawn = self._drawn, rows
        for y, row in enumerate(rows):
            old = before[y] if y < len(before) else None
            if old != row:
                reach = width if old is None or y == 0 else max(cell_len(old[0]), cell_len(row[0])) + 1
                self.refresh(Region(0, y, min(reach, width), 1))

    def _heading(self) -> Line:
        newest = next(
            (turn.said[self.who] for turn in reversed(self._session.turns) if self.who in turn.said), None
        )
        evidence = proof(newest)
        return f"{self.who}  {evidence}" if evidence else self.who, "current" if self.has_focus else "heading"

    def on_resize(self) -> None:
        self._drawn = []
        self.show(self._session)

    def on_focus(self) -> None:
        self._draw()

    def on_blur(self) -> None:
        self._draw()

    def action_move(self, lines: int) -> None:
        end = max(len(self._lines) - (self.size.height - 1), 0)
        self._top = min(max(self._top + lines, 0), end)
        self.following = self._top == end
        self._draw()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self.size.height - 2, 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def render_line(self, y: int) -> Strip:
        width, plain = self.size.width, self.rich_style
        text, name = self._drawn[y] if y < len(self._drawn) else ("", "")
        style = self.get_component_rich_style(name) if name else plain
        if y == 0:
            return Strip([Segment(fit(f" {text}", width), style)])
        return Strip([Segment(f" {cut(text, width - 1)}", style)]).adjust_cell_length(width, plain)
