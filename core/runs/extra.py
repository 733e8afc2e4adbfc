"""`[training.extra]`: any further field of TRL's SFTConfig, checked against the installed one."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from core.errors import UsageError

# Keys of [training.extra] that would bypass what the recipe, the run folder or the labels already decide.
DECIDED_ELSEWHERE = {
    "output_dir": "the run folder",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "max_length": "data.max_length",
    "packing": "data.packing",
    "packing_strategy": "data.packing",
    "dataset_kwargs": "the prepared data",
    "completion_only_loss": "data.loss_on",
    "assistant_only_loss": "data.loss_on",
    "chat_template_path": "data.template",
    "model_init_kwargs": "the [model] section",
    "remove_unused_columns": "the prepared data",
    "auto_find_batch_size": "training.micro_batch: a batch size is never changed silently",
    "load_best_model_at_end": "training.keep_checkpoints: the best checkpoint is kept beside the newest",
    "save_total_limit": "training.keep_checkpoints",
    "resume_from_checkpoint": "tunedeck resume",
}


def checked_extra(extra: dict[str, Any]) -> dict[str, Any]:
    """The `[training.extra]` table, if the installed SFTConfig has every one of its fields."""
    if not extra:
        return {}
    from trl import SFTConfig

    known = {field.name for field in dataclasses.fields(SFTConfig) if field.init}
    for key in extra:
        if key in DECIDED_ELSEWHERE:
            raise UsageError(f"training.extra.{key} is decided by {DECIDED_ELSEWHERE[key]}")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UsageError(
                f"training.extra.{key} is not a field of the installed SFTConfig",
                fix=f"did you mean {near[0]}?" if near else "remove it",
            )
    return extra
