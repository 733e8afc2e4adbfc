"""A push to a Hub on this machine through the real client: private, checked, and refused where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import MissingError, TunedeckError, UsageError
from core.export.hub import push
from tests.hub_server import TOKEN, HubServer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with HubServer(role="write") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_it_arrives_private_and_whole(hub: HubServer, tiny_adapter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in tiny_adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "optimizer.pt").write_bytes(b"left at home")
    done = push(folder, "tester/mine")
    repository = hub.repositories["tester/mine"]
    assert repository.private and done.private
    assert (
        repository.files["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    )
    assert "optimizer.pt" not in repository.files
    assert done.files == len([name for name in repository.files if name != ".gitattributes"])
    assert TOKEN not in str(done.to_json())


def test_what_is_refused(
    hub: HubServer, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("tester/open", {})
    with pytest.raises(UsageError, match="open to all(.|\n)*--public"):
        push(tiny_adapter, "tester/open")
    assert hub.repositories["tester/open"].files == {}
    with pytest.raises(UsageError, match="neither an adapter nor a model"):
        push(tmp_path, "tester/mine")
    hub.lose_file = "adapter_model.safetensors"
    with pytest.raises(TunedeckError, match="1 files did not arrive whole: adapter_model.safetensors"):
        push(tiny_adapter, "tester/mine")
    hub.role = "read"
    with pytest.raises(MissingError, match="this token may only read"):
        push(tiny_adapter, "tester/other")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MissingError, match="no token for the Hub"):
        push(tiny_adapter, "tester/other")
