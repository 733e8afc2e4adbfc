"""Every way NVML fails, against a library compiled here and loaded by the real nvidia-ml-py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import MissingError
from core.memory.devices import Device, read_devices, room_for, rooms_for
from core.memory.nvml import Nvml, Reading, visible
from core.memory.plan import on_each, plan
from core.memory.smi import parse_smi
from core.recipe import parse_recipe
from tests.unit.memory.shapes import LLAMA_3_8B, architecture

GIB = 1 << 30
SOURCE = Path(__file__).with_name("fake_nvml.c")


def compiled(folder: Path, *flags: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the fake driver library with")
    target = folder / "libnvidia-ml.so.1"
    named = "-Wl,-soname,libnvidia-ml.so.1"  # as the driver's own, so that a loaded one is found by its name
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", named, *flags, "-o", target, SOURCE], check=True
    )
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("nvml"))


def run(library: Path | None, code: str, **settings: str) -> Any:
    """Run code in a process that finds the fake library; what it printed, as JSON."""
    settings = {name: str(value) for name, value in settings.items()}
    environment = {**os.environ, **settings, "PATH": "/nonexistent"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    environment |= {key: value for key, value in settings.items() if key == "CUDA_VISIBLE_DEVICES"}
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


LIST = "import json; from core.memory.devices import read_devices; print(json.dumps([d.to_json() for d in read_devices()]))"


def test_no_library_is_said_on_the_host_line() -> None:
    devices = run(None, LIST)
    assert [device["kind"] for device in devices] == ["host"]
    assert devices[0]["notes"] == ["no NVIDIA GPU is visible here (no libnvidia-ml.so.1)"]
    assert devices[0]["free_bytes"] > 0


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "driver is not loaded"), (18, "differ in version"), (4, "no permission"), (999, "driver answers")],
)
def test_a_driver_that_does_not_open_is_told_in_words(library: Path, code: int, words: str) -> None:
    devices = run(library, LIST, FAKE_INIT=str(code))
    assert [device["kind"] for device in devices] == ["host"]
    assert words in devices[0]["notes"][0]


def test_the_second_form_of_the_memory_struct_leaves_out_what_the_driver_reserves(library: Path) -> None:
    (card, _host) = run(library, LIST)
    assert (card["total_bytes"], card["used_bytes"], card["reserved_bytes"]) == (
        80 * GIB,
        5 * GIB // 2,
        GIB // 2,
    )
    assert card["used_bytes"] + card["free_bytes"] + card["reserved_bytes"] == card["total_bytes"]
    assert (card["utilisation"], card["temperature"]) == (87, 55)
    assert (card["power_watts"], card["power_limit_watts"]) == (250, 400)
    assert card["notes"] == []


def test_an_old_driver_counts_its_reserve_as_used_and_this_is_said(library: Path) -> None:
    (card, _host) = run(library, LIST, FAKE_NO_V2="1")
    assert (card["used_bytes"], card["reserved_bytes"]) == (3 * GIB, None)
    assert card["notes"] == ["this driver counts its own reserve as used"]


def test_functions_an_old_driver_lacks_are_asked_for_once_and_the_rest_is_read(tmp_path: Path) -> None:
    code = (
        "import json; from core.memory.devices import read_devices; from core.memory.nvml import Nvml\n"
        "library = Nvml(); found = [read_devices(library)[0].to_json() for _ in range(2)]\n"
        "print(json.dumps([found, sorted(library.missing)]))"
    )
    found, missing = run(compiled(tmp_path, "-DOLD"), code)
    assert missing == [
        "nvmlDeviceGetComputeRunningProcesses_v3/1",
        "nvmlDeviceGetMemoryInfo/2",
        "nvmlDeviceGetVirtualizationMode/1",
    ]
    for card in found:
        assert (card["used_bytes"], card["reserved_bytes"], card["utilisation"]) == (3 * GIB, None, 87)
        assert [one["used_bytes"] for one in card["processes"]] == [GIB, GIB // 4, None]


def test_a_process_larger_than_its_card_is_a_size_nobody_knows(library: Path) -> None:
    (card, _host) = run(library, LIST, FAKE_GARBAGE=str(200 * GIB))
    assert [process["used_bytes"] for process in card["processes"]] == [GIB, None, None]


@pytest.mark.parametrize(("mode", "told"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_virtual_gpu_says_that_others_may_share_it(library: Path, mode: int, told: bool) -> None:
    (card, _host) = run(library, LIST, FAKE_VIRTUAL=str(mode))
    assert card["notes"] == ["a virtual GPU: others may share this card unseen"] * told
    assert card["used_bytes"] == 5 * GIB // 2


def test_under_wsl_the_library_lies_where_no_search_finds_it(library: Path) -> None:
    code = (
        f"import core.memory.nvml as nvml; nvml.WSL_LIBRARY = {str(library / 'libnvidia-ml.so.1')!r}\n" + LIST
    )
    (card, _host) = run(None, code, FAKE_NA="1")
    assert (card["total_bytes"], card["utilisation"], card["processes"]) == (80 * GIB, None, None)


def test_processes_of_other_containers_have_no_name_and_unknown_sizes_are_not_16_eib(library: Path) -> None:
    (card, _host) = run(library, LIST)
    sizes = [(process["used_bytes"], bool(process["name"])) for process in card["processes"]]
    assert sizes == [(GIB, True), (GIB // 4, False), (None, True)]


@pytest.mark.parametrize("setting", ["FAKE_NA", "FAKE_DENIED"])
def test_fields_that_are_not_available_are_none_and_memory_still_counts(library: Path, setting: str) -> None:
    (card, _host) = run(library, LIST, **{setting: "1"})
    for field in ("utilisation", "temperature", "power_watts", "power_limit_watts", "processes"):
        assert card[field] is None, field
    assert card["total_bytes"] == 80 * GIB


def test_mig_instances_stand_in_place_of_their_card(library: Path) -> None:
    devices = run(library, LIST, FAKE_MIG="1", FAKE_GPUS="2")
    cards = [device for device in devices if device["kind"] == "cuda"]
    assert [(card["uuid"], card["total_bytes"] // GIB) for card in cards] == [
        ("MIG-0", 10), ("MIG-1", 10), ("GPU-10000000-aaaa", 80),
    ]  # fmt: skip
    assert cards[0]["mig_of"] == "GPU-00000000-aaaa"
    assert cards[0]["utilisation"] is None


def test_a_board_that_shares_memory_with_the_host_shows_the_hosts(library: Path) -> None:
    card, host = run(library, LIST, FAKE_SHARED="1")
    assert card["notes"] == ["memory is shared with the host"]
    assert card["total_bytes"] == host["total_bytes"]


def test_eight_cards_and_the_order_of_cuda_visible_devices(library: Path) -> None:
    devices = run(library, LIST, FAKE_GPUS="8", CUDA_VISIBLE_DEVICES="GPU-5,2,GPU-nothing,1")
    assert len(devices) == 9
    assert [device["index"] for device in devices if device["kind"] == "cuda" and device["visible"]] == [2, 5]
    assert [
        device["cuda_index"] for device in devices if device["visible"] and device["index"] in (2, 5)
    ] == [1, 0]
    hidden = run(library, LIST, FAKE_GPUS="8", CUDA_VISIBLE_DEVICES="")
    assert hidden[-1]["notes"] == ["CUDA_VISIBLE_DEVICES hides every GPU"]


def test_a_card_lost_in_mid_run_is_marked_and_the_others_go_on(library: Path) -> None:
    code = (
        "import json; from core.memory.devices import read_devices; from core.memory.nvml import Nvml\n"
        "library = Nvml(); found = []\n"
        "for _ in range(3): found.append([d.to_json() for d in read_devices(library)][:3])\n"
        "print(json.dumps(found))"
    )
    first, second, third = run(library, code, FAKE_GPUS="3", FAKE_LOST_AFTER="3")
    assert [card["lost"] for card in first] == [False, False, False]
    for later in (second, third):
        assert [card["lost"] for card in later] == [False, True, False]
        assert later[1]["name"] == "Fake A100 80GB"
        assert later[1]["total_bytes"] is None
        assert "lost this card" in later[1]["notes"][0]
        assert later[2]["used_bytes"] == 5 * GIB // 2


def test_the_watcher_never_waits_and_says_how_old_a_reading_is(library: Path) -> None:
    code = (
        "import json, time; from core.memory.watch import DeviceWatcher\n"
        "watcher = DeviceWatcher(); start = time.monotonic(); watcher.start()\n"
        "asked = time.monotonic() - start; early = watcher.devices\n"
        "while not watcher.devices and time.monotonic() - start < 60: time.sleep(0.05)\n"
        "waited = time.monotonic() - start; late = watcher.devices; age = watcher.age_seconds\n"
        "watcher.stop(); print(json.dumps([asked, len(early), waited, len(late), age]))"
    )
    asked, early, waited, late, age = run(library, code, FAKE_SLEEP_MS="3000")
    assert asked < 2  # a reading takes three seconds, asking for it does not
    assert (early, late) == (0, 2)
    assert waited >= 3
    assert 0 <= age < waited


def test_another_package_named_pynvml_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text("def nvmlInit(): pass\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + LIST
    (host,) = run(None, code)
    assert "another package named pynvml hides nvidia-ml-py" in host["notes"][0]


def test_nvidia_smi_as_second_source() -> None:
    text = "0, GPU-1, NVIDIA L4, 23034, 300, 22200, 534\n1, GPU-2, NVIDIA L4, [N/A], [Not Supported], 5, x\nnoise\n"
    first, second = parse_smi(text)
    assert (first.total_bytes, first.free_bytes) == (23034 << 20, 22200 << 20)
    assert (second.total_bytes, second.used_bytes, second.free_bytes) == (None, None, 5 << 20)


def test_nvidia_smi_is_asked_where_the_library_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, GPU-1, NVIDIA L4, 23034, [Insufficient Permissions], 22200, [N/A]'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    closed = Nvml()
    monkeypatch.setattr(closed, "open", lambda: False)
    closed.problem = "no library"
    card, host = (one for one in read_devices(closed) if one.kind in ("cuda", "host"))
    assert (card.name, card.total_bytes, card.used_bytes, card.free_bytes) == (
        "NVIDIA L4", 23034 << 20, None, 22200 << 20,
    )  # fmt: skip
    assert card.notes == ("read through nvidia-smi",) and host.notes == ()
    program.write_text("#!/bin/sh\nexit 9\n")
    assert [one.kind for one in read_devices(closed) if one.kind == "cuda"] == []


def test_visible_devices_stop_at_the_first_unknown_entry_as_cuda_does() -> None:
    cards = (Reading(0, "GPU-aa"), Reading(1, "GPU-ab"), Reading(2, "GPU-b"))
    assert [card.index for card in visible(cards, "2,0")] == [2, 0]
    assert [card.index for card in visible(cards, "1,9,0")] == [1]
    assert [card.index for card in visible(cards, "GPU-a")] == []  # two cards begin so
    assert [card.index for card in visible(cards, "GPU-b,GPU-aa")] == [2, 0]
    assert visible(cards, "") == ()


def test_room_is_that_of_the_fullest_card_the_run_would_use() -> None:
    cards = tuple(
        Device("cuda", f"card {index}", index, f"GPU-{index}", 80 * GIB, used * GIB, (80 - used) * GIB)
        for index, used in enumerate((1, 30, 5))
    )
    host = Device("host", "host", total_bytes=64 * GIB, used_bytes=4 * GIB, free_bytes=60 * GIB)
    one = parse_recipe("")
    two = parse_recipe("", ["launch.strategy=ddp", "launch.processes=2"])
    assert room_for(one, (*cards, host)).available == 79 * GIB
    assert room_for(two, (*cards, host)).available == 50 * GIB
    assert room_for(parse_recipe("", ["launch.devices=[2]"]), (*cards, host)).available == 75 * GIB
    assert room_for(parse_recipe("", ["launch.devices=cpu"]), (*cards, host)).device == "cpu"
    assert room_for(one, (host,)).available == 60 * GIB
    with pytest.raises(MissingError, match="GPU 7"):
        room_for(parse_recipe("", ["launch.devices=[7]"]), (*cards, host))


def test_a_lost_card_leaves_the_verdict_unknown() -> None:
    from core.memory.plan import plan
    from tests.unit.memory.shapes import LLAMA_3_8B, architecture

    gone = Device("cuda", "card", 0, "GPU-0", lost=True)
    room = room_for(parse_recipe(""), (gone,))
    assert plan(parse_recipe(""), architecture(LLAMA_3_8B), room=room).verdict == "unknown"


def test_every_device_of_a_run_has_its_own_room_and_verdict() -> None:
    gib = 1 << 30
    devices = tuple(
        Device(
            "cuda",
            "card",
            number,
            f"GPU-{number}",
            80 * gib,
            used * gib,
            (80 - used) * gib,
            cuda_index=number,
        )
        for number, used in enumerate((0, 60, 20, 0))
    )
    recipe = parse_recipe("", ["launch.strategy=ddp", "launch.processes=3"])
    rooms = rooms_for(recipe, devices)
    assert [(room.label, room.others // gib) for room in rooms] == [
        ("GPU 0", 0),
        ("GPU 1", 60),
        ("GPU 2", 20),
    ]
    assert room_for(recipe, devices) == rooms[1]
    made = plan(recipe, architecture(LLAMA_3_8B), room=rooms[1])
    placed = on_each(made, rooms)
    assert [one.verdict for one in placed] == ["fits", "does not fit", "fits"]
    assert placed[1].margin_bytes == made.margin_bytes
    assert (placed[0].margin_bytes or 0) - (placed[2].margin_bytes or 0) == pytest.approx(
        0.93 * 20 * gib, abs=2
    )


@pytest.mark.parametrize(("kind", "name"), [("amd", "AMD GPU (ROCm)"), ("apple", "Apple GPU")])
def test_gpus_of_other_makers_are_named_and_said_to_have_no_readings(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path: kind == "amd" if str(path) == "/dev/kfd" else exists(path)
    )
    if kind == "apple":
        monkeypatch.setattr("platform.system", lambda: "Darwin")
        monkeypatch.setattr("platform.machine", lambda: "arm64")
    found = [one for one in read_devices() if one.kind == kind]
    assert [one.name for one in found] == [name]
    assert found[0].total_bytes is None and "NVIDIA GPUs only" in found[0].notes[0]
