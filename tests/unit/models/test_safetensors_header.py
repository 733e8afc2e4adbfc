"""Headers of safetensors files: the same reading as the library's, and no damaged file passes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import TunedeckError
from core.models.safetensors_header import parse_header, read_header
from tests.unit.models.model_folders import safetensors_bytes


def test_the_same_tensors_as_the_library_writes(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        "a": torch.zeros(3, 4, dtype=torch.bfloat16),
        "b": torch.zeros(5, dtype=torch.float32),
        "c": torch.zeros((), dtype=torch.int64),
        "d": torch.zeros(0, 7, dtype=torch.float16),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_header(tmp_path / "x.safetensors")
    assert {name: (one.dtype, one.shape, one.bytes) for name, one in found.items()} == {
        "a": ("BF16", (3, 4), 24),
        "b": ("F32", (5,), 20),
        "c": ("I64", (), 8),
        "d": ("F16", (0, 7), 0),
    }


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "it is cut"),
        (lambda data: data[:20], "claims"),
        (lambda data: data[:4], "claims"),
        (lambda data: data + b"x", "follow the last tensor"),
        (lambda data: (10**15).to_bytes(8, "little") + data[8:], "claims"),
        (lambda data: data.replace(b'"F32"', b'"F16"'), "not 32 bytes"),
        (lambda data: data.replace(b'"F32"', b'"Q99"'), "cannot be read"),
        (lambda data: data.replace(b"[2, 4]", b"[2, 5]"), "not 32 bytes"),
        (lambda data: data.replace(b"[2, 4]", b"[-2,4]"), "not 32 bytes"),
        (lambda data: data[:8] + data[8:].replace(b"{", b"[", 1), "not JSON"),
        (lambda data: data.replace(b"[32, 36]", b"[33, 37]"), "does not begin"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, damage, words: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(safetensors_bytes({"a": ("F32", [2, 4], 32), "b": ("I32", [1], 4)})))
    with pytest.raises(TunedeckError, match=words) as told:
        read_header(path)
    assert told.value.fix == "download the file again"


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 1000))
def test_no_bytes_raise_anything_else(text: bytes, data_bytes: int) -> None:
    with contextlib.suppress(TunedeckError):
        parse_header(text, data_bytes=data_bytes, path=Path("x"))
