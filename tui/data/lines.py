"""What the Data panel says, as plain lines: a conversation, a raw record, a finding, the token under the cursor."""

from __future__ import annotations

import json

from core.data.check import CheckReport
from core.data.types import IGNORED, Finding, Token
from core.data.view import ShownRow
from tui.widgets.compare_view import CompareView
from tui.widgets.marks import SEVERITIES
from tui.widgets.text import visible
from tui.widgets.text_view import Line
from tui.widgets.token_layout import readable

_STYLES = {"error": "bad", "warning": "warn", "note": "muted"}


def conversation_lines(shown: ShownRow) -> list[Line]:
    """Turn by turn, as the row was read."""
    lines: list[Line] = [(f"read as: {shown.how}" if shown.how else f"not read: {shown.problem}", "muted")]
    conversation = shown.conversation
    if conversation is None:
        return lines
    if conversation.tools:
        lines.append(
            (f"{len(conversation.tools)} tools: {', '.join(map(_tool_name, conversation.tools))}", "muted")
        )
    for number, message in enumerate(conversation.messages):
        flag = "" if message.train is None else f"  train = {str(message.train).lower()}"
        lines.append((f"{number} {message.role}{flag}", "heading"))
        if message.reasoning:
            lines.append((f"thinking: {message.reasoning}", "muted"))
        if message.content:
            lines.append((str(message.content), ""))
        lines += [(f"calls {_json(call)}", "") for call in message.tool_calls]
    if conversation.text or conversation.completion:
        lines += [("text", "heading"), (conversation.text, "")]
    if conversation.completion:
        lines += [("completion", "heading"), (conversation.completion, "")]
    if conversation.input_ids:
        lines.append((f"{len(conversation.input_ids):,} token ids, as they came", ""))
    for tool in conversation.tools:
        lines += [(f"tool {_tool_name(tool)}", "heading"), (_json(tool, indent=1), "muted")]
    return lines


def _tool_name(tool: object) -> str:
    """The name in a tool's schema, OpenAI's shape or the bare one."""
    inner = tool.get("function", tool) if isinstance(tool, dict) else tool
    return str(inner.get("name", "unnamed")) if isinstance(inner, dict) else "unnamed"


def raw_lines(shown: ShownRow) -> list[Line]:
    """The record as it stands in the file."""
    return [(f"{shown.where}, row {shown.row}", "muted"), (_json(shown.raw, indent=1), "")]


def finding_lines(finding: Finding) -> list[Line]:
    """Cause, fix and rows of one finding."""
    count = f"{finding.count:,} rows" if finding.rows else "the whole set"
    lines: list[Line] = [
        (f"{SEVERITIES[finding.severity]} {finding.code}", _STYLES[finding.severity]),
        (f"{finding.severity}, {count}", "muted"),
        ("", ""),
        (finding.cause, ""),
        ("", ""),
        (f"Fix: {finding.fix}", "good"),
    ]
    if finding.rows:
        lines += [("", ""), ("rows " + ", ".join(map(str, finding.rows[:200])), "muted")]
    return lines


def inspector_lines(shown: ShownRow | None, index: int | None, report: CheckReport | None) -> list[str]:
    """Four lines: the token under the cursor, and the row with its findings."""
    if shown is None:
        return [""] * 4
    if index is None:
        lines = [f"not trained: {shown.problem}" if shown.problem else "", "", ""]
    else:
        lines = token_lines(index, shown.tokens[index], shown)
    named = [item.code for item in report.findings if shown.row in item.rows] if report else []
    return [*lines, f"row {shown.row}  {shown.where}  {shown.how}  {', '.join(named)}".rstrip()]


def comparison_lines(compared: CompareView) -> list[str]:
    """Four lines: the token under the cursor on both sides, in what they differ, and the row."""
    left, right, pair = compared.left, compared.right, compared.pair
    if left is None or right is None or pair is None:
        return [""] * 4
    if pair.left is None or pair.right is None:
        told = f"only in {'A' if pair.right is None else 'B'}"
    elif not pair.same_id:
        told = "the ids differ"
    else:
        told = "the same" if pair.same_label else "the label differs"
    different = compared.different
    if compared.cursor in different:
        told = f"difference {different.index(compared.cursor) + 1:,} of {len(different):,}: {told}"
    return [_side("A", left, pair.left), _side("B", right, pair.right), told, f"row {left.row}  {left.where}"]


def _side(name: str, shown: ShownRow, index: int | None) -> str:
    if index is None:
        return f"{name}  no such token"
    token = shown.tokens[index]
    state = "trained" if token.label != IGNORED else "not trained"
    return f'{name}  token {index}  id {token.id}  "{visible(readable(token.data))}"  {state}: {token.reason}'


def token_lines(index: int, token: Token, shown: ShownRow) -> list[str]:
    """Three lines on the token under the cursor: what it is, why its label, where it stands."""
    trained = token.label != IGNORED
    label = f"label {token.label}" if trained else f"label {IGNORED}"
    state = "" if index >= shown.kept else "trained: " if trained else "not trained: "
    place = f"message {token.message} " if token.message >= 0 else ""
    return [
        f'token {index} of {len(shown.tokens):,}  id {token.id}  "{visible(readable(token.data))}"  bytes {_bytes(token, shown)}',
        f"{label}, {state}{token.reason}",
        f"{token.role or 'template'}  {place}{token.part}  characters {token.span[0]}-{token.span[1]}",
    ]


def _bytes(token: Token, shown: ShownRow) -> str:
    """The token's bytes; where several tokens share a character, that character too."""
    told = token.data[:12].hex(" ") + (" …" if len(token.data) > 12 else "")
    if "\ufffd" not in token.text:
        return told
    return f'{told}, a part of "{visible(shown.rendering.text[token.span[0] : token.span[1]])}"'


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
