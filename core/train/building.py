"""From a run folder to a trainer that is ready: device, data, model, tokenizer, adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from trl import SFTConfig

from core.errors import TunedeckError
from core.models.architecture_of import read_model
from core.recipe import ADAPTER_METHODS, Recipe
from core.runs.checkpoints import UNFINISHED
from core.runs.events import EventWriter
from core.runs.folder import Run
from core.train.arguments import sft_arguments
from core.train.loading import give_template, load_base, load_tokenizer, model_here
from core.train.sharding import let_cpu_processes_shard
from core.train.signals import StopSignals
from core.train.trainer import RunTrainer
from core.train.tuner import adapter_config, cast_adapter, counts, train_last_layers


@dataclass
class Session:
    """What the steps of one training process share."""

    run: Run
    recipe: Recipe
    identity: dict[str, Any]
    events: EventWriter
    signals: StopSignals
    on_cpu: bool
    started: float

    @property
    def adapts(self) -> bool:
        return self.recipe.tuner.method in ADAPTER_METHODS


def open_session(run: Run, events: EventWriter, signals: StopSignals, started: float) -> Session:
    """Read what the launcher wrote; decide the device."""
    recipe = run.read_recipe()
    identity = run.read_json(run.identity)
    if "model" not in identity or "data" not in identity:
        raise TunedeckError("run.json names no model or no data", where=str(run.identity))
    on_cpu = recipe.launch.devices == "cpu" or not torch.cuda.is_available()
    if on_cpu and recipe.model.dtype == "bfloat16":
        events.write(
            "warning",
            rule="slow dtype",
            what='bfloat16 is slow on most CPUs; model.dtype = "float32" trains faster there',
            rows=[],
        )
    return Session(run, recipe, identity, events, signals, on_cpu, started)


def build_trainer(session: Session) -> RunTrainer:
    """Model, tokenizer, data and TRL's trainer, all from the recipe and the run folder."""
    recipe, run = session.recipe, session.run
    workspace = Path(session.identity.get("workspace", "."))
    model_folder = model_here(session.identity["model"], workspace)
    transformers.set_seed(recipe.training.seed)
    train_rows, eval_rows = load_data(session)
    arguments = sft_arguments(
        recipe,
        run.checkpoints / UNFINISHED,
        has_eval=eval_rows is not None,
        on_cpu=session.on_cpu,
    )
    tokenizer = load_tokenizer(model_folder, recipe)
    give_template(tokenizer, model_folder, recipe, workspace)
    model = load_base(model_folder, recipe, on_cpu=session.on_cpu)
    if recipe.tuner.method == "freeze":
        train_last_layers(model, recipe.tuner.train_last_layers)
    settings = SFTConfig(**arguments)
    let_cpu_processes_shard()
    trainer = RunTrainer(
        run=run,
        keep_checkpoints=recipe.training.keep_checkpoints,
        prompt_loss_weight=recipe.training.prompt_loss_weight,
        model=model,
        args=settings,
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
        peft_config=adapter_config(recipe, read_model(model_folder)),
    )
    cast_adapter(trainer.model, recipe)
    trainer.remove_callback(transformers.PrinterCallback)
    if counts(trainer.model)[0] == 0:
        raise TunedeckError("nothing would be trained", fix="name other layers in tuner.targets")
    return trainer


def load_data(session: Session) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The prepared rows, and the held-out ones if there are any."""
    named = session.identity["data"]
    try:
        rows = datasets.load_from_disk(str(session.run.folder / named["folder"]))
        held_out = named.get("eval_folder")
        return rows, datasets.load_from_disk(str(session.run.folder / held_out)) if held_out else None
    except (OSError, ValueError) as error:
        raise TunedeckError(f"the prepared data cannot be read: {error}", where=named["folder"]) from error
