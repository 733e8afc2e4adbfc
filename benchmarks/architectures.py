"""Which model families are counted by formula, and how many agree with the model that transformers builds.

    python benchmarks/architectures.py [--json FILE]

Every decoder-only family of transformers' causal-LM mapping is built from its default config on the meta device.
Families with a formula are then compared in everything the card says: parameters by group, every linear layer by name,
shape and bias, every other module, layer kinds, heads, context; and again for every config key changed one at a time.
Families without a formula are counted on the built model itself; their sum is compared with the model's own.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import transformers

from core.errors import TunedeckError
from core.models.architecture_of import by_formula
from core.models.families import FORMULAS
from core.models.known import completed, decoder_types
from core.models.meta import count
from core.workspace import write_json_atomically
from tests.unit.models.every_family import UNBUILDABLE, default_config, varied_configs


def facts(architecture: Any) -> dict[str, Any]:
    values = {field.name: getattr(architecture, field.name) for field in dataclasses.fields(architecture)}
    values["linears"], values["modules"] = set(values["linears"]), set(values["modules"])
    values.pop("counted_by")
    return values


def agrees(config: dict[str, Any]) -> bool | None:
    """Formula against the built model; None where transformers refuses the config or no formula applies."""
    try:
        built = count(config)
    except TunedeckError:
        return None
    formula = by_formula(completed(config))
    return None if formula is None else facts(formula) == facts(built)


def sums_up(config: dict[str, Any]) -> bool:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))
    return count(config).parameters.total == sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    rows: dict[str, str] = {}
    varied: Counter[str] = Counter()
    for family in decoder_types():
        config = default_config(family)
        if family in UNBUILDABLE:
            rows[family] = f"cannot be built: {UNBUILDABLE[family]}"
        elif family in FORMULAS:
            rows[family] = "formula, agrees" if agrees(config) else "formula, DIFFERS"
            for changed in varied_configs(family):
                varied[
                    {True: "agree", False: "DIFFER", None: "refused or on the meta device"}[agrees(changed)]
                ] += 1
        else:
            rows[family] = "meta model, adds up" if sums_up(config) else "meta model, DIFFERS"
    for family, how in rows.items():
        print(f"{family:<26} {how}")
    totals = Counter(how.partition(":")[0] for how in rows.values())
    print(f"\n{len(rows)} families of transformers {transformers.__version__}:")
    for how, number in totals.most_common():
        print(f"{number:>5}  {how}")
    print("configs with one key changed: " + ", ".join(f"{number} {how}" for how, number in varied.items()))
    if options.json:
        write_json_atomically(options.json, {"families": rows, "totals": totals, "one key changed": varied})


if __name__ == "__main__":
    main()
