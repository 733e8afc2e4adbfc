"""More than one process: the command and the accelerate configuration of a run. Nothing is distributed by us.

Every strategy but `single` goes through `accelerate launch` with `accelerate.json` of the run, on GPUs and on
a CPU alike. On a CPU the processes talk over gloo.
"""

from __future__ import annotations

import sys
from typing import Any

from core.memory.devices import Device
from core.recipe import Recipe
from core.runs.folder import Run

# torch's launcher would end the run when a terminal closes; SIGHUP means nothing to a run.
ELASTIC_SIGNALS = {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT"}


def runs_on_cpu(recipe: Recipe, devices: tuple[Device, ...]) -> bool:
    """Whether the trainer will find no GPU."""
    gpus = [device for device in devices if device.kind == "cuda" and device.visible]
    return recipe.launch.devices == "cpu" or not gpus


def launch_command(run: Run, recipe: Recipe) -> list[str]:
    """The command line of the trainer. `-P` keeps a folder named `core` in the current one out of the way."""
    python, trainer = [sys.executable, "-P", "-m"], ["core.train", str(run.folder)]
    if recipe.launch.strategy == "single":
        return python + trainer
    config = ["--config_file", str(run.accelerate)]
    return [*python, "accelerate.commands.launch", *config, "--module", *trainer]


def accelerate_config(recipe: Recipe, *, on_cpu: bool) -> dict[str, Any] | None:
    """What `accelerate launch` is told; None for a run of one process.

    `MULTI_GPU` is accelerate's word for "start the processes with torch's launcher"; `use_cpu` says on what.
    """
    strategy = recipe.launch.strategy
    if strategy == "single":
        return None
    config: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "num_processes": recipe.launch.processes,
        "num_machines": 1,
        "machine_rank": 0,
        "gpu_ids": "all",  # of those that CUDA_VISIBLE_DEVICES shows
        "use_cpu": on_cpu,
        "main_process_port": 0,  # any free one: two runs on one machine do not meet
        "mixed_precision": {"bfloat16": "bf16", "float16": "fp16"}.get(recipe.model.dtype, "no"),
        "rdzv_backend": "static",
        "same_network": True,
    }
    if strategy == "fsdp":
        config |= {"distributed_type": "FSDP", "fsdp_config": _fsdp()}
    elif strategy.startswith("zero"):
        config |= {"distributed_type": "DEEPSPEED", "deepspeed_config": _deepspeed(recipe)}
    return config


def _fsdp() -> dict[str, Any]:
    """FSDP2: each transformer block is one unit; checkpoints are whole, so that any number of ranks can read them."""
    return {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_reshard_after_forward": True,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_cpu_ram_efficient_loading": False,
        "fsdp_offload_params": False,
        "fsdp_activation_checkpointing": False,  # the trainer checkpoints by itself
    }


def _deepspeed(recipe: Recipe) -> dict[str, Any]:
    stage = int(recipe.launch.strategy.removeprefix("zero"))
    return {
        "zero_stage": stage,
        "gradient_accumulation_steps": recipe.training.accumulation,
        "gradient_clipping": recipe.training.max_grad_norm or 0.0,
        "offload_optimizer_device": "none",
        "offload_param_device": "none",
        "zero3_init_flag": stage == 3,
        "zero3_save_16bit_model": stage == 3,
    }
