"""FSDP on a CPU: what accelerate has to be told so that it shards there too.

torch's FSDP2 shards over gloo as well as over NCCL. accelerate 1.15 takes its FSDP path only for the processes
of an accelerator: `AcceleratorState.__init__` (accelerate/state.py) looks for `MULTI_GPU`, `MULTI_XPU` and their
kin, and leaves `MULTI_CPU` out of that list. Everything behind that look works on a CPU: preparation, clipping,
checkpoints, resuming.
"""

from __future__ import annotations

import os


def let_cpu_processes_shard() -> None:
    """Between SFTConfig (which starts gloo) and the trainer (which reads the strategy), on a CPU with FSDP.

    Device and backend stay what they are, cpu and gloo; only the list is passed. Does nothing for other runs.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState()
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    if wanted and state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU
