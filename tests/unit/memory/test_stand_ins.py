"""The stand-ins of a dry run hold the bytes that CUDA would, and go when it ends."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("bits", "doubled", "weight", "scales"),
    [
        (4, False, 64 * 256 // 2, 64 * 256 // 64 * 4),
        (4, True, 64 * 256 // 2, 256 + 256 // 256 * 4),
        (8, False, 64 * 256, 64 * 4),
    ],
)
def test_a_quantised_linear_holds_packed_weight_and_scales(
    bits: int, doubled: bool, weight: int, scales: int
) -> None:
    import torch

    from core.memory.stand_ins import Quantised

    made = Quantised(torch.nn.Linear(256, 64, bias=False, device="meta"), bits, doubled)
    assert made.weight.numel() == weight
    assert dict(made.named_buffers())["scales"].numel() == scales


def test_dropout_saves_one_byte_per_element_and_only_while_it_is_patched() -> None:
    import torch

    from core.memory.stand_ins import patched

    before = torch.nn.functional.dropout
    saved: list[torch.Tensor] = []

    def keep(one: torch.Tensor) -> torch.Tensor:
        saved.append(one)
        return one

    with patched("cuda"), torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        out = torch.nn.functional.dropout(torch.ones(10, 7, requires_grad=True), 0.1, True)
    assert out.shape == (10, 7)
    assert [one.nbytes for one in saved] == [70]
    assert torch.nn.functional.dropout is before
