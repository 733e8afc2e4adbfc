"""The checklist says of a model that is not here whether this machine may have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import EXIT_MISSING
from core.recipe import parse_recipe
from core.runs.preflight import preflight
from core.runs.surroundings import Check
from core.workspace import Workspace
from tests.hub_server import TOKEN, HubServer
from tests.unit.models.model_folders import write_model


def model_check(tmp_path: Path, source: str) -> Check:
    recipe = parse_recipe("", [f"model.source={source}"])
    return preflight(Workspace(tmp_path), recipe, tmp_path / "rows").checks[-1]


def test_a_gated_model_is_told_as_such(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.add("acme/closed", files, gated="manual")
    hub.add("acme/open", files)
    refused = model_check(tmp_path, "acme/closed")
    assert (refused.check, refused.state, refused.exit_code) == ("model", "fail", EXIT_MISSING)
    assert "gated and this machine has no access" in refused.evidence and "HF_TOKEN" in refused.fix

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    allowed = model_check(tmp_path, "acme/closed")
    assert "gated, and this machine has access" in allowed.evidence
    assert allowed.fix == "get it with: tunedeck models get acme/closed"
    assert "GiB to download" in model_check(tmp_path, "acme/open").evidence
    assert "no such model on the Hub" in model_check(tmp_path, "acme/none").evidence
