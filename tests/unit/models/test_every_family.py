"""The card's numbers against the model that transformers builds, for every decoder-only family."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core.errors import TunedeckError
from core.models.architecture import Architecture
from core.models.architecture_of import by_formula
from core.models.families import FORMULAS
from core.models.known import completed, decoder_types
from core.models.make_known import table_text
from tests.unit.models.every_family import UNBUILDABLE, buildable, default_config, varied_configs


def facts(architecture: Architecture) -> dict[str, Any]:
    """Everything the two ways of counting must agree on; the order of modules does not matter."""
    values = {field.name: getattr(architecture, field.name) for field in dataclasses.fields(architecture)}
    values["linears"], values["modules"] = set(values["linears"]), set(values["modules"])
    del values["counted_by"]
    return values


@pytest.fixture(autouse=True)
def quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()


def test_formula_equals_the_built_model_for_every_default_config() -> None:
    from core.models.meta import count

    differing = {}
    for family in FORMULAS:
        config = default_config(family)
        formula, built = by_formula(completed(config)), count(config)
        assert formula is not None
        if facts(formula) != facts(built):
            differing[family] = (formula.parameters, built.parameters)
    assert differing == {}


def test_every_decoder_type_is_read_or_named_as_unbuildable() -> None:
    assert set(UNBUILDABLE) <= set(decoder_types())
    assert not set(UNBUILDABLE) & set(FORMULAS)


def test_the_table_is_that_of_the_installed_transformers() -> None:
    from core.models.known import KNOWN_FILE

    assert KNOWN_FILE.read_text(encoding="utf-8") == table_text()


@pytest.mark.slow
def test_formula_equals_the_built_model_when_any_one_key_changes() -> None:
    from core.models.meta import count

    compared, differing = 0, []
    for family in FORMULAS:
        for config in varied_configs(family):
            try:
                built = count(config)
            except TunedeckError:
                continue  # a config transformers itself refuses
            formula = by_formula(completed(config))
            if formula is None:
                continue  # counted on the meta device
            compared += 1
            if facts(formula) != facts(built):
                differing.append(config)
    assert differing == []
    assert compared > 600


@pytest.mark.slow
def test_the_meta_count_is_the_sum_of_the_models_parameters() -> None:
    import torch
    import transformers

    from core.models.meta import architecture_of

    differing = {}
    for family in buildable():
        config = default_config(family)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))
        total = sum(parameter.numel() for parameter in model.parameters())
        if (counted := architecture_of(model).parameters.total) != total:
            differing[family] = (counted, total)
    assert differing == {}
