"""Whole models made into one: weighted mean, task arithmetic, SLERP, TIES, DARE, by mergekit where it is installed.

mergekit is a program of its own (its licence is the LGPL), called with a configuration that stays beside the result. What it
wrote is read back and checked here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.chat.load import load, load_tokenizer
from core.chat.subject import Subject
from core.errors import MissingError, TunedeckError, UsageError
from core.export.adapter import copy_tokenizer
from core.export.aside import gib, made_aside, require_memory
from core.export.compare import Comparison, compared, logits_of, release, sample_prompts
from core.export.hollow import hollow, streamed_logits
from core.export.shards import Checkpoint

PROGRAM = "mergekit-yaml"
# What each method really computes. A delta is a model's weights less those of the base.
METHODS = {
    "linear": "the weighted mean of the weights; the weights are divided by their sum",
    "task_arithmetic": "the base and the weighted sum of the deltas",
    "slerp": "two models, on the arc between their weights; the share of the second is its weight in the sum",
    "ties": "deltas cut to the largest entries, signs put to the vote, then their weighted mean on the base",
    "dare_linear": "entries of the deltas dropped at random and the rest scaled up, then as task_arithmetic",
    "dare_ties": "entries dropped at random and the rest scaled up, signs put to the vote, then summed on the base",
}
NEEDS_BASE = frozenset(METHODS) - {"linear", "slerp"}
NEEDS_DENSITY = frozenset({"ties", "dare_linear", "dare_ties"})
MODELS_IN_MEMORY = 4  # copies of the largest weight per model: as stored, in float32, its delta, the result


@dataclass(frozen=True, slots=True)
class Blended:
    """The new model folder, and how far its answers are from those of every model in it."""

    folder: Path
    bytes: int
    method: str
    meaning: str
    checks: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def blend(
    subjects: Sequence[Subject],
    weights: Sequence[float],
    out: Path,
    *,
    method: str = "linear",
    base: Subject | None = None,
    density: float = 0.5,
    seed: int = 0,
    progress: Callable[[Any], None] = lambda value: None,
) -> Blended:
    """Blend whole models with `weights` and save the result as a model folder, with the first one's tokenizer.

    `density` is the share of entries that ties and dare keep. Raises UsageError for models of different shapes or
    tokenizers or a method that cannot take them, MissingError without mergekit, TunedeckError if what it wrote is not sound;
    nothing is left at `out` then.
    """
    _require_alike(subjects, weights, method, base)
    parts = [Checkpoint(subject.model_folder) for subject in subjects]
    program = find_program()
    progress(f"the blended model will take about {gib(parts[0].bytes)}")
    with made_aside(out, parts[0].bytes) as aside:
        largest = max(place.bytes for place in parts[0].places.values())
        require_memory(MODELS_IN_MEMORY * (len(parts) + 1) * largest, "blending tensor by tensor")
        settings = configuration(subjects, weights, method, base, density)
        progress(f"{PROGRAM} blends by {method}")
        _run(program, settings, aside, seed)
        made = Checkpoint(aside)
        _require_sound(made, parts[0])
        copy_tokenizer(subjects[0], aside)
        progress("comparing with every model in it")
        checks = _checks(subjects, aside)
    return Blended(out, made.bytes, method, METHODS[method], tuple(checks))


def configuration(
    subjects: Sequence[Subject], weights: Sequence[float], method: str, base: Subject | None, density: float
) -> dict[str, Any]:
    """mergekit's configuration: arithmetic in float32, saved in the first model's dtype."""
    stored = json.loads((subjects[0].model_folder / "config.json").read_text(encoding="utf-8"))
    dtype = stored.get("dtype") or stored.get("torch_dtype") or "bfloat16"
    settings: dict[str, Any] = {"merge_method": method, "dtype": "float32", "out_dtype": dtype}
    folders = [str(subject.model_folder.resolve()) for subject in subjects]
    if method == "slerp":
        share = weights[1] / (weights[0] + weights[1])
        settings |= {"base_model": folders[0], "models": [{"model": folder} for folder in folders]}
        return {**settings, "parameters": {"t": share}}
    parameters = {"density": density} if method in NEEDS_DENSITY else {}
    settings["models"] = [
        {"model": folder, "parameters": {"weight": weight, **parameters}}
        for folder, weight in zip(folders, weights, strict=True)
    ]
    if base is not None and method in NEEDS_BASE:
        settings["base_model"] = str(base.model_folder.resolve())
    return settings


def find_program() -> str:
    """Path of mergekit's command: beside this Python, else on PATH. Raises MissingError if it is in neither place."""
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise MissingError(
            "mergekit is not installed",
            where="blend",
            fix="pip install mergekit (0.1.5 or later), then try again; adapters are combined without it: tunedeck combine",
        )
    return found


