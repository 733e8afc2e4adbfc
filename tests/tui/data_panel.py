"""The Data panel on the demo's troubled rows, its workshop replaced by the same functions in this process."""

from __future__ import annotations

import importlib
from typing import Any

from core.errors import TunedeckError
from core.workshop import Failure, Progress, Result
from tests.tui.test_shell import until
from tui.data.figures import FiguresView
from tui.data.rows_tab import RowsTab
from tui.widgets.bars import Bar


class Inline:
    """The workshop's work done at once in this process, which spares starting one for every test."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._last = 0

    def submit(self, function: str, /, **arguments: Any) -> int:
        self._last += 1
        module, _, name = function.partition(":")
        job = self._last
        try:
            value = getattr(importlib.import_module(module), name)(
                **arguments, progress=lambda value: self._messages.append(Progress(job, value))
            )
            self._messages.append(Result(job, value))
        except TunedeckError as error:
            self._messages.append(Failure(job, str(error)))
        return job

    def poll(self, timeout_seconds: float = 0.0) -> list[Any]:
        messages, self._messages = self._messages, []
        return messages

    def cancel(self) -> None:
        self._messages.clear()

    close = cancel


def opened(app: Any, **data: Any) -> Any:
    app.deck.change(
        {"data.source": "demo/troubled.jsonl", "data.max_length": 256}
        | {f"data.{k}": v for k, v in data.items()}
    )
    app.deck.unsaved = False
    return app


async def drawn(pilot: Any) -> None:
    """Until the first row and the check have arrived."""
    app = pilot.app
    await until(
        pilot,
        lambda: app.panel and app.panel.query(RowsTab) and app.panel.rows.row and app.panel.rows.report,
        60,
    )
    await until(pilot, lambda: app.panel.query_one(FiguresView).cut)
    await pilot.pause()


def inspector(app: Any) -> list[str]:
    bar = app.query_one("#inspector", Bar)
    return [bar.text(line).strip() for line in range(4)]
