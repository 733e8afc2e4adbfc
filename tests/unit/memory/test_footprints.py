"""Bytes of loaded weights against what `get_memory_footprint()` printed for real models (buffers left out)."""

from __future__ import annotations

import pytest

from core.memory.plan import plan
from core.memory.verdict import Room
from core.models.architecture_of import read_architecture
from core.recipe import parse_recipe
from tests.unit.models.test_targets import OPT_350M, PHI_3


@pytest.mark.parametrize(
    ("config", "dtype", "quantization", "expected"),
    [
        (OPT_350M, "float32", "none", 1_324_785_664),
        (OPT_350M, "float16", "none", 662_392_832),
        (OPT_350M, "float16", "int8", 359_354_368),
        (OPT_350M, "float32", "int8", 415_670_272),
        (OPT_350M, "float32", "nf4", 264_151_040),
        (OPT_350M, "float16", "nf4", 207_835_136),
        (PHI_3, "bfloat16", "nf4", 2_206_341_120),
    ],
)
def test_weights_in_memory(config: dict, dtype: str, quantization: str, expected: int) -> None:
    recipe = parse_recipe("", [f"model.dtype={dtype}", f"model.quantization={quantization}"])
    made = plan(recipe, read_architecture(config), room=Room())
    [weights] = [figure.bytes for figure in made.static if figure.category == "weights"]
    assert weights == expected
