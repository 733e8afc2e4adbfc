"""Weights read and written one tensor at a time, so that a model larger than the memory can be worked on.

Files are read and written plainly, not mapped: mapped pages would count as this process's memory.
Format: see `core.models.safetensors_header`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from core.errors import TunedeckError
from core.models.safetensors_header import read_header
from core.models.weight_files import INDEX, shard_names

SHARD_BYTES = 5_000_000_000
ONE_FILE = "model.safetensors"
_TORCH = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
_NAMES = {torch_name: name for name, torch_name in _TORCH.items()}
_SIZES = {"float64": 8, "float32": 4, "int64": 8, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: file, first byte, dtype as torch names it, shape."""

    file: Path
    start: int
    dtype: str
    shape: tuple[int, ...]
    bytes: int


class Checkpoint:
    """The tensors of a model folder, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Reads the headers. Raises TunedeckError for a damaged file, a missing one, or no weights at all."""
        self.folder = folder
        self.places: dict[str, Place] = {}
        for name in shard_names(folder):
            self._note(folder / name)
        if not self.places:
            raise TunedeckError("no safetensors weights", where=str(folder), fix="convert the weights first")

    @property
    def bytes(self) -> int:
        return sum(place.bytes for place in self.places.values())

    def read(self, name: str) -> Any:
        """One tensor. Raises TunedeckError if the file ends before it does."""
        import torch

        place = self.places[name]
        data = bytearray(place.bytes)
        with place.file.open("rb", buffering=0) as file:
            file.seek(place.start)
            view, got = memoryview(data), 0
            while got < place.bytes and (count := file.readinto(view[got:])):
                got += count
        if got < place.bytes:
            raise TunedeckError(
                f"{name} is cut off", where=str(place.file), fix="fetch or save the model again"
            )
        dtype = getattr(torch, place.dtype)
        if not data:
            return torch.empty(place.shape, dtype=dtype)
        return torch.frombuffer(data, dtype=dtype).reshape(place.shape)

    def _note(self, file: Path) -> None:
        read_header(file)  # the checks of a cut or lying file
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] not in _TORCH:
                raise TunedeckError(
                    f"{name} is stored as {entry['dtype']}", where=str(file), fix="save it in 16 bit first"
                )
            start, end = entry["data_offsets"]
            self.places[name] = Place(
                file, 8 + length + start, _TORCH[entry["dtype"]], tuple(entry["shape"]), end - start
            )


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor that will be written. `dtype` as torch names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * _SIZES.get(self.dtype, 1)


def write_checkpoint(
    folder: Path, planned: Sequence[Planned], tensors: Callable[[str], Any], shard_bytes: int = SHARD_BYTES
) -> None:
    """Write safetensors files and their index; `tensors(name)` gives each tensor when its turn comes.

    Files hold at most `shard_bytes`, unless one tensor alone has more. Raises OSError.
    """
    shards = list(_shards(planned, shard_bytes))
    names = (
        [ONE_FILE]
        if len(shards) == 1
        else [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    )
    for name, shard in zip(names, shards, strict=True):
        with (folder / name).open("wb") as file:
            _write_header(file, shard)
            for tensor in shard:
                _write_tensor(file, tensor, tensors(tensor.name))
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(tensor.bytes for tensor in planned)},
            "weight_map": {
                tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard
            },
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(planned: Sequence[Planned], shard_bytes: int) -> Iterator[list[Planned]]:
    shard: list[Planned] = []
    size = 0
    for tensor in planned:
        if shard and size + tensor.bytes > shard_bytes:
            yield shard
            shard, size = [], 0
        shard.append(tensor)
        size += tensor.bytes
    if shard:
        yield shard


def _write_header(file: IO[bytes], shard: Sequence[Planned]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in shard:
        header[tensor.name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, start + tensor.bytes],
        }
        start += tensor.bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    file.write(len(text).to_bytes(8, "little") + text)


def _write_tensor(file: IO[bytes], planned: Planned, tensor: Any) -> None:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if (dtype, tuple(tensor.shape)) != (planned.dtype, planned.shape):
        raise TunedeckError(
            f"{planned.name} is {dtype} {tuple(tensor.shape)}, planned as {planned.dtype} {planned.shape}",
            where="merge",
        )
    if tensor.numel():
        file.write(memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()))
