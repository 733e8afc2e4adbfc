"""Formulas: what a model of each family is made of, from its config alone.

A formula takes the completed config (`core.models.known.completed`) and gives every part with weights. It
is exact or it is not here: families without a formula are counted on the meta device (`core.models.meta`).
Shapes are those of transformers' modelling code; a test builds every family on the meta device and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.models.families import deepseek, gpt, llama, mixtures, parallel
from core.models.parts import Part

Formula = Callable[[dict[str, Any]], list[Part]]

FORMULAS: dict[str, Formula] = {
    **llama.FORMULAS,
    **gpt.FORMULAS,
    **parallel.FORMULAS,
    **mixtures.FORMULAS,
    **deepseek.FORMULAS,
}
