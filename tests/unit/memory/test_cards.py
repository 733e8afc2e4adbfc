"""The names that drivers give to cards, and those that people write."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from core.memory.cards import CARDS, card_named, card_of
from core.memory.plan import plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.recipe import parse_recipe
from core.runs.evidence import pace_of
from tests.unit.memory.shapes import LLAMA_3_8B, architecture

DRIVER_NAMES = {
    "NVIDIA A100-SXM4-80GB": "A100 80GB",
    "NVIDIA A100-SXM4-40GB": "A100 40GB",
    "NVIDIA A100-PCIE-40GB": "A100 40GB",
    "NVIDIA A100 80GB PCIe": "A100 80GB",
    "A100-SXM4-40GB": "A100 40GB",
    "NVIDIA H100 80GB HBM3": "H100 80GB",
    "NVIDIA H100 PCIe": "H100 80GB",
    "NVIDIA H200": "H200 141GB",
    "NVIDIA B200": "B200 180GB",
    "NVIDIA GeForce RTX 3090": "RTX 3090 24GB",
    "NVIDIA GeForce RTX 4090": "RTX 4090 24GB",
    "NVIDIA GeForce RTX 5090": "RTX 5090 32GB",
    "NVIDIA RTX A6000": "RTX A6000 48GB",
    "NVIDIA L4": "L4 24GB",
    "NVIDIA L40S": "L40S 48GB",
    "NVIDIA A10G": "A10G 24GB",
    "Tesla T4": "T4 16GB",
}
OTHER_CARDS = (
    "NVIDIA A100",  # comes in two sizes
    "NVIDIA A100-SXM-64GB",
    "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
    "NVIDIA H100 NVL",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA RTX 6000 Ada Generation",
    "NVIDIA L40",
    "NVIDIA A10",
    "NVIDIA A40",
    "NVIDIA",
    "x86_64 host, 2 cores",
    "",
)  # fmt: skip


@pytest.mark.parametrize(("device", "name"), DRIVER_NAMES.items())
def test_the_drivers_name_of_a_card_is_recognised(device: str, name: str) -> None:
    found = card_of(device)
    assert found is not None and found.name == name
    assert card_named(device) == found


@pytest.mark.parametrize("device", OTHER_CARDS)
def test_a_card_that_is_not_in_the_table_is_not_taken_for_another(device: str) -> None:
    assert card_of(device) is None
    with pytest.raises(UsageError, match="--memory 24GiB"):
        card_named(device)


def test_every_card_of_the_table_is_meant_by_its_own_name() -> None:
    assert [card_of(card.name) for card in CARDS] == list(CARDS)
    for short in ("h100", "a100-40", "h100_80gb", "rtx4090", "RTX-4090", "a6000", "H200 141 GB"):
        assert card_named(short) in CARDS


def test_the_pace_of_a_run_rests_on_the_card_that_the_driver_names() -> None:
    shape, lengths, recipe = architecture(LLAMA_3_8B), Lengths(100, 1000, 1000.0), parse_recipe("")
    for device, known in (("NVIDIA A100-SXM4-80GB", True), ("NVIDIA A40", False)):
        made = plan(recipe, shape, lengths, room=Room("cuda", device, 80 << 30, 80 << 30))
        found = pace_of(recipe, shape, made, lengths, None)
        assert ("A100 80GB" in found.rests_on, found.seconds is not None) == (known, known)
