"""A row as it was read beside the row as it stands in the file: a wrong guess shows at once."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from core.data.view import ShownRow
from tui.data.lines import conversation_lines, raw_lines
from tui.widgets.text_view import TextView

_SIDE_BY_SIDE = 70  # cells; below, the two stand over one another


class ConversationText(TextView):
    TITLE = "The conversation"
    HELP = (
        "The row as it was read: every turn with its role. The first line says how the record was understood."
    )


class RawText(TextView):
    TITLE = "The raw record"
    HELP = "The record as it stands in the file."


class RecordView(Container):
    """`show(row)`; two texts that scroll each on its own."""

    SCOPED_CSS = False
    DEFAULT_CSS = """
    RecordView { width: 1fr; height: 1fr; layout: vertical; }
    RecordView RawText { border-top: solid $panel; }
    RecordView.beside { layout: horizontal; }
    RecordView.beside RawText { border-top: none; border-left: solid $panel; padding: 0 0 0 1; }
    """

    def compose(self) -> ComposeResult:
        yield ConversationText()
        yield RawText()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= _SIDE_BY_SIDE, "beside")

    def show(self, row: ShownRow) -> None:
        self.query_one(ConversationText).show(conversation_lines(row))
        self.query_one(RawText).show(raw_lines(row))
