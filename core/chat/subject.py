"""Who is asked: a base model, a run or one of its checkpoints, an adapter folder, a merged model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import MissingError, UsageError
from core.models.sources import is_hub_id, locate
from core.recipe import Recipe
from core.runs.checkpoints import checkpoints
from core.runs.folder import Run, is_run_folder, open_run
from core.workspace import Workspace

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SWITCHABLE = frozenset({"LORA", "IA3"})  # kinds of which PEFT keeps several and switches between them
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
    allow_pickle: str = ""
    system: str = ""
    notes: tuple[str, ...] = ()


def subject(named: str, workspace: Workspace) -> Subject:
    """Find what a person named: a run (`ID`, `last`, `ID:checkpoint-40`, `ID:latest`, `ID:best`), a folder
    (run, checkpoint, adapter, model), "demo", or a model that `tunedeck models get` has fetched.

    Raises UsageError or MissingError with what to do next.
    """
    if named == "demo" or ("/" in named and is_hub_id(named) and not _folder(named, workspace)):
        return Subject(label=named, model_folder=locate(named, workspace=workspace).folder)
    if folder := _folder(named, workspace):
        return _of_folder(folder, workspace)
    if Path(named).expanduser().is_file():
        raise UsageError("a file, not a model", where=named, fix="name the folder that holds it")
    name, _, part = named.partition(":")
    return of_run(open_run(workspace, name), workspace, part)


def of_run(run: Run, workspace: Workspace, part: str = "") -> Subject:
    """The result of a run: its adapter or model, else its latest checkpoint; `part` names another."""
    recipe = run.read_recipe()
    trained = _part(run, part)
    unfinished = trained.parent != run.folder and not part
    loading: dict[str, Any] = {
        "label": run.id if trained.parent == run.folder else f"{run.id}:{trained.name}",
        "run": run.folder,
        "template_folder": _template_folder(trained),
        "notes": (f"the run has saved no final result yet; this is {trained.name}",) if unfinished else (),
        **_loading(recipe),
    }
    base = _base_folder(run, recipe, workspace)
    if _is_adapter(trained):
        return Subject(model_folder=base, adapter=trained, **loading)
    return Subject(model_folder=trained, base_folder=base, **loading)


def _of_adapter(folder: Path, workspace: Workspace) -> Subject:
    """A loose adapter folder. Its base is the one its `adapter_config.json` names."""
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


def base_of(subject: Subject) -> Subject:
    """The model a subject was trained from, with the training's tokenizer and template."""
    if subject.adapter is None and subject.base_folder is None:
        raise UsageError(
            "this is a base model itself", where=subject.label, fix="name another model to compare"
        )
    return replace(
        subject,
        label="base",
        model_folder=subject.base_folder or subject.model_folder,
        adapter=None,
        base_folder=None,
    )


def shares_worker(loaded: Subject, other: Subject) -> bool:
    """Whether an adapter can join a process: the same base, loaded in the same way, and the same tokenizer and template.

    Prompt and prefix tuning put tokens before the prompt and cannot stand beside other adapters.
    """
    if other.adapter is None or loaded.base_folder is not None:
        return False
    if _load_key(loaded) != _load_key(other):
        return False
    theirs, ours = (s.template_folder or s.model_folder for s in (other, loaded))
    if any(_bytes(theirs / name) != _bytes(ours / name) for name in TOKENIZER_FILES):
        return False
    kinds = {
        str(read_adapter_config(s.adapter).get("peft_type", "")).upper()
        for s in (loaded, other)
        if s.adapter is not None
    }
    return len(kinds) == 1 and kinds <= SWITCHABLE


def _load_key(subject: Subject) -> tuple[Any, ...]:
    return (
        subject.model_folder.resolve(),
        subject.dtype,
        subject.attention,
        subject.quantization,
        subject.double_quantization,
        subject.trust_remote_code,
        subject.allow_pickle,
    )


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _folder(named: str, workspace: Workspace) -> Path | None:
    """The existing folder that a text names, in the workspace or from here."""
    try:
        path = Path(named).expanduser()
        found = next((place for place in (workspace.root / path, path) if place.is_dir()), None)
    except (OSError, RuntimeError):  # too long for a path, or an unknown user
        return None
    return found.resolve() if found is not None else None


def _of_folder(folder: Path, workspace: Workspace) -> Subject:
    run = next((parent for parent in (folder, *folder.parents[:2]) if is_run_folder(parent)), None)
    if run is not None:
        return of_run(Run(run), workspace, "" if folder == run else folder.name)
    if (folder / "adapter_config.json").is_file():
        return _of_adapter(folder, workspace)
    if (folder / "config.json").is_file():
        return Subject(label=folder.name, model_folder=folder)
    raise UsageError(
        "neither a run, an adapter nor a model",
        where=str(folder),
        fix="name a folder with recipe.toml, adapter_config.json or config.json",
    )


def _base_folder(run: Run, recipe: Recipe, workspace: Workspace) -> Path:
    """The very folder the run was trained from if it is still there, else what the recipe names now."""
    noted = run.read_json(run.identity).get("model", {}).get("folder", "")
    if noted and (Path(noted) / "config.json").is_file():
        return Path(noted)
    return locate(recipe.model.source, recipe.model.revision, workspace).folder


def _part(run: Run, part: str) -> Path:
    """The folder of a run that holds trained weights."""
    saved = checkpoints(run)
    if part == "best":
        scored = [checkpoint for checkpoint in saved if checkpoint.eval_loss is not None]
        if not scored:
            raise MissingError(
                "no checkpoint of this run has an evaluation loss",
                where=run.id,
                fix=f"name a checkpoint, or use {run.id}:latest",
            )
        return min(scored, key=lambda checkpoint: checkpoint.eval_loss or 0.0).path
    if part in ("", "latest"):
        whole = [folder for folder in (run.adapter, run.model) if _is_result(folder)]
        if whole and not part:
            return whole[0]
        if saved:
            return saved[-1].path
        if whole:
            return whole[0]
        raise MissingError(
            "the run has saved nothing yet",
            where=run.id,
            fix=f"ask it for a checkpoint, or wait: tunedeck watch {run.id}",
        )
    folder = run.folder / part if part in ("adapter", "model") else run.checkpoints / part
    if not _is_result(folder):
        have = ", ".join(checkpoint.path.name for checkpoint in saved) or "none yet"
        raise MissingError(f"no {part} in this run", where=run.id, fix=f"checkpoints here: {have}")
    return folder


def _loading(recipe: Recipe) -> dict[str, Any]:
    return {
        "dtype": recipe.model.dtype,
        "attention": recipe.model.attention,
        "quantization": recipe.model.quantization,
        "double_quantization": recipe.model.double_quantization,
        "trust_remote_code": recipe.model.trust_remote_code,
        "allow_pickle": recipe.model.allow_pickle,
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
