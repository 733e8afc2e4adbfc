"""What fake tensors on a CPU would get wrong about a GPU, put right by name, for the life of a dry run.

Everything here is global to the process, so a dry run has a process of its own (the workshop). Each entry is
one correction: what the CPU does, what CUDA does, and the stand-in that holds the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


class DroppedOut(torch.autograd.Function):
    """Dropout as on CUDA: a new tensor and a mask of one byte per element; the CPU keeps a float mask."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(torch.empty_like(x, dtype=torch.bool))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (_mask,) = ctx.saved_tensors
        return torch.empty_like(gradient)


class Dequantised(torch.autograd.Function):
    """A linear on a 4-bit weight: the whole weight in 16 bit while it multiplies, in both directions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.save_for_backward(packed)
        ctx.shape = shape
        return torch.nn.functional.linear(x, torch.empty(shape, dtype=x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (_packed,) = ctx.saved_tensors
        return gradient @ torch.empty(ctx.shape, dtype=gradient.dtype), None, None


class EightBit(torch.autograd.Function):
    """A linear on an int8 weight: its 16-bit input is saved, and an int8 copy of it made on the way."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        ctx.save_for_backward(x, packed)
        ctx.shape = shape
        torch.empty(x.shape, dtype=torch.int8)
        return x.new_empty(*x.shape[:-1], shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient @ torch.empty(ctx.shape, dtype=gradient.dtype), None, None


class Quantised(torch.nn.Linear):
    """In the place of a bitsandbytes linear: packed weight, scales, and the arithmetic of `kernel`."""

    def __init__(self, linear: torch.nn.Linear, bits: int, doubled: bool) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        count = linear.weight.numel()
        self.weight = torch.nn.Parameter(
            torch.empty(count * bits // 8, dtype=torch.uint8, device="meta"), False
        )
        scales = self.out_features * 4 if bits == 8 else count // 64 * 4
        if bits == 4 and doubled:
            scales = count // 64 + count // (64 * 256) * 4
        self.register_buffer("scales", torch.empty(scales, dtype=torch.uint8, device="meta"))
        self.bias = linear.bias
        self.kernel = EightBit if bits == 8 else Dequantised

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        out: Any = self.kernel.apply(x.to(dtype), self.weight, (self.out_features, self.in_features))
        # PEFT clones what a quantised linear returns.
        return out.clone() if self.bias is None else out + self.bias.to(out.dtype)


def _dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if not training or p == 0.0:
        return x
    out: torch.Tensor = DroppedOut.apply(x)
    return out


_layer_norm = torch.nn.functional.layer_norm


def _layer_norm_fp32(
    x: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """CUDA's autocast runs layer_norm in fp32 and returns fp32; the CPU's leaves the type alone."""
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            parts = (None if part is None else part.float() for part in (weight, bias))
            return _layer_norm(x.float(), shape, *parts, eps)
    return _layer_norm(x, shape, weight, bias, eps)


def _nothing(*_: Any, **__: Any) -> None:
    """A Triton kernel writes where it is told and allocates nothing."""


def _addmm(acc: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """cuBLAS adds into fp32 from 16-bit inputs directly; the CPU makes fp32 copies of both."""


class UsedTile:
    """In the place of TRL's loss: its tile of logits is as wide as the vocabulary fills it.

    The buffer is made 32,768 wide for any vocabulary. A host gives memory to the part that is written alone.
    """

    @staticmethod
    def apply(
        hidden: torch.Tensor, weight: torch.Tensor, bias: Any, targets: Any, temperature: float, chunk_size: int,
        *rest: Any,
    ) -> Any:  # fmt: skip
        from trl.kernels import ChunkedLogProbFunction

        width = min(chunk_size, weight.shape[0])
        return ChunkedLogProbFunction.apply(hidden, weight, bias, targets, temperature, width, *rest)


@contextlib.contextmanager
def patched(device: str) -> Iterator[None]:
    """The corrections in force. For device "cpu" what fake tensors need and `UsedTile`; for "cuda" those of CUDA."""
    import transformers.masking_utils as masking
    import trl.kernels.chunked_logprob as head
    import trl.trainer.utils as fused

    # Fake inputs look like tracing, which asks for a mask that a real equal-length batch does not get.
    changes: list[tuple[Any, str, Any]] = [(masking, "find_packed_sequence_indices", lambda *_, **__: None)]
    if device == "cuda":
        changes += [
            (torch.nn.functional, "dropout", _dropout),
            (torch.nn.functional, "layer_norm", _layer_norm_fp32),
            (head, "_forward_tile", _nothing),
            (head, "_backward_tile", _nothing),
            (head, "_addmm_fp32", _addmm),
        ]
    else:
        changes.append((fused, "_ChunkedLogProbFunction", UsedTile))
    before = [(place, name, getattr(place, name)) for place, name, _ in changes]
    try:
        for place, name, value in changes:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
