"""Who is asked: a base model, a run or one of its checkpoints, an adapter folder, a merged model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import MissingError, UsageError
from core.models.sources import locate
from core.recipe import Recipe, read_recipe
from core.workspace import Workspace

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a chat worker loads. `template_folder` holds the tokenizer and template of the training."""

    label: str
    model_folder: Path
    adapter: Path | None = None
    template_folder: Path | None = None  # None: the model's own
    base_folder: Path | None = None  # of a run that trained all weights: the model it began with
    run: Path | None = None
    dtype: str = "auto"
    attention: str = "auto"
    quantization: str = "none"
    double_quantization: bool = True
    trust_remote_code: bool = False
    system: str = ""
    notes: tuple[str, ...] = ()


def subject(named: str, workspace: Workspace) -> Subject:
    """Find what a person named: a run id (`ID`, `ID:checkpoint-40`, `ID:latest`, `ID:best`), a folder
    (run, checkpoint, adapter, model), "demo", or a model that `tunedeck models get` has fetched.

    Raises UsageError or MissingError with what to do next.
    """
    name, _, part = named.partition(":")
    run_folder = workspace.runs / name
    if name and (run_folder / "recipe.toml").is_file():
        return of_run(run_folder, part)
    path = Path(named).expanduser()
    if not path.is_dir() and (workspace.root / path).is_dir():
        path = workspace.root / path
    if path.is_dir():
        return _of_folder(path.resolve(), workspace)
    if path.is_file():
        raise UsageError("a file, not a model", where=named, fix="name the folder that holds it")
    files = locate(named, workspace=workspace)
    return Subject(label=named, model_folder=files.folder)


def of_run(folder: Path, part: str = "") -> Subject:
    """The result of a run: its adapter or model, else its latest checkpoint; `part` names another."""
    recipe = read_recipe(folder / "recipe.toml")
    workspace = Workspace(folder.parent.parent)
    base = locate(recipe.model.source, recipe.model.revision, workspace).folder
    trained = _part(folder, part)
    unfinished = trained.parent != folder and not part
    loading: dict[str, Any] = {
        "label": folder.name if trained.parent == folder else f"{folder.name}:{trained.name}",
        "run": folder,
        "template_folder": _template_folder(trained),
        "notes": (f"the run has saved no final result yet; this is {trained.name}",) if unfinished else (),
        **_loading(recipe),
    }
    if _is_adapter(trained):
        return Subject(model_folder=base, adapter=trained, **loading)
    return Subject(model_folder=trained, base_folder=base, **loading)


def of_checkpoint_or_adapter(folder: Path, workspace: Workspace) -> Subject:
    """An adapter folder. Its base is the one its `adapter_config.json` names."""
    run = next((parent for parent in folder.parents[:2] if (parent / "recipe.toml").is_file()), None)
    if run is not None:
        return of_run(run, folder.name)
    config = read_adapter_config(folder)
    base = config.get("base_model_name_or_path") or ""
    if not base:
        raise UsageError(
            "the adapter does not say which base model it belongs to",
            where=str(folder / "adapter_config.json"),
            fix="set base_model_name_or_path to the base's folder or Hub id",
        )
    files = locate(base, config.get("revision") or "main", workspace)
    return Subject(
        label=folder.name,
        model_folder=files.folder,
        adapter=folder,
        template_folder=_template_folder(folder),
    )


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """`adapter_config.json` of an adapter folder. Raises UsageError if it cannot be read."""
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            "not an adapter", where=str(folder), fix="name a folder with adapter_config.json"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path), fix="save the adapter again") from None
    if not isinstance(config, dict):
        raise UsageError("not a JSON object", where=str(path), fix="save the adapter again")
    return config


def checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in (run / "checkpoints").glob("checkpoint-*") if _is_result(path)]
    return sorted(found, key=lambda path: int(re.sub(r"\D", "", path.name) or 0))


def _of_folder(folder: Path, workspace: Workspace) -> Subject:
    if (folder / "recipe.toml").is_file():
        return of_run(folder)
    if (folder / "adapter_config.json").is_file():
        return of_checkpoint_or_adapter(folder, workspace)
    if (folder / "config.json").is_file():
        return Subject(label=folder.name, model_folder=folder)
    raise UsageError(
        "neither a run, an adapter nor a model",
        where=str(folder),
        fix="name a folder with recipe.toml, adapter_config.json or config.json",
    )


def _part(run: Path, part: str) -> Path:
    """The folder of a run that holds trained weights."""
    saved = checkpoints(run)
    if part == "best":
        return _best(run, saved)
    if part == "latest" and saved:
        return saved[-1]
    if part and part != "latest":
        folder = run / part if part in ("adapter", "model") else run / "checkpoints" / part
        if not _is_result(folder):
            have = ", ".join(path.name for path in saved) or "none yet"
            raise MissingError(f"no {part} in this run", where=run.name, fix=f"checkpoints here: {have}")
        return folder
    for folder in (run / "adapter", run / "model"):
        if _is_result(folder):
            return folder
    if saved:
        return saved[-1]
    raise MissingError(
        "the run has saved nothing yet",
        where=run.name,
        fix=f"ask it for a checkpoint, or wait: tunedeck watch {run.name}",
    )


def _best(run: Path, saved: list[Path]) -> Path:
    """The checkpoint with the lowest evaluation loss, as the trainer noted it."""
    for checkpoint in reversed(saved):
        state = checkpoint / "trainer_state.json"
        if not state.is_file():
            continue
        history = json.loads(state.read_text(encoding="utf-8")).get("log_history", [])
        losses = {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}
        scored = [
            (losses[step], path)
            for path in saved
            if (step := int(re.sub(r"\D", "", path.name) or 0)) in losses
        ]
        if scored:
            return min(scored, key=lambda pair: pair[0])[1]
    raise MissingError(
        "no checkpoint of this run has an evaluation loss",
        where=run.name,
        fix="name a checkpoint, or use :latest",
    )


def _loading(recipe: Recipe) -> dict[str, Any]:
    return {
        "dtype": recipe.model.dtype,
        "attention": recipe.model.attention,
        "quantization": recipe.model.quantization,
        "double_quantization": recipe.model.double_quantization,
        "trust_remote_code": recipe.model.trust_remote_code,
        "system": recipe.chat.system,
    }


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _is_result(folder: Path) -> bool:
    if _is_adapter(folder):
        return any((folder / name).is_file() for name in ADAPTER_FILES)
    return (folder / "config.json").is_file()


def _template_folder(trained: Path) -> Path | None:
    return trained if (trained / "tokenizer_config.json").is_file() else None
