"""The batch tab: the tensors that TRL's collator makes of any batch the trainer would draw, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from tui.data.aside import Aside
from tui.data.ask import Ask
from tui.data.batch_lines import counted, head_lines, owners, place_lines, strip, tensor_lines, tokens_of
from tui.deck import Deck
from tui.widgets.bars import Bar, Part
from tui.widgets.line_list import POINTER, LineList, Pieces
from tui.widgets.text import cut, fit
from tui.widgets.text_view import TextView
from tui.widgets.token_view import TokenView

if TYPE_CHECKING:
    from core.data.batch import Batch

_OWNERS_CELLS, _COUNT_CELLS = 16, 8
_MOST_TENSORS = 8


class Sequences(LineList):
    """One line per sequence, or per piece of a row where packing joins them into one line."""

    TITLE = "The sequences of the batch"
    HELP = """
    One micro-batch as the model gets it: the rows are prepared, drawn in the trainer's order and put together by
    TRL's own collator. █ trained, ░ not trained, · padding. Left and right take the batch before and the next,
    : goes to one by number, p takes the next way of packing. Enter shows the row. Tab goes to the tokens.
    """
    DEFAULT_CSS = "Sequences { height: 5; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "its row"),
        Binding("right", "step(1)", "next batch"),
        Binding("left", "step(-1)", "batch before", show=False),
    ]

    class Moved(Message):
        """Another sequence is under the cursor."""

    class Chosen(Message):
        """The row of this sequence is asked for."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Stepped(Message):
        """Another batch is asked for."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self) -> None:
        super().__init__()
        self.held: Batch | None = None

    def put(self, batch: Batch) -> None:
        self.held = batch
        self.cursor = 0
        self._drawn = []
        self.redraw()
        self.moved()

    @property
    def count(self) -> int:
        return len(self.held.stretches) if self.held is not None else 0

    def heading(self) -> str:
        return f"  {'source':<{_OWNERS_CELLS}} {'tokens':>{_COUNT_CELLS}} {'trained':>{_COUNT_CELLS}}  places"

    def pieces(self, place: int, pointed: bool) -> Pieces:
        assert self.held is not None  # there are no lines before `put`
        stretch = self.held.stretches[place]
        tokens, trained = counted(self.held, stretch)
        room = max(self.size.width - _OWNERS_CELLS - 2 * _COUNT_CELLS - 7, 8)
        longest = max(each.end - each.start for each in self.held.stretches)
        marks = strip(self.held, stretch, max(-(-longest // room), 1))
        start = f"{POINTER if pointed else ' '} {fit(owners(stretch), _OWNERS_CELLS)}"
        text = f"{start} {tokens:>{_COUNT_CELLS},} {trained:>{_COUNT_CELLS},}  {marks}"
        return ((fit(text, self.size.width), "cursor" if pointed else ""),)

    def moved(self) -> None:
        self.post_message(self.Moved())

    def chosen(self) -> None:
        if self.held is not None:
            self.post_message(self.Chosen(self.held.stretches[self.cursor].rows[0]))

    def action_step(self, step: int) -> None:
        self.post_message(self.Stepped(step))


class BatchText(TextView):
    """The tensors; what is being done, or went wrong, before there are any."""

    TITLE = "The tensors of the batch"
    HELP = Sequences.HELP


class BatchView(Vertical):
    """`open()` draws the batch; the keys of the list take another one."""

    DEFAULT_CSS = """
    BatchView { height: 1fr; }
    BatchView > BatchText { height: 4; padding: 0 1; }
    BatchView > TokenView { margin: 1 1 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "ask", "batch by number", show=False, key_display=":"),
        Binding("right_square_bracket", "step(1)", "next batch", show=False, key_display="]"),
        Binding("left_square_bracket", "step(-1)", "batch before", show=False, key_display="["),
    ]

    def __init__(self, deck: Deck, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.deck = deck
        self.number = 0
        self.current: Batch | None = None
        self.problem = ""

    def compose(self) -> ComposeResult:
        yield Bar(lines=2, id="head")
        yield BatchText(id="tensors")
        yield Sequences()
        yield TokenView()
        yield Bar(lines=2, id="place")
        yield Aside()

    def on_mount(self) -> None:
        self._say("")

    def open(self) -> None:
        """Ask for the batch; the rows are prepared first, which is quick when they have been before."""
        if self.current is not None and self.current.number == self.number:
            return
        aside = self.query_one(Aside)
        if not aside.running:
            if self.current is None:
                self._say("preparing the rows and putting a batch together …")
            aside.start(
                "core.data.glance:batch",
                recipe=self.deck.recipe,
                number=self.number,
                workspace=self.deck.workspace.root,
            )

    def forget(self) -> None:
        """Another recipe: what was drawn holds no more."""
        self.query_one(Aside).stop()
        self.number, self.current = 0, None
        self._say("")

    def action_step(self, step: int) -> None:
        if self.current is not None:
            self.go_to(min(max(self.number + step, 0), self.current.batches - 1))

    def action_ask(self) -> None:
        self.post_message(Ask.Wanted("batch"))

    def go_to(self, number: int) -> None:
        """Draw this batch; a number beyond the last is refused."""
        if self.current is None or not 0 <= number < self.current.batches:
            last = self.current.batches - 1 if self.current is not None else 0
            self.notify(f"batches go from 0 to {last:,}", severity="warning", markup=False)
            return
        self.number = number
        self.open()

    def on_sequences_stepped(self, message: Sequences.Stepped) -> None:
        self.action_step(message.step)

    # From the process

    def on_aside_told(self, message: Aside.Told) -> None:
        message.stop()
        told = message.progress
        self._say(f"preparing {told.done:,} of {told.total:,} rows, {told.eta_seconds:.0f} s left")

    def on_aside_failed(self, message: Aside.Failed) -> None:
        message.stop()
        self._say(message.what, bad=True)

    def on_aside_done(self, message: Aside.Done) -> None:
        message.stop()
        self.current = message.value
        self._show()
        self.open()  # another one may have been asked for meanwhile

    def _say(self, what: str, *, bad: bool = False) -> None:
        """One text in place of everything."""
        lines = what.split("\n")
        text = self.query_one(BatchText)
        if self.has_focus_within:
            text.focus()  # keys go on to work while the rest is hidden
        self._display(False)
        text.styles.height = "1fr"
        text.show([(line, "bad" if bad and not place else "muted") for place, line in enumerate(lines)])

    def _display(self, whole: bool) -> None:
        for part in (Sequences, TokenView, Bar):
            for widget in self.query(part):
                widget.display = whole

    def _show(self) -> None:
        batch = self.current
        if batch is None:
            return
        self._display(True)
        for line, text in enumerate(head_lines(batch, self.deck.recipe.data.packing)):
            self.query_one("#head", Bar).put(line, [Part(f" {text}", "name" if line == 0 else "")])
        lines = tensor_lines(batch)
        tensors = self.query_one(BatchText)
        tensors.styles.height = min(len(lines), _MOST_TENSORS)
        tensors.show([(line, "") for line in lines])
        sequences = self.query_one(Sequences)
        sequences.styles.height = min(len(batch.stretches), max(self.size.height // 4, 4)) + 1
        sequences.put(batch)
        if tensors.has_focus:
            sequences.focus()

    # What is under the cursor

    def on_sequences_moved(self, message: Sequences.Moved) -> None:
        if self.current is not None:
            tokens = tokens_of(self.current, self.current.stretches[self.query_one(Sequences).cursor])
            self.query_one(TokenView).show(tokens, len(tokens), self.current.special_ids)

    def on_token_view_moved(self, message: TokenView.Moved) -> None:
        message.stop()
        bar, room = self.query_one("#place", Bar), max(self.size.width - 2, 0)
        if self.current is None or message.index is None or message.token is None:
            return
        stretch = self.current.stretches[self.query_one(Sequences).cursor]
        for line, text in enumerate(place_lines(self.current, stretch, message.index, message.token)):
            bar.put(line, [Part(f" {cut(text, room)}", "name" if line == 0 else "")])

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show)
