"""nvidia-smi as a second source, for a Python that cannot open the driver's library."""

from __future__ import annotations

import subprocess

from core.memory.nvml import Reading

QUERY = "index,uuid,name,memory.total,memory.used,memory.free,memory.reserved"
TIMEOUT_SECONDS = 5


def read_smi() -> tuple[Reading, ...]:
    """The GPUs nvidia-smi lists; empty if it is not there, fails or takes longer than five seconds."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_smi(answer.stdout) if answer.returncode == 0 else ()


def parse_smi(text: str) -> tuple[Reading, ...]:
    """Readings from its CSV; "[N/A]", "[Not Supported]" and "[Insufficient Permissions]" become None."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 7 or not fields[0].isdigit():
            continue
        total, used, free, reserved = (_mebibytes(field) for field in fields[3:])
        found.append(
            Reading(
                int(fields[0]), fields[1], fields[2], total, used, free, reserved, "v2",
                notes=("read through nvidia-smi",),
            )
        )  # fmt: skip
    return tuple(found)


def _mebibytes(field: str) -> int | None:
    return int(field) << 20 if field.isdigit() else None
