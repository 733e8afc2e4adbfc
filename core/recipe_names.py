"""Names that a recipe may hold and that belong to transformers and TRL: optimizers, schedulers, SFTConfig fields.

They are read from the source of the installed packages, which takes milliseconds; importing them takes seconds.
Nothing is known, and nothing refused, where a package is not installed.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

# The names most recipes hold; these are not looked up.
COMMON_OPTIMIZERS = frozenset({"adamw_torch_fused", "adamw_torch", "sgd", "adafactor", "paged_adamw_8bit"})
COMMON_SCHEDULERS = frozenset({"cosine", "linear", "constant", "constant_with_warmup"})

# Keys of [training.extra] that would bypass what the recipe, the run folder or the labels already decide.
DECIDED_ELSEWHERE = {
    "output_dir": "the run folder",
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


def unknown_optimizer(name: str) -> frozenset[str] | None:
    """The optimizers there are, if this is none of them; else None."""
    return None if name in COMMON_OPTIMIZERS else _unless_known(name, optimizers())


def unknown_scheduler(name: str) -> frozenset[str] | None:
    """The schedulers there are, if this is none of them; else None."""
    return None if name in COMMON_SCHEDULERS else _unless_known(name, schedulers())


def unknown_field(name: str) -> frozenset[str] | None:
    """The fields SFTConfig has, if this is none of them; else None."""
    return _unless_known(name, sft_fields())


@cache
def optimizers() -> frozenset[str]:
    """Values of transformers' OptimizerNames; empty where transformers is not installed."""
    return _values(_class_in("transformers", "training_args.py", "OptimizerNames"))


@cache
def schedulers() -> frozenset[str]:
    """Values of transformers' SchedulerType; empty where transformers is not installed."""
    return _values(_class_in("transformers", "trainer_utils.py", "SchedulerType"))


@cache
def sft_fields() -> frozenset[str]:
    """Fields of TRL's SFTConfig and of what it inherits from; empty where a package is not installed."""
    classes = (
        _class_in("trl", "trainer/sft_config.py", "SFTConfig"),
        _class_in("trl", "trainer/base_config.py", "_BaseConfig"),
        _class_in("transformers", "training_args.py", "TrainingArguments"),
    )
    if not all(classes):
        return frozenset()
    return frozenset().union(*(_fields(one) for one in classes))


def _unless_known(name: str, known: frozenset[str]) -> frozenset[str] | None:
    return None if not known or name in known else known


def _class_in(package: str, file: str, name: str) -> ast.ClassDef | None:
    """The class as source, without importing the package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    try:
        source = (Path(found.submodule_search_locations[0]) / file).read_text(encoding="utf-8")
        body = ast.parse(source).body
    except (OSError, SyntaxError, ValueError):
        return None
    return next((one for one in body if isinstance(one, ast.ClassDef) and one.name == name), None)


def _values(enumeration: ast.ClassDef | None) -> frozenset[str]:
    """The texts that the members of an enumeration stand for."""
    body = enumeration.body if enumeration is not None else []
    return frozenset(
        one.value.value
        for one in body
        if isinstance(one, ast.Assign)
        and isinstance(one.value, ast.Constant)
        and isinstance(one.value.value, str)
    )


def _fields(dataclass: ast.ClassDef | None) -> frozenset[str]:
    """Names that a dataclass takes; class variables and fields without `init` are left out."""
    body = dataclass.body if dataclass is not None else []
    return frozenset(
        one.target.id
        for one in body
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and "ClassVar" not in ast.unparse(one.annotation)
        and not _is_without_init(one.value)
    )


def _is_without_init(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and any(
        word.arg == "init" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in value.keywords
    )
