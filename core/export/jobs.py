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
    from core.export.aside import gib, weight_bytes

    chosen = subject(named, Workspace(root))
    size = gib(weight_bytes(chosen.adapter)) if chosen.adapter is not None else ""
    progress(f"copying and checking the adapter, {size}" if size else "looking for an adapter")
    return export_adapter(chosen, place(chosen, root, out, "adapter"))


def gguf_named(
    *, named: str, root: Path, out: str = "", out_type: str = "f16", progress: Callable[[Any], None]
) -> Any:
    """`export_gguf` for what a person named."""
    from core.export.gguf import export_gguf

    chosen = subject(named, Workspace(root))
    file = place(chosen, root, out, f"{out_type}.gguf")
    return export_gguf(chosen, file, out_type=out_type, progress=progress)


def ollama_named(
    *,
    named: str,
    root: Path,
    out: str = "",
    out_type: str = "f16",
    beside: bool = False,
    progress: Callable[[Any], None],
) -> Any:
    """`export_ollama` for what a person named."""
    from core.export.ollama import export_ollama

    chosen = subject(named, Workspace(root))
    folder = place(chosen, root, out, "ollama")
    return export_ollama(chosen, folder, out_type=out_type, beside=beside, progress=progress)


def script_named(
    *, named: str, root: Path, out: str = "", raw: bool = False, progress: Callable[[Any], None]
) -> Path:
    """Write `plain_script` of the run a person named; the path of the file."""
    from core.export.aside import made_aside
    from core.export.script import plain_script
    from core.runs.folder import open_run

    run = open_run(Workspace(root), named)
    target = (root / Path(out).expanduser()).absolute() if out else run.folder / "exports" / "train.py"
    progress("writing the script")
    text = plain_script(run, name=target.name, raw=raw)
    with made_aside(target, len(text)) as aside:
        aside.write_text(text, encoding="utf-8")
    return target


def trl_named(*, named: str, root: Path, out: str = "", progress: Callable[[Any], None]) -> Path:
    """Write the `trl sft` configuration of the run a person named, with its rows; the path of the file."""
    from core.export.aside import made_aside
    from core.export.script import no_gpu
    from core.export.trl_yaml import NAME, write_trl_folder
    from core.runs.folder import open_run

    run = open_run(Workspace(root), named)
    target = (root / Path(out).expanduser()).absolute() if out else run.folder / "exports" / "trl"
    progress("writing the configuration")
    with made_aside(target) as aside:
        write_trl_folder(run, aside, on_cpu=no_gpu(run.read_recipe()))
    return target / NAME


def push_named(
    *, named: str, root: Path, to: str, public: bool = False, progress: Callable[[Any], None]
) -> Any:
    """`push` for a folder that was exported, or for the adapter (or model) of what a person named."""
    import tempfile

    from core.export.adapter import export_adapter
    from core.export.hub import push

    chosen = subject(named, Workspace(root))
    if chosen.adapter is None or chosen.run is None:
        return push(chosen.adapter or chosen.model_folder, to, public=public, progress=progress)
    with tempfile.TemporaryDirectory(prefix="tunedeck-") as folder:
        progress("putting the adapter together")
        exported = export_adapter(chosen, Path(folder) / "adapter")
        return push(exported.folder, to, public=public, progress=progress)


def combine_named(
    *,
    named: list[str],
    weights: list[float],
    root: Path,
    out: str = "",
    method: str = "cat",
    density: float = 0.2,
    progress: Callable[[Any], None],
) -> Any:
    """`combine` for what a person named."""
    from core.export.combine import combine

    workspace = Workspace(root)
    chosen = [subject(name, workspace) for name in named]
    folder = place(chosen[0], root, out, f"combined-{method}")
    return combine(chosen, weights, folder, method=method, density=density, progress=progress)


def blend_named(
    *,
    named: list[str],
    weights: list[float],
    root: Path,
    out: str = "",
    method: str = "linear",
    base: str = "",
    density: float = 0.5,
    progress: Callable[[Any], None],
) -> Any:
    """`blend` for what a person named."""
    from core.export.blend import blend

    workspace = Workspace(root)
    chosen = [subject(name, workspace) for name in named]
    began = subject(base, workspace) if base else None
    folder = place(chosen[0], root, out, f"blended-{method}")
    return blend(chosen, weights, folder, method=method, base=began, density=density, progress=progress)


def place(chosen: Subject, root: Path, out: str, kind: str) -> Path:
    """Where an export goes: as named, else `exports/` of the run or of the workspace."""
    if out:
        return (root / Path(out).expanduser()).absolute()
    name = chosen.label.replace("/", "--").replace(":", "-")
    separator = "." if kind.endswith(".gguf") else "-"
    return exports_folder(chosen, root) / f"{name}{separator}{kind}"


def exports_folder(chosen: Subject, root: Path) -> Path:
    """`exports/` of the run, or of the workspace for a model without one."""
    return (chosen.run or root) / "exports"
