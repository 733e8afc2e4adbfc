"""Smaller GGUF types, made of an f16 file by llama.cpp's own `llama-quantize` where it is installed, and checked afterwards."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import Any

from core.errors import MissingError, TunedeckError

PROGRAM = "llama-quantize"
# Bits per weight of the matrices. Types that mix (K_S, K_M) as llama.cpp's README measured them on Llama 3.1 8B.
BITS = {
    "q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0, "q2_k": 3.16, "q3_k_s": 3.64, "q3_k_m": 4.0,
    "q3_k_l": 4.3, "q4_k_s": 4.67, "q4_k_m": 4.89, "q5_k_s": 5.57, "q5_k_m": 5.7, "q6_k": 6.56, "iq4_nl": 4.68,
    "iq4_xs": 4.46,
}  # fmt: skip


def predicted_bytes(shapes: Iterable[tuple[int, ...]], out_type: str) -> int:
    """About what a quantised file takes: matrices at the type's bits per weight, vectors in float32."""
    return round(sum(prod(shape) * (BITS[out_type] / 8 if len(shape) > 1 else 4) for shape in shapes))


def find_program() -> str:
    """Path of llama-quantize. Raises MissingError if it is not on PATH."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise MissingError(
            f"{PROGRAM} is not on PATH",
            where="--type",
            fix=f"build or install llama.cpp, then try again; f32, f16, bf16 and q8_0 need no {PROGRAM}",
        )
    return found


def quantize(program: str, source: Path, target: Path, out_type: str, tell: Callable[[Any], None]) -> None:
    """Run llama-quantize on a GGUF file. Raises TunedeckError with its last words if it fails or writes no sound file."""
    tell(f"{PROGRAM} makes {out_type.upper()}")
    ran = subprocess.run(
        [program, str(source), str(target), out_type.upper()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if ran.returncode != 0:
        words = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing").splitlines()[-1]
        raise TunedeckError(
            f"{PROGRAM} ended with {ran.returncode}: {words}",
            where=program,
            fix="see what it says, or choose another type",
        )
    problem = difference(source, target)
    if problem:
        raise TunedeckError(
            f"the file of {PROGRAM} is not sound: {problem}",
            where=program,
            fix="use a llama.cpp of today, or choose another type",
        )


def difference(source: Path, target: Path) -> str:
    """What a quantised file lacks of the one it was made of: tensors, their shapes, smaller matrices; empty if nothing."""
    from gguf import GGUFReader

    if not target.is_file():
        return "it was not written"
    try:
        before = {tensor.name: tensor for tensor in GGUFReader(source).tensors}
        after = {tensor.name: tensor for tensor in GGUFReader(target).tensors}
    except (ValueError, KeyError, IndexError) as error:
        return f"it cannot be read ({error})"
    for name, tensor in before.items():
        if name not in after:
            return f"{name} is missing"
        if list(after[name].shape) != list(tensor.shape):
            return f"{name} has another shape"
    smaller = sum(int(tensor.n_bytes) for tensor in after.values())
    if smaller >= sum(int(tensor.n_bytes) for tensor in before.values()):
        return "its weights are not smaller"
    return ""