def _require_alike(
    subjects: Sequence[Subject], weights: Sequence[float], method: str, base: Subject | None
) -> None:
    if method not in METHODS:
        raise UsageError(
            f"there is no method {method}", where="--method", fix=f"use one of {', '.join(METHODS)}"
        )
    if len(subjects) < 2 or (method == "slerp" and len(subjects) != 2):
        wanted = "two models" if method == "slerp" else "two models or more"
        raise UsageError(f"{method} takes {wanted}, not {len(subjects)}", where="blend", fix=f"name {wanted}")
    if method == "slerp" and (min(weights) < 0 or sum(weights) <= 0):
        raise UsageError("slerp needs weights above zero", where="blend", fix="write NAME=0.5 for both")
    if method in NEEDS_BASE and base is None:
        raise UsageError(f"{method} needs the base they began with", where="--base", fix="add --base MODEL")
    everyone = [*subjects, *([base] if base is not None else [])]
    for subject in everyone:
        if subject.adapter is not None:
            raise UsageError(
                "this is an adapter, not a whole model",
                where=subject.label,
                fix=f"merge it first: tunedeck merge {subject.label}",
            )
    first = everyone[0]
    shapes, words = _shapes(first), _words(first)
    for other in everyone[1:]:
        theirs = _shapes(other)
        different = next((key for key in shapes if theirs.get(key) != shapes[key]), "") or next(
            (key for key in theirs if key not in shapes), ""
        )
        if different:
            raise UsageError(
                f"it has other weights than {first.label}: {different}",
                where=other.label,
                fix="blend models of one base",
            )
        if _words(other) != words:
            raise UsageError(
                f"it has another tokenizer than {first.label}",
                where=other.label,
                fix="blend models of one base",
            )


def _shapes(subject: Subject) -> dict[str, tuple[int, ...]]:
    return {name: place.shape for name, place in Checkpoint(subject.model_folder).places.items()}


def _words(subject: Subject) -> dict[str, int]:
    """The vocabulary with its ids."""
    found: dict[str, int] = load_tokenizer(subject).get_vocab()
    return found


def _run(program: str, settings: dict[str, Any], out: Path, seed: int) -> None:
    """Run mergekit. Raises TunedeckError with its last words if it fails."""
    file = out.with_name(f"{out.name}.json")  # JSON is YAML
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    try:
        ran = subprocess.run(
            [program, str(file), str(out), "--random-seed", str(seed), "--no-copy-tokenizer", "--quiet"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    finally:
        file.unlink(missing_ok=True)
    if ran.returncode != 0:
        words = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing").splitlines()[-1]
        raise TunedeckError(
            f"mergekit ended with {ran.returncode}: {words}", where=program, fix="see what it says"
        )


def _require_sound(made: Checkpoint, like: Checkpoint) -> None:
    """Raise TunedeckError if a weight is missing, has another shape or is not finite."""
    import torch

    for name, place in like.places.items():
        written = made.places.get(name)
        if written is None or written.shape != place.shape:
            raise TunedeckError(f"mergekit wrote no sound {name}", where="blend", fix="try another method")
        values = made.read(name)
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise TunedeckError(
                f"{name} is not finite", where="blend", fix="try other weights or another method"
            )


def _checks(subjects: Sequence[Subject], folder: Path) -> list[Comparison]:
    """The blended model's logits beside those of every model in it, layer by layer."""
    tokenizer = load_tokenizer(subjects[0])
    prompts = sample_prompts(subjects[0], tokenizer)
    made = replace(subjects[0], model_folder=folder, base_folder=None, template_folder=folder)
    ours = _logits(made, tokenizer, prompts)
    return [
        compared(f"blended against {subject.label}", ours, _logits(subject, tokenizer, prompts))
        for subject in subjects
    ]


def _logits(subject: Subject, tokenizer: Any, prompts: list[list[int]]) -> list[Any]:
    empty = hollow(subject, tokenizer, Checkpoint(subject.model_folder))
    if empty is not None:
        return streamed_logits(empty, prompts)
    loaded = load(subject, quantized=False)
    found = logits_of(loaded.model, prompts)
    release(loaded)
    return found
