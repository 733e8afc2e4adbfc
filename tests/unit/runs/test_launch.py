"""Which devices a trainer is shown, and by which command it is started."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from core.memory.devices import Device
from core.recipe import Recipe, parse_recipe
from core.runs.distributed import accelerate_config, launch_command, launcher_environment
from core.runs.folder import Run
from core.runs.launch import trainer_environment, visible_devices

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
    command = launch_command(Run(tmp_path), recipe())
    assert command == [sys.executable, "-P", "-m", "core.train", str(tmp_path)]
    environment = trainer_environment(recipe("launch.devices=cpu"), ())
    assert environment["PYTHONSAFEPATH"] == "1" and environment["CUDA_VISIBLE_DEVICES"] == ""


def test_several_processes_are_started_through_accelerate(tmp_path: Path) -> None:
    run = Run(tmp_path)
    command = launch_command(run, recipe("launch.strategy=fsdp", "launch.processes=2"))
    assert command == [
        sys.executable, "-P", "-m",
        "accelerate.commands.launch", "--config_file", str(run.accelerate), "--module", "core.train", str(tmp_path)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "bf16"),
        (["model.dtype=float16"], "fp16"),
        (["model.dtype=float32"], "no"),
        (["model.dtype=float32", "training.extra.bf16=true"], "bf16"),
        (["training.extra.bf16=false"], "no"),
    ],
)
def test_the_launcher_computes_in_what_the_trainer_computes_in(changes: list[str], expected: str) -> None:
    config = accelerate_config(recipe("launch.strategy=ddp", "launch.processes=2", *changes), on_cpu=True)
    assert config is not None and config["mixed_precision"] == expected


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero1", "zero2", "zero3"])
def test_accelerate_reads_its_configuration(strategy: str, tmp_path: Path) -> None:
    """By accelerate's own reader, which refuses keys it does not know."""
    from accelerate.commands.config.config_args import load_config_from_file

    written = recipe(f"launch.strategy={strategy}", "launch.processes=2", "training.accumulation=3")
    config = accelerate_config(written, on_cpu=False)
    path = tmp_path / "accelerate.json"
    path.write_text(json.dumps(config))
    read = load_config_from_file(str(path))
    assert (read.num_processes, read.mixed_precision) == (2, "bf16")
    expected = {"ddp": "MULTI_GPU", "fsdp": "FSDP"}.get(strategy, "DEEPSPEED")
    assert read.distributed_type.value == expected
    if strategy == "fsdp":
        from accelerate.utils import FullyShardedDataParallelPlugin

        fields = {field.name for field in dataclasses.fields(FullyShardedDataParallelPlugin)}
        assert {key.removeprefix("fsdp_") for key in read.fsdp_config if key != "fsdp_version"} - fields == {
            "offload_params"
        }  # the plugin calls it cpu_offload
    if strategy.startswith("zero"):
        assert read.deepspeed_config["zero_stage"] == int(strategy[-1])
        assert read.deepspeed_config["gradient_accumulation_steps"] == 3
    assert accelerate_config(recipe(), on_cpu=True) is None


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_accelerates_plugin_makes_the_deepspeed_configuration(
    stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """deepspeed itself is not needed for that; "auto" is filled in from the trainer's arguments."""
    from accelerate.utils import DeepSpeedPlugin

    written = recipe(
        f"launch.strategy=zero{stage}",
        "launch.processes=2",
        "training.accumulation=3",
        "training.max_grad_norm=0.5",
    )
    for key, value in launcher_environment(written).items():
        monkeypatch.setenv(key, value)
    plugin = DeepSpeedPlugin()
    made = dict(plugin.deepspeed_config)
    assert made.pop("steps_per_print") == float("inf")
    assert made == {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": 3,
        "gradient_clipping": 0.5,
        "zero_optimization": {
            "stage": stage,
            "offload_optimizer": {"device": "none", "nvme_path": None},
            "offload_param": {"device": "none", "nvme_path": None},
            "stage3_gather_16bit_weights_on_model_save": stage == 3,
        },
    }
    assert plugin.zero3_init_flag == (stage == 3)
    config = accelerate_config(written, on_cpu=False)
    assert config is not None
    fields = {field.name for field in dataclasses.fields(DeepSpeedPlugin)}
    assert set(config["deepspeed_config"]) <= fields
