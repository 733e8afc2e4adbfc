"""Work that follows behind in a second thread, so that Python renders while Rust encodes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_WAITING = 2  # items that may wait; more would only hold memory


class Ahead(Generic[R]):
    """A value that is found in a second thread until it is asked for."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._found = self._pool.submit(work)
        self._pool.shutdown(wait=False)

    @property
    def value(self) -> R:
        """Waits for it; raises what the work raised."""
        return self._found.result()


class Behind(Generic[T]):
    """Does `work` on every item that is put, in order. A context manager: leaving it waits for the last.

    An error of the work ends it and is raised by the next `put` or on leaving.
    """

    def __init__(self, work: Callable[[T], None]) -> None:
        self._work = work
        self._items: queue.Queue[T | None] = queue.Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tunedeck-encode", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        if self._error is not None:
            raise self._error
        self._items.put(item)

    def __enter__(self) -> Behind[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._items.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error
