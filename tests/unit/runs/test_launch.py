"""Which devices a trainer is shown, and by which command it is started."""

from __future__ import annotations

import sys
from pathlib import Path

from core.memory.devices import Device
from core.recipe import Recipe, parse_recipe
from core.runs.folder import Run
from core.runs.launch import trainer_command, trainer_environment, visible_devices

GIB = 2**30
GPUS = tuple(
    Device(
        "cuda",
        "H100",
        index=index,
        uuid=f"GPU-{index}",
        total_bytes=80 * GIB,
        free_bytes=free * GIB,
        visible=True,
    )
    for index, free in enumerate((10, 70, 40))
)


def recipe(*changes: str) -> Recipe:
    return parse_recipe("", changes)


def test_one_process_sees_the_gpu_with_the_most_free_memory() -> None:
    assert visible_devices(recipe(), GPUS) == "GPU-1"
    assert visible_devices(recipe(), GPUS[:1]) is None
    assert visible_devices(recipe(), ()) is None
    two = recipe("launch.strategy=ddp", "launch.processes=2")
    assert visible_devices(two, GPUS) == "GPU-1,GPU-2"


def test_named_devices_are_passed_by_uuid() -> None:
    assert visible_devices(recipe("launch.devices=[2]"), GPUS) == "GPU-2"
    assert visible_devices(recipe('launch.devices=["MIG-7"]'), GPUS) == "MIG-7"
    assert visible_devices(recipe("launch.devices=cpu"), GPUS) == ""


def test_the_command_never_looks_into_the_current_folder(tmp_path: Path) -> None:
    command = trainer_command(Run(tmp_path), recipe())
    assert command == [sys.executable, "-P", "-m", "core.train", str(tmp_path)]
    environment = trainer_environment(recipe("launch.devices=cpu"))
    assert environment["PYTHONSAFEPATH"] == "1" and environment["CUDA_VISIBLE_DEVICES"] == ""
