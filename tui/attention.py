"""Whether a person looks at the screen, and what calls them back: the bell and the terminal's title.

A terminal tells when it loses the focus, where it can (in tmux: `set -g focus-events on`). Where it does not
tell, a minute without a key counts as away. The title is kept on the terminal's own stack and put back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

AWAY_SECONDS = 60.0
LONGEST_TITLE = 80

# XTerm's window operations; tmux and screen-like terminals answer them too, and others ignore them.
KEEP_TITLE = "\x1b[22;2t"
PUT_TITLE_BACK = "\x1b[23;2t"
BELL = "\a"


class Attention:
    """One per app. `write` takes text for the terminal itself."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._last_input = clock()
        self._focused = True
        self.title = ""  # what the terminal's title says now, if it is ours

    @property
    def away(self) -> bool:
        """Whether nobody looks, as far as can be known."""
        return not self._focused or self._clock() - self._last_input > AWAY_SECONDS

    def seen(self) -> None:
        """A key, the mouse or the focus: somebody is here, and the title is the terminal's own again."""
        self._focused, self._last_input = True, self._clock()
        self.restore()

    def left(self) -> None:
        self._focused = False

    def call(self, title: str) -> None:
        """Ring the bell and say in the title why. `title` must be visible text."""
        if not self.title:
            self._write(KEEP_TITLE)
        self.title = title[:LONGEST_TITLE]
        self._write(f"\x1b]2;{self.title}\x1b\\{BELL}")

    def restore(self) -> None:
        """Put the terminal's own title back."""
        if self.title:
            self.title = ""
            self._write(PUT_TITLE_BACK)
