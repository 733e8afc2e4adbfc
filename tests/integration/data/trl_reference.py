"""TRL's own preparation of rows, as the reference that ids and labels are compared with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from core.data.types import Conversation

Labelled = tuple[list[int], list[int]]


def trl_rows(
    rows: list[dict[str, Any]], hf: Any, *, assistant_only: bool, table: bool = False, **config: Any
) -> dict[int, Labelled]:
    """What SFTTrainer makes of rows, by their "row" key; rows that it drops are absent.

    Runs the trainer's own `_prepare_dataset`, with the decisions its constructor takes for these rows. `table`
    hands the rows over as a data set whose columns are known, which TRL needs for from/value rows.
    """
    from datasets import Dataset, IterableDataset
    from trl import SFTConfig, SFTTrainer
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    args = SFTConfig(
        output_dir="/nonexistent",
        assistant_only_loss=assistant_only,
        report_to=[],
        use_cpu=True,
        bf16=False,
        **config,
    )
    first = rows[0]
    swap = assistant_only and not has_generation_markers(hf.chat_template)
    trainer = SimpleNamespace(
        _tokenizer=hf,
        chat_template=get_training_chat_template(hf) if swap else None,
        completion_only_loss="prompt" in first and "completion" in first
        if args.completion_only_loss is None
        else args.completion_only_loss,
    )
    dataset = Dataset.from_list(rows) if table else IterableDataset.from_generator(lambda: iter(rows))
    prepared = SFTTrainer._prepare_dataset(trainer, dataset, hf, args, False, None, "train")
    return {item["row"]: (list(item["input_ids"]), list(item["labels"])) for item in prepared}


def trl_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation in the shape that TRL takes."""
    row: dict[str, Any] = {"row": conversation.row}
    if conversation.kind == "tokens":
        row["input_ids"] = list(conversation.input_ids)
        if conversation.labels:
            row["labels"] = list(conversation.labels)
        return row
    if conversation.kind == "text":
        return {**row, "text": conversation.text}
    if conversation.kind == "text-completion":
        return {**row, "prompt": conversation.text, "completion": conversation.completion}
    messages = [_message(message) for message in conversation.messages]
    if conversation.tools:
        row["tools"] = list(conversation.tools)
    if conversation.template_kwargs:
        row["chat_template_kwargs"] = conversation.template_kwargs
    if conversation.completion_from is not None:
        cut = conversation.completion_from
        return {**row, "prompt": messages[:cut], "completion": messages[cut:]}
    return {**row, "messages": messages}


def _message(message: Any) -> dict[str, Any]:
    plain = {"role": message.role, "content": message.content, **message.extra}
    if message.reasoning is not None:
        plain["reasoning_content"] = message.reasoning
    if message.tool_calls:
        plain["tool_calls"] = list(message.tool_calls)
    return plain
