"""Fixtures of the integration tests: the tiny model, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.tiny import make_adapter, make_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved LoRA adapter of `tiny_model` with random, not zero, weights."""
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "first", seed=1)
