"""Exports as jobs of the workshop: named by a person, done in the process that holds torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.chat.subject import Subject, subject
from core.workspace import Workspace


def merge_named(
    *, named: str, root: Path, out: str = "", dtype: str = "", progress: Callable[[Any], None]
) -> Any:
    """`merge` for what a person named; `out` empty puts the result beside the run's adapter."""
    from core.export.merge import merge

    chosen = subject(named, Workspace(root))
    return merge(chosen, place(chosen, root, out, "merged"), dtype=dtype, progress=progress)


def adapter_named(*, named: str, root: Path, out: str = "", progress: Callable[[Any], None]) -> Any:
    """`export_adapter` for what a person named."""
    from core.export.adapter import export_adapter

    chosen = subject(named, Workspace(root))
    progress("copying and checking the adapter")
    return export_adapter(chosen, place(chosen, root, out, "adapter"))


def gguf_named(
    *, named: str, root: Path, out: str = "", out_type: str = "f16", progress: Callable[[Any], None]
) -> Any:
    """`export_gguf` for what a person named."""
    from core.export.gguf import export_gguf

    chosen = subject(named, Workspace(root))
    file = place(chosen, root, out, f"{out_type}.gguf")
    return export_gguf(chosen, file, out_type=out_type, progress=progress)


def place(chosen: Subject, root: Path, out: str, kind: str) -> Path:
    """Where an export goes: as named, else `exports/` of the run or of the workspace."""
    if out:
        return (root / Path(out).expanduser()).absolute()
    name = chosen.label.replace("/", "--").replace(":", "-")
    return (chosen.run or root) / "exports" / f"{name}-{kind}"
