"""The rows of a run as its plain script reads them: prepared by tunedeck, or raw and prepared by TRL."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.recipe import Recipe
from core.runs.folder import Run

# Builders of `datasets` by the ending of a file.
BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}

PREPARED = """DATA = {train!r}
EVAL_DATA = {held!r}

train_rows = load_from_disk(DATA)
eval_rows = load_from_disk(EVAL_DATA) if EVAL_DATA else None
"""

RAW = """DATA = {file!r}
LEFT_OUT = {left_out}  # rows that are held out or carry no loss

rows = load_dataset({builder!r}, data_files=DATA, split="train")
train_rows = rows.select([number for number in range(len(rows)) if number not in LEFT_OUT])
{held}"""


@dataclass(frozen=True, slots=True)
class RowsAsCode:
    """Lines that make `train_rows` and `eval_rows`, what they import, and SFTConfig arguments that follow."""

    code: str
    imported: str
    what: str  # in words, for the head of the file
    arguments: dict[str, Any] = field(default_factory=dict)


def prepared_rows(run: Run) -> RowsAsCode:
    """The run's own rows: ids and labels are there already."""
    data = run.read_json(run.identity)["data"]
    train, held = (
        str((run.folder / folder).resolve()) if folder else ""
        for folder in (data["folder"], data.get("eval_folder"))
    )
    what = "The rows are the run's own: prepared, tokenised and labelled (columns input_ids and labels)."
    return RowsAsCode(PREPARED.format(train=train, held=held), "load_from_disk", what)


def raw_rows(run: Run) -> RowsAsCode:
    """The rows as they lie in the person's file; TRL renders, tokenises and labels them.

    Raises UsageError where TRL's preparation is not known to give the same ids and labels.
    """
    import datasets

    recipe, identity = run.read_recipe(), run.read_json(run.identity)
    workspace = Path(identity.get("workspace", "."))
    file, columns, count = _source(recipe, recipe.data.source, workspace)
    arguments = _loss(run, recipe, columns)
    if arguments["assistant_only_loss"] and not _trl_marks_answers(Path(identity["model"]["folder"])):
        raise _refused("TRL cannot tell the answers in this chat template", recipe.data.source)
    data = identity["data"]
    trained = set(datasets.load_from_disk(str(run.folder / data["folder"]))["row"])
    left_out = sorted(set(range(count)) - trained)
    held = "eval_rows = None\n"
    if recipe.data.eval_source:
        other, *_ = _source(recipe, recipe.data.eval_source, workspace)
        builder = BUILDERS[Path(other).suffix]
        held = f'eval_rows = load_dataset({builder!r}, data_files={other!r}, split="train")\n'
    elif data.get("eval_folder"):
        numbers = datasets.load_from_disk(str(run.folder / data["eval_folder"]))["row"]
        held = f"eval_rows = rows.select({sorted(numbers)})\n"
    code = RAW.format(
        file=file, left_out=set(left_out) or "set()", builder=BUILDERS[Path(file).suffix], held=held
    )
    return RowsAsCode(
        code,
        "load_dataset",
        "The rows are your own file's; TRL renders, tokenises and labels them.",
        arguments,
    )


def _source(recipe: Recipe, named: str, workspace: Path) -> tuple[str, set[str], int]:
    """The one file of a source, the columns of its first row, and how many rows it has."""
    from core.data.rows import read_rows

    rows = read_rows(named, workspace, recipe.data)
    if len(rows.paths) != 1 or rows.paths[0].suffix not in BUILDERS:
        raise _refused("only one local file of JSON lines, JSON, Parquet or CSV is read raw", named)
    first = rows[0].raw
    return str(rows.paths[0].resolve()), set(first) if isinstance(first, dict) else set(), len(rows)


def _loss(run: Run, recipe: Recipe, columns: set[str]) -> dict[str, Any]:
    """TRL's arguments for where the loss is; only shapes and modes whose labels are proved equal to TRL's."""
    data = recipe.data
    if data.columns or data.format != "auto" or data.template not in ("model", "trl-training"):
        raise _refused("columns, format or template are the recipe's own", run.id)
    if data.packing != "none":
        raise _refused("packed rows depend on how they were prepared", run.id)
    findings = run.read_json(run.data / "report.json").get("findings", [])
    if any(finding.get("severity") == "error" for finding in findings):
        raise _refused("some rows have findings that TRL would treat in another way", run.id)
    shapes = {"messages": "assistant", "prompt": "completion", "text": "all"}
    shape = next((name for name in shapes if name in columns), "")
    if not shape or (shape == "prompt" and "completion" not in columns):
        raise _refused("the columns are none that TRL takes as they are", run.id)
    mode = shapes[shape] if data.loss_on == "auto" else data.loss_on
    if mode not in ("assistant", "completion", "all") or (mode == "assistant") != (
        shape == "messages" and mode != "all"
    ):
        raise _refused(f'loss_on = "{data.loss_on}" is not TRL\'s for these columns', run.id)
    return {
        "dataset_kwargs": None,
        "assistant_only_loss": mode == "assistant",
        "completion_only_loss": mode == "completion",
    }


def _trl_marks_answers(model: Path) -> bool:
    """Whether the template has generation markers, or TRL knows a twin of it that has."""
    from transformers import AutoTokenizer
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    tokenizer = AutoTokenizer.from_pretrained(model)
    if has_generation_markers(tokenizer.chat_template):
        return True
    try:
        get_training_chat_template(tokenizer)
    except ValueError:
        return False
    return True


def _refused(why: str, where: str) -> UsageError:
    return UsageError(
        f"TRL cannot start from these raw rows: {why}",
        where=where,
        fix="leave --raw out: the prepared rows always work",
    )
