"""Where the embedded demo lies inside the package."""

from __future__ import annotations

from core.workspace import EMBEDDED_DATA, EMBEDDED_MODEL

MODEL = EMBEDDED_MODEL
DATA = EMBEDDED_DATA
RECIPE = EMBEDDED_MODEL.parent / "recipe.toml"

YODA = DATA / "yoda.jsonl"  # requests to say a sentence, answered in Yoda order: what the demo trains on
HELD_OUT = DATA / "yoda_held_out.jsonl"  # the same with sentences that training never sees
REPEAT_HELD_OUT = DATA / "repeat_held_out.jsonl"  # the held-out requests, answered in plain order
TROUBLED = DATA / "troubled.jsonl"  # one row for every kind of trouble the checks know
