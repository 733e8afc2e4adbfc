"""Reading a checkpoint back before it counts: every file of weights and of state must load."""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import TunedeckError


def verify_checkpoint(folder: Path) -> None:
    """Raise TunedeckError naming the file that is missing or does not load.

    Weights: every tensor of every safetensors file is read. Optimizer, scheduler and random state are
    unpickled with torch's safe loader. Sharded state (FSDP, DeepSpeed) must have its index.
    """
    weights = sorted(folder.glob("*.safetensors"))
    sharded = [entry for entry in folder.iterdir() if entry.is_dir()]
    if not weights and not sharded:
        raise TunedeckError("no weights were written", where=str(folder))
    for file in weights:
        _read("weights", file, _read_tensors)
    for pattern in ("optimizer.*", "scheduler.pt", "rng_state*.pth"):  # FSDP calls its own optimizer.bin
        files = sorted(folder.glob(pattern))
        for file in files:
            _read("state", file, _read_pickle)
        if not files and not sharded:
            raise TunedeckError(f"{pattern} was not written", where=str(folder))
    _read("state", folder / "trainer_state.json", lambda file: json.loads(file.read_text(encoding="utf-8")))


def _read(kind: str, file: Path, reader: object) -> None:
    try:
        reader(file)  # type: ignore[operator]
    except Exception as error:  # whatever a library raises for a damaged file
        raise TunedeckError(f"the {kind} cannot be read back: {error}", where=str(file)) from error


def _read_tensors(file: Path) -> None:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118  (not a dict)
            tensors.get_tensor(key)


def _read_pickle(file: Path) -> None:
    import torch
    from transformers.trainer_pt_utils import safe_globals

    with safe_globals():
        torch.load(file, map_location="cpu", weights_only=True, mmap=file.suffix != ".pth")
