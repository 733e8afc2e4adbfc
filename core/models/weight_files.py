"""Which weight files a model folder has, what they hold, and what is wrong with them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.errors import TunedeckError
from core.models.safetensors_header import Tensor, read_header

INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# Pickled files that hold no weights of the model.
_NOT_WEIGHTS = frozenset(
    {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
)
DTYPE_NAMES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
}


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weights of a folder. `dtypes` counts elements by dtype; `problem` says why they cannot be used."""

    files: tuple[str, ...]
    bytes: int
    parameters: int
    dtypes: dict[str, int]
    pickles: tuple[str, ...] = ()
    problem: str = ""

    @property
    def dtype(self) -> str:
        """The dtype most elements are stored in; empty without weights."""
        return max(self.dtypes, key=self.dtypes.__getitem__, default="")


def read_weights(folder: Path) -> WeightFiles:
    """Describe the weights of a folder from headers alone. A damaged or missing file is told in `problem`."""
    pickles = pickled_files(folder)
    try:
        names = shard_names(folder)
        tensors: dict[str, Tensor] = {}
        for name in names:
            tensors |= read_header(folder / name)
    except TunedeckError as error:
        return WeightFiles(
            (), 0, 0, {}, pickles, f"{error.what} ({error.where})" if error.where else error.what
        )
    if not names:
        return WeightFiles((), 0, 0, {}, pickles, _no_weights(pickles))
    dtypes: Counter[str] = Counter()
    for tensor in tensors.values():
        dtypes[DTYPE_NAMES.get(tensor.dtype, tensor.dtype.lower())] += tensor.elements
    return WeightFiles(
        names,
        sum((folder / name).stat().st_size for name in names),
        sum(tensor.elements for tensor in tensors.values()),
        dict(dtypes),
        pickles,
    )


def refuse_pickles(folder: Path, allow_pickle: str) -> None:
    """Raise TunedeckError if loading a folder would unpickle a file that the recipe does not name.

    Pickled files beside safetensors are never read, so they do not matter. An adapter's folder, or one
    without weights, is someone else's error.
    """
    pickles = pickled_files(folder)
    if not pickles or any(folder.glob("*.safetensors")) or pickles == (allow_pickle,):
        return
    other = next((name for name in pickles if name != allow_pickle), pickles[0])
    raise TunedeckError(
        f"the weights are pickled ({other}), and loading them runs code",
        where=str(folder),
        fix=f'if you trust its maker: model.allow_pickle = "{other}"; better, take a safetensors copy',
    )


def pickled_files(folder: Path) -> tuple[str, ...]:
    """Pickled files that may hold weights."""
    found = {path.name for pattern in _PICKLES for path in folder.glob(pattern)}
    return tuple(sorted(found - _NOT_WEIGHTS))


def shard_names(folder: Path) -> tuple[str, ...]:
    """The safetensors files of a folder, by its index if it has one.

    Raises TunedeckError if the index cannot be read, names a file that is not there, or names one outside
    the folder.
    """
    index = folder / INDEX
    if not index.is_file():
        return tuple(
            sorted(path.name for path in folder.glob("*.safetensors") if not path.name.startswith("adapter"))
        )
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise TunedeckError(f"the index of the weights cannot be read ({error})", where=INDEX) from None
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise TunedeckError(f"the index names a file outside the folder: {outside[0]}", where=INDEX)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise TunedeckError(
            f"{len(missing)} of {len(names)} weight files are missing, first {missing[0]}",
            where=INDEX,
            fix="finish the download",
        )
    return tuple(names)


def _no_weights(pickles: tuple[str, ...]) -> str:
    if pickles:
        return f"the weights are pickled ({pickles[0]}): loading them runs code; name the file in model.allow_pickle to accept that"
    return "there are no weights in this folder"
