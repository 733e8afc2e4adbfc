"""The list of local models, and where a name leads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.errors import MissingError, UsageError
from core.models.listing import (
    LOCAL_SORTS,
    ModelEntry,
    cached_models,
    local_models,
    search_entries,
    sort_entries,
)
from core.models.sources import locate
from core.workspace import Workspace
from tests.unit.models.model_folders import write_model

COMMIT = "a" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache the library looks into (it reads the environment only once)."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def cached_model(cache: Path, name: str, leave_out: tuple[str, ...] = (), used: float = 1e9) -> Path:
    """A model in the layout of the cache: blobs, and a snapshot of links to them. `used` is its last access."""
    repository = cache / f"models--{name.replace('/', '--')}"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / COMMIT
    write_model(blobs)
    snapshot.mkdir(parents=True)
    for path in blobs.iterdir():
        os.utime(path, (used, used))
        if path.name not in leave_out:
            (snapshot / path.name).symlink_to(os.path.relpath(path, snapshot))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_all_sources_in_one_list(tmp_path: Path, cache: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    write_model(workspace.root / "models" / "mine")
    write_model(workspace.runs / "0001" / "exports" / "0001-merged")
    write_model(workspace.runs / "0001" / "checkpoints" / "5")
    write_model(workspace.root / ".hidden")
    write_model(tmp_path / "elsewhere" / "other")
    cached_model(cache, "acme/whole")
    cached_model(cache, "acme/half", leave_out=("model.safetensors",))
    found = local_models(workspace, (tmp_path / "elsewhere",))
    assert [(one.source, one.id, one.missing) for one in found[:4]] == [
        ("demo", "demo", ""),
        ("folder", "models/mine", ""),
        ("run", "runs/0001/exports/0001-merged", ""),
        ("folder", str(tmp_path / "elsewhere" / "other"), ""),
    ]
    assert {(one.id, one.missing) for one in found[4:]} == {("acme/whole", ""), ("acme/half", "no weights")}
    whole = next(one for one in found if one.id == "acme/whole")
    assert (whole.revision, whole.references, whole.family) == (COMMIT, ("main",), "llama")
    assert [one.id for one in search_entries(found, "ACME wh")] == ["acme/whole"]


def test_orders() -> None:
    entries = [
        ModelEntry("demo", "demo", bytes=3, last_used=5.0, parameters=30),
        ModelEntry("b", "folder", bytes=9, last_used=9.0),
        ModelEntry("A", "cache", bytes=9, last_used=0.0, parameters=70),
    ]
    orders = {by: [one.id for one in sort_entries(entries, by)] for by in LOCAL_SORTS}
    assert orders == {
        "found": ["demo", "b", "A"],
        "name": ["A", "b", "demo"],
        "size": ["A", "b", "demo"],
        "used": ["b", "demo", "A"],
        "parameters": ["A", "demo", "b"],
    }


def test_parameters_come_from_the_headers(tmp_path: Path, cache: Path) -> None:
    write_model(tmp_path / "ws" / "mine")
    cached_model(cache, "acme/half", leave_out=("model.safetensors",))
    found = {one.id: one.parameters for one in local_models(Workspace(tmp_path / "ws"))}
    assert found == {"demo": 1_752_800, "mine": 4_944, "acme/half": 0}


def test_no_cache_is_an_empty_list(cache: Path) -> None:
    cache.rmdir()
    assert cached_models() == []


def test_a_hub_id_is_found_in_the_cache(cache: Path) -> None:
    snapshot = cached_model(cache, "acme/whole")
    found = locate("acme/whole")
    assert (found.kind, found.folder, found.revision) == ("hub", snapshot, COMMIT)


@pytest.mark.parametrize("lacks", ["model.safetensors", "config.json"])
def test_half_a_download_never_looks_like_a_model(cache: Path, lacks: str) -> None:
    cached_model(cache, "acme/half", leave_out=(lacks,))
    with pytest.raises(MissingError, match="not downloaded to its end") as told:
        locate("acme/half")
    assert told.value.fix == "go on with: tunedeck models get acme/half"


def test_a_missing_shard_is_half_a_download(cache: Path) -> None:
    snapshot = cached_model(cache, "acme/sharded", leave_out=("model.safetensors",))
    (snapshot / "model-00001-of-00003.safetensors").write_bytes(b"x")
    with pytest.raises(MissingError, match="no index"):
        locate("acme/sharded")
    index = {"weight_map": {str(n): f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingError, match="2 of 3 weight files"):
        locate("acme/sharded")


@pytest.mark.parametrize("name", ["../../etc", "a/b/c", "acme/..", "/no/such/folder", "acme//x", "-x/y", ""])
def test_names_with_path_tricks_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    if name in ("", "../../etc"):
        monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, MissingError)):
        locate(name)


def test_the_demo_and_a_relative_folder(tmp_path: Path) -> None:
    assert locate("demo").kind == "demo"
    write_model(tmp_path / "ws" / "mine")
    assert locate("mine", workspace=Workspace(tmp_path / "ws")).folder == tmp_path / "ws" / "mine"
