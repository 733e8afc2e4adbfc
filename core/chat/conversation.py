"""Conversations as files: one JSON line with `messages` each, which is a training row as it stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import TunedeckError, UsageError
from core.workspace import one_writer, write_atomically

Messages = tuple[dict[str, Any], ...]


def save_conversation(path: Path, messages: Sequence[dict[str, Any]], *, place: int | None = None) -> int:
    """Append a conversation to a JSONL file, or put it at `place` (line, from 0). Returns its place.

    The file is replaced in one step, so a full disk costs nothing that was there, and two programs may save to it
    at the same time. Raises TunedeckError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_writer(path.parent):
            before = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
            if before and not before[-1]:
                before.pop()
            if place is None or place >= len(before):
                place = len(before)
                before.append("")
            before[place] = json.dumps({"messages": list(messages)}, ensure_ascii=False)
            write_atomically(path, "".join(line + "\n" for line in before))
    except (OSError, UnicodeDecodeError) as error:
        raise TunedeckError(
            f"the conversation cannot be saved: {error}", where=str(path), fix="choose another file"
        ) from error
    return place


def load_conversations(path: Path) -> list[Messages]:
    """Every conversation of a JSONL file. Raises UsageError with the line that is not one."""
    try:
        lines = path.read_text(encoding="utf-8").split(
            "\n"
        )  # not at every Unicode line end: JSON may hold them
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path), fix="name a JSONL file") from error
    found: list[Messages] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            messages = json.loads(line)["messages"]
            assert all(isinstance(m["role"], str) and "content" in m for m in messages)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise UsageError(
                "not a conversation",
                where=f"{path}, line {number}",
                fix='write {"messages": [{"role": …, "content": …}]}',
            ) from None
        found.append(tuple(messages))
    return found
