"""Rows and preparations as plain lines, with marks that survive a pipe: ⟦trained⟧, plain masked, ⟨cut⟩."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from tui.commands.check_lines import plural
from tui.widgets.text import visible

if TYPE_CHECKING:
    from core.data.compare import Pair
    from core.data.prepare import Prepared
    from core.data.view import ShownRow

_IGNORED = -100
_ROLE_CELLS = 11


def shown_lines(shown: ShownRow, *, ids: bool = False) -> list[str]:
    """A row as text, turn by turn; with `ids` one line per token."""
    lines = [*_head(shown), ""]
    if shown.problem:
        return [*lines, f"not trained: {visible(shown.problem)}"]
    return lines + (_token_lines(shown) if ids else _turn_lines(shown))


def comparison_lines(pairs: tuple[Pair, ...], left: ShownRow, right: ShownRow) -> list[str]:
    """Two settings of one row: the tokens that differ, with two of their neighbours."""
    lines = [
        f"left:  {_setting(left)}: {_counted(left)}",
        f"right: {_setting(right)}: {_counted(right)}",
        "",
    ]
    different = [number for number, pair in enumerate(pairs) if not (pair.same_id and pair.same_label)]
    if not different:
        return [*lines, "no token differs"]
    wanted = sorted({near for number in different for near in range(number - 2, number + 3)})
    last = -1
    for number in wanted:
        if not 0 <= number < len(pairs):
            continue
        if number > last + 1:
            lines.append("  ...")
        last = number
        pair = pairs[number]
        mark = " " if pair.same_id and pair.same_label else "*"
        lines.append(f"{mark} {_side(left, pair.left)}  {_side(right, pair.right)}")
    return [*lines, "", f"{len(different)} of {len(pairs)} tokens differ"]


def prepared_lines(prepared: Prepared) -> list[str]:
    """What a preparation made, and what it left out."""
    share = prepared.trained_tokens / prepared.tokens
    where = (
        "from the cache" if prepared.cached else f"{prepared.seconds['total']:.1f} s with {prepared.engine}"
    )
    lines = [
        f"{prepared.examples:,} of {plural(prepared.rows, 'row')} to train on, {prepared.eval_examples:,} held out ({where})",
        f"{prepared.tokens:,} tokens, {prepared.trained_tokens:,} trained ({share:.0%}), longest row {prepared.longest:,}",
        f"in {prepared.folder}",
    ]
    for finding in prepared.findings:
        rows = ", ".join(str(row) for row in finding.rows[:5]) + (" ..." if finding.count > 5 else "")
        lines.append(
            f"{finding.severity}: {finding.code}, {plural(finding.count, 'row')} ({rows}): {visible(finding.cause)}"
        )
        lines.append(f"  {finding.fix}")
    counts = {name: sum(item.severity == name for item in prepared.findings) for name in ("error", "warning")}
    known = ", ".join(plural(count, name) for name, count in counts.items())
    lines.append(f"{known} in preparing; tunedeck check looks at every row for more")
    return lines


def _head(shown: ShownRow) -> list[str]:
    lines = [f"row {shown.row}  {visible(shown.where)}  {_counted(shown)}", f"{_setting(shown)}"]
    if shown.how:
        lines.append(f"read as {visible(shown.how)}")
    cut = len(shown.tokens) - shown.kept
    if cut:
        lines.append(f"cut: {cut:,} of {len(shown.tokens):,} tokens lie past max_length")
    return lines


def _setting(shown: ShownRow) -> str:
    return f"loss on {shown.loss_on}, template: {visible(shown.template)}"


def _counted(shown: ShownRow) -> str:
    share = f" ({shown.trained / shown.kept:.0%})" if shown.kept else ""
    return f"{shown.kept:,} tokens, {shown.trained:,} trained{share}"


def _turn_lines(shown: ShownRow) -> list[str]:
    lines = []
    for (_message, role), text in _turns(shown):
        margin = f"{visible(role)[: _ROLE_CELLS - 1]:<{_ROLE_CELLS}}"
        for piece in text.split("\n"):
            lines.append((margin + piece).rstrip())
            margin = " " * _ROLE_CELLS
    return lines


def _turns(shown: ShownRow) -> Iterator[tuple[tuple[int, str], str]]:
    """Each message's text with its marks; a newline that is a token's text is shown as ⏎ and obeyed."""
    numbered = enumerate(shown.tokens)
    for owner, group in groupby(numbered, key=lambda item: (item[1].message, item[1].role)):
        text = ""
        for (trained, cut), run in groupby(
            group, key=lambda item: (item[1].label != _IGNORED, item[0] >= shown.kept)
        ):
            piece = _run_text(shown, [index for index, _ in run])
            piece = visible(piece, lines=True).replace("\n", "⏎\n")
            text += f"⟨{piece}⟩" if cut else f"⟦{piece}⟧" if trained else piece
        yield owner, text.removesuffix("\n")


def _run_text(shown: ShownRow, indexes: list[int]) -> str:
    """The text that a run of tokens covers; from the rendering, so that no character is torn."""
    first, last = shown.tokens[indexes[0]], shown.tokens[indexes[-1]]
    if last.span[1] > first.span[0]:
        return shown.rendering.text[first.span[0] : last.span[1]]
    return "".join(shown.tokens[index].text for index in indexes)


def _token_lines(shown: ShownRow) -> list[str]:
    lines = ["  index      id  label   text                   role        part               reason"]
    for index, token in enumerate(shown.tokens):
        mark = "⟨" if index >= shown.kept else "⟦" if token.label != _IGNORED else " "
        label = "-" if token.label == _IGNORED else str(token.label)
        lines.append(
            f"{mark} {index:>5} {token.id:>7} {label:>6}   {visible(token.text):<22} "
            f"{visible(token.role):<11} {token.part:<18} {visible(token.reason)}"
        )
    return lines


def _side(shown: ShownRow, index: int | None) -> str:
    if index is None:
        return f"{'-':>6}   {'':<24}"
    token = shown.tokens[index]
    text = visible(token.text)
    return f"{token.id:>7}  {f'⟦{text}⟧' if token.label != _IGNORED else text:<24}"
