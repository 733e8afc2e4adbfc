"""Each check against machines as they are and as they should not be."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.doctor import environment, hardware, network, storage
from core.doctor.examine import try_out_elsewhere
from core.memory.devices import Device
from core.workspace import Workspace
from tests.hub_server import TOKEN, HubServer

ROOT = Path(__file__).resolve().parents[3]


def test_the_tested_versions_are_the_pins_of_the_tests() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    tested = json.loads(environment.TESTED_FILE.read_text())
    assert {name: pins[name] for name in tested} == tested


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "trl":
            raise PackageNotFoundError(name)
        return {"torch": "2.13.7+cu130", "peft": "0.30.0"}.get(
            name, json.loads(environment.TESTED_FILE.read_text())[name]
        )

    monkeypatch.setattr(environment, "version", version)
    found = {check.check: check for check in environment.check_packages()}
    assert found["package torch"].state == "ok"
    assert found["package peft"].state == "warn" and "tested with 0.21.2" in found["package peft"].evidence
    assert found["package trl"].state == "fail" and found["package trl"].fix == "pip install trl==1.16.0"


@pytest.mark.parametrize(
    ("number", "state"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 15), "warn")]
)
def test_python(monkeypatch: pytest.MonkeyPatch, number: tuple[int, int], state: str) -> None:
    monkeypatch.setattr(sys, "version_info", (*number, 0, "final", 0))
    assert environment.check_python().state == state


def test_places_that_do_not_last_are_told(tmp_path: Path) -> None:
    shm = storage.check_place("x", Path("/dev/shm/not/yet"), lasting=True, fix="move")
    assert "tmpfs" in shm.evidence
    assert shm.state == "warn" and ("gone at the next start" in shm.evidence or "16 GiB" in shm.fix)


@pytest.mark.parametrize(
    ("free_gib", "kind", "lasting", "state"),
    [(100, "ext4", True, "ok"), (100, "overlay", True, "warn"), (100, "overlay", False, "ok"), (5, "ext4", True, "warn"),
     (1, "ext4", False, "fail")],
)  # fmt: skip
def test_room_and_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_gib: int, kind: str, lasting: bool, state: str
) -> None:
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda place: SimpleNamespace(free=free_gib << 30))
    monkeypatch.setattr(storage, "file_system", lambda place: kind)
    assert storage.check_place("x", tmp_path / "runs", lasting=lasting, fix="move").state == state


def test_all_three_places_are_looked_at(tmp_path: Path) -> None:
    assert [one.check for one in storage.check_storage(Workspace(tmp_path))] == [
        "disk of runs",
        "disk of the cache",
        "disk of temporary files",
    ]


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Device("host", "processor", notes=("no NVIDIA GPU is visible here",))
    card = Device("cuda", "NVIDIA H100", index=0, total_bytes=80 << 30, free_bytes=79 << 30)
    hidden = Device("cuda", "NVIDIA L4", index=1, visible=False)
    lost = Device("cuda", "NVIDIA L4", index=2, lost=True)
    monkeypatch.setattr(hardware, "read_devices", lambda: (host,))
    [only] = hardware.check_devices()
    assert only.state == "warn" and "no NVIDIA GPU is visible here" in only.evidence
    monkeypatch.setattr(hardware, "read_devices", lambda: (card, hidden, lost, host))
    assert [(one.check, one.state) for one in hardware.check_devices()] == [
        ("gpu 0", "ok"),
        ("gpu 1", "warn"),
        ("gpu 2", "fail"),
    ]


def test_the_hub_and_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    assert network.check_hub().state == "skip"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert network.check_hub().state == "warn"
    assert network.check_token().state == "skip"
    with HubServer() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        assert network.check_hub().state == "ok"
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        good = network.check_token()
        assert (good.state, good.evidence) == ("ok", "of tester, may read")
        monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
        bad = network.check_token()
        assert bad.state == "warn" and "hf_wrong" not in bad.evidence + bad.fix


def test_a_child_that_dies_or_hangs_is_a_failed_check() -> None:
    [died] = try_out_elsewhere(30, "tests.unit.doctor.jobs:dies")
    assert died.state == "fail" and "exit code 9" in died.evidence
    [hung] = try_out_elsewhere(1.5, "tests.unit.doctor.jobs:hangs")
    assert hung.state == "fail" and "no end after 2 s" in hung.evidence
