"""What a safetensors file says it holds, read from its first bytes without loading a tensor.

Format: eight bytes with the header's length (little endian), the header as JSON, then the data. The checks
here are those a lying or cut file fails; `safetensors` itself makes the same ones when it loads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from core.errors import TunedeckError

LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library

DTYPE_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8,
    "U16": 16, "U32": 32, "U64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header describes it."""

    dtype: str  # "BF16"
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


def read_header(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file by name. Raises TunedeckError for a cut file or a header that cannot be true."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(LARGEST_HEADER, size - 8):
            raise _broken(path, f"its header claims {length:,} bytes and the file has {size:,}")
        text = file.read(length)
    return parse_header(text, data_bytes=size - 8 - length, path=path)


def parse_header(text: bytes, *, data_bytes: int, path: Path) -> dict[str, Tensor]:
    """As `read_header`, from the header's own bytes and the number of bytes that follow it."""
    try:
        header: Any = json.loads(text)
    except ValueError as error:
        raise _broken(path, f"its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    tensors, spans = {}, []
    for name, entry in header.items():
        tensor, start, end = _tensor(path, name, entry)
        tensors[name] = tensor
        spans.append((start, end, name))
    _check_spans(path, sorted(spans), data_bytes)
    return tensors


def _tensor(path: Path, name: str, entry: Any) -> tuple[Tensor, int, int]:
    try:
        dtype, shape = entry["dtype"], tuple(int(side) for side in entry["shape"])
        start, end = (int(offset) for offset in entry["data_offsets"])
        expected = prod(shape) * DTYPE_BITS[dtype] // 8
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"the header's entry for {name} cannot be read ({error})") from None
    if min(shape, default=0) < 0 or start < 0 or end - start != expected:
        raise _broken(path, f"{name} has shape {list(shape)} of {dtype}, which is not {end - start:,} bytes")
    return Tensor(dtype, shape, expected), start, end


def _check_spans(path: Path, spans: list[tuple[int, int, str]], data_bytes: int) -> None:
    reached = 0
    for start, end, name in spans:
        if start != reached:
            raise _broken(path, f"{name} does not begin where the tensor before it ends")
        reached = end
    if reached > data_bytes:
        raise _broken(
            path, f"{reached:,} bytes of tensors are announced, {data_bytes:,} are there: it is cut"
        )
    if reached < data_bytes:
        raise _broken(path, f"{data_bytes - reached:,} bytes follow the last tensor")


def _broken(path: Path, what: str) -> TunedeckError:
    return TunedeckError(
        f"this safetensors file is damaged: {what}", where=str(path), fix="download the file again"
    )
