"""An answer drawn as Markdown. What a model wrote is untrusted: nothing in it is obeyed, opened or hidden.

HTML stays text, links and pictures show their address and cannot be followed, only the beginning of a long
answer is read as Markdown, and text that Markdown would swallow whole stays as it is.
"""

from __future__ import annotations

from functools import lru_cache
from io import StringIO

from rich.segment import Segment
from rich.style import Style

from tui.widgets.text import wrap

MOST_CHARACTERS = 10_000  # of one answer; a screen shows a fraction, and parsing must stay short

StyledLine = tuple[tuple[str, Style], ...]


@lru_cache(maxsize=64)
def markdown_lines(text: str, cells: int) -> tuple[StyledLine, ...]:
    """`text`, already made visible, as lines of at most `cells` cells; what is past the limit stays plain."""
    from markdown_it import MarkdownIt
    from rich.console import Console
    from rich.markdown import Markdown

    head, rest = text[:MOST_CHARACTERS], text[MOST_CHARACTERS:]
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("image")
    document = Markdown("", hyperlinks=False, code_theme="ansi_dark")
    document.parsed = parser.parse(head)
    console = Console(
        file=StringIO(), width=cells, force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    drawn = console.render_lines(document, console.options.update(highlight=False), pad=False)
    lines = [tuple(_plain(segment) for segment in line if segment.text) for line in drawn]
    for end in (-1, 0):
        while lines and not "".join(piece for piece, _ in lines[end]).strip():
            lines.pop(end)
    plain = rest if lines else text
    return (*lines, *(((line, Style()),) for line in (wrap(plain, cells) if plain else ())))


def _plain(segment: Segment) -> tuple[str, Style]:
    """Text and look of a segment, without links, blinking and whatever else a style may carry."""
    style = segment.style or Style()
    return segment.text, Style(
        color=style.color,
        bgcolor=style.bgcolor,
        bold=style.bold,
        dim=style.dim,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=style.reverse,
    )
