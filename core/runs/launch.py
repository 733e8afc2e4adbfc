"""Starting the trainer of a run as its own detached process.

Own process session, stdin from /dev/null, stdout and stderr into the run's log: all three are needed for a
process that outlives the terminal, the link and the program that started it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from core.errors import TunedeckError
from core.memory.devices import Device, read_devices
from core.recipe import Recipe
from core.runs.distributed import ELASTIC_SIGNALS, accelerate_config, launch_command, runs_on_cpu
from core.runs.events import append_event
from core.runs.folder import Run
from core.runs.identity import process_with, versions
from core.workspace import write_json_atomically

RESUME = "--resume"


def launch(run: Run, *, resume: bool = False) -> int:
    """Start the trainer of a prepared run folder; returns its process number at once.

    With `resume` the trainer goes on from the newest whole checkpoint. Raises TunedeckError if the folder
    cannot be written to or the process cannot be started.
    """
    recipe = run.read_recipe()
    devices = read_devices(slow=False, processes=False)
    command = launch_command(run, recipe)
    command += [RESUME] if resume else []
    config = accelerate_config(recipe, on_cpu=runs_on_cpu(recipe, devices))
    try:
        if config is not None:
            write_json_atomically(run.accelerate, config)
        append_event(run.folder, "status", state="starting", note="resumed" if resume else "")
        with run.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=run.folder,
                env=trainer_environment(recipe, devices),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        name_process(run, process.pid, command)
    except OSError as error:
        raise TunedeckError(
            f"the trainer cannot be started: {error.strerror}", where=error.filename or str(run.folder)
        ) from None
    return process.pid


def trainer_environment(recipe: Recipe, devices: tuple[Device, ...]) -> dict[str, str]:
    """The environment of the trainer: the person's own, and the devices that the recipe names."""
    environment = our_environment()
    environment["PYTHONUNBUFFERED"] = "1"
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Waiting threads of OpenMP spin by default: beside other work on the same cores that is ten times slower.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment |= ELASTIC_SIGNALS
    visible = visible_devices(recipe, devices)
    if visible is not None:
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        environment["CUDA_VISIBLE_DEVICES"] = visible
    return environment


def our_environment() -> dict[str, str]:
    """The person's environment, in which `python -P -m core...` finds this very `core` from any folder."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = _with_our_packages(environment.get("PYTHONPATH", ""))
    environment["PYTHONSAFEPATH"] = "1"
    return environment


def visible_devices(recipe: Recipe, devices: tuple[Device, ...]) -> str | None:
    """The value of CUDA_VISIBLE_DEVICES for a recipe; None leaves it as it is.

    With `auto` and more GPUs than processes, those with the most free memory are taken: several GPUs that
    one process can see would make transformers split every batch over them.
    """
    chosen = recipe.launch.devices
    if chosen == "cpu":
        return ""
    gpus = [device for device in devices if device.kind == "cuda" and device.visible]
    if isinstance(chosen, list):
        return ",".join(_uuid_or_name(entry, gpus) for entry in chosen)
    if len(gpus) <= recipe.ranks:
        return None
    freest = sorted(gpus, key=lambda device: device.free_bytes or 0, reverse=True)[: recipe.ranks]
    return ",".join(device.uuid or str(device.index) for device in freest)


def _uuid_or_name(entry: int | str, gpus: list[Device]) -> str:
    """The UUID of a GPU named by its number: numbers are counted anew inside CUDA_VISIBLE_DEVICES."""
    return next((gpu.uuid for gpu in gpus if gpu.index == entry and gpu.uuid), str(entry))


def name_process(run: Run, pid: int, command: list[str]) -> None:
    """Write into `run.json` which process the run is now. The rest of the file stays as it is."""
    process = process_with(pid)
    identity = run.read_json(run.identity)
    identity |= {
        "process": process.to_json() if process else None,
        "argv": command,
        "versions": versions(),
    }
    write_json_atomically(run.identity, identity)


def _with_our_packages(path: str) -> str:
    """PYTHONPATH with the folder first that holds this very `core`, wherever it was imported from."""
    ours = str(Path(__file__).resolve().parents[2])
    rest = [entry for entry in path.split(os.pathsep) if entry and entry != ours]
    return os.pathsep.join([ours, *rest])
