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

# accelerate's names for the keys of its deepspeed_config in the environment of a process.
DEEPSPEED_VARIABLES = {
    "zero_stage": "ACCELERATE_DEEPSPEED_ZERO_STAGE",
    "gradient_accumulation_steps": "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
    "gradient_clipping": "ACCELERATE_GRADIENT_CLIPPING",
    "offload_optimizer_device": "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE",
    "offload_param_device": "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE",
    "zero3_init_flag": "ACCELERATE_DEEPSPEED_ZERO3_INIT",
    "zero3_save_16bit_model": "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL",
}


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
        "mixed_precision": _mixed_precision(recipe),
        "rdzv_backend": "static",
        "same_network": True,
    }
    if strategy == "fsdp":
        config |= {"distributed_type": "FSDP", "fsdp_config": _fsdp()}
    elif strategy.startswith("zero"):
        config |= {"distributed_type": "DEEPSPEED", "deepspeed_config": _deepspeed(recipe)}
    return config


def _mixed_precision(recipe: Recipe) -> str:
    """As the trainer sets it: the type of the weights, unless `training.extra.bf16` says otherwise."""
    if recipe.model.dtype == "float16":
        return "fp16"
    return "bf16" if recipe.training.extra.get("bf16", recipe.model.dtype == "bfloat16") else "no"


def launcher_environment(recipe: Recipe) -> dict[str, str]:
    """What `accelerate launch` would put into the environment of the processes, for another launcher's use.

    Empty for `single`. A test compares it with accelerate's own.
    """
    config = accelerate_config(recipe, on_cpu=False)
    if config is None:
        return {}
    environment = {"ACCELERATE_MIXED_PRECISION": config["mixed_precision"]}
    if sharded := config.get("fsdp_config"):
        environment["ACCELERATE_USE_FSDP"] = "true"
        environment |= {key.upper(): _word(value) for key, value in sharded.items()}
    if zero := config.get("deepspeed_config"):
        environment["ACCELERATE_USE_DEEPSPEED"] = "true"
        environment |= {DEEPSPEED_VARIABLES[key]: _word(value) for key, value in zero.items()}
    return environment


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
