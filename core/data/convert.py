"""Rows become conversations: the shape of each record is recognised, and how it was read is said in words.

The shapes are listed in docs/data.md. A column map in the recipe (`data.columns`) or a named format
(`data.format`) overrides what would be recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from core.data.formats.messages import (
    is_plain,
    is_turns,
    key_of_content,
    messages_of,
    plain_messages,
    roles_in_words,
)
from core.data.formats.pairs import (
    exchange_messages,
    history_messages,
    pair_fields,
    pair_messages,
    system_messages,
)
from core.data.formats.special import is_preference, preference, tokens
from core.data.formats.tools import tools_of
from core.data.formats.values import Unreadable, kind_of, parsed_json, text_of
from core.data.types import Conversation, Message, Row, RowProblem
from core.recipe import DataSection, Format

# Templates are rendered and spans found turn by turn, at some 5 kB of memory each.
MOST_TURNS = 50_000
_TURN_COLUMNS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns", "data")
_QUESTIONS = ("prompt", "instruction", "question", "query", "problem", "input")
_PLAIN_CHAT = "OpenAI messages role/content"
_TEXT_COLUMNS = ("text", "content", "document", "body")


def conversations(rows: Iterable[Row], data: DataSection) -> Iterator[Conversation | RowProblem]:
    """Every row as a conversation, or as the reason why it cannot be one, in order."""
    for row in rows:
        yield to_conversation(row, data)


def to_conversation(row: Row, data: DataSection) -> Conversation | RowProblem:
    """One row as a conversation. Never raises for what the row holds."""
    if row.problem:
        where = f"{row.file}, line {row.line}: {row.problem}"
        return RowProblem(row.number, "unreadable-row", where, "mend or remove the row; the others are used")
    try:
        raw = _mapped(row.raw, data.columns) if data.columns else row.raw
        return _of_bearable_length(_converted(row.number, raw, data))
    except Unreadable as error:
        return RowProblem(row.number, error.code, error.cause, error.fix)
    except RecursionError:
        return RowProblem(row.number, "unreadable-row", "nested too deeply to be read", "flatten the row")


def _of_bearable_length(conversation: Conversation) -> Conversation:
    turns = len(conversation.messages)
    if turns > MOST_TURNS:
        what = f"{turns:,} turns in one row, more than {MOST_TURNS:,}"
        raise Unreadable("too-many-turns", what, "write it as several conversations")
    return conversation


def format_of(raw: Any) -> Format | None:
    """The name of the record's shape, or None if it is none that is known."""
    if isinstance(raw, list):
        return (
            "messages"
            if is_turns(raw) or (len(raw) > 1 and all(isinstance(turn, str) for turn in raw))
            else None
        )
    if not isinstance(raw, dict):
        return None
    if "input_ids" in raw:
        return "tokens"
    if is_preference(raw):
        return "preference"
    if _turn_column(raw) is not None:
        return "messages"
    if "prompt" in raw and "completion" in raw:
        return "prompt-completion"
    if pair_fields(raw) is not None:
        return "pair"
    if any(isinstance(raw.get(column), str) for column in _TEXT_COLUMNS):
        return "text"
    return None


def _converted(number: int, raw: Any, data: DataSection) -> Conversation:
    if type(raw) is dict and len(raw) == 1 and data.format == "auto" and not data.columns:
        turns = raw.get("messages")
        if type(turns) is list and turns and all(map(is_plain, turns)):
            return Conversation(number, "messages", plain_messages(turns), how=_PLAIN_CHAT)
    shape = format_of(raw) if data.format == "auto" else data.format
    if shape is None:
        raise _unknown_shape(raw)
    if isinstance(raw, list):
        raw = {"messages": raw}
    if isinstance(raw, str) and shape == "text":
        raw = {"text": raw}
    if not isinstance(raw, dict):
        raise _unknown_shape(raw)
    if shape == "tokens":
        return tokens(number, raw)
    if shape == "preference":
        return preference(number, raw, data.columns)
    if shape == "text":
        return _text(number, raw)
    if shape == "messages":
        return _turns(number, raw, data.columns)
    if shape == "prompt-completion":
        return _prompt_completion(number, raw, data.columns)
    fields = pair_fields(raw)
    if fields is None:
        raise _unknown_shape(raw)
    messages, how = pair_messages(raw, *fields)
    return _conversation(number, raw, messages, how)


def _turns(number: int, raw: dict[str, Any], columns: dict[str, str]) -> Conversation:
    column = _turn_column(raw)
    turns = parsed_json(raw[column]) if column else None
    if not isinstance(turns, list) or not turns:
        raise Unreadable(
            "no-messages", f"{column or 'messages'} holds no turns", "write a list of role and content"
        )
    system = system_messages(raw)
    if all(isinstance(turn, str) for turn in turns):
        roles = ("user", "assistant")
        plain = tuple(Message(roles[i % 2], text_of(turn, column or "")) for i, turn in enumerate(turns))
        return _conversation(number, raw, (*system, *plain), f"{column}: user and assistant by turns")
    if is_turns(turns) and pair_fields(turns[0]) and not {"role", "from", "content", "value"} & set(turns[0]):
        return _conversation(
            number, raw, (*system, *exchange_messages(turns)), f"{column}: one exchange per entry"
        )
    messages = messages_of(turns, columns)
    if all(message.role == "pretrain" for message in messages):
        text = "".join(str(message.content) for message in messages)
        return Conversation(
            number, "text", text=text, how="messages of role pretrain: plain text, all of it trained"
        )
    role, content = key_of_content(turns)
    dialect = "ShareGPT" if role == "from" else "OpenAI messages" if column == "messages" else f"{column}"
    renamed = roles_in_words(turns)
    how = f"{dialect} {role}/{content}" + (f": {renamed}" if renamed else "")
    if system and messages and messages[0].role == "system":
        system = ()
    return _conversation(number, raw, (*system, *history_messages(raw.get("history")), *messages), how)


def _prompt_completion(number: int, raw: dict[str, Any], columns: dict[str, str]) -> Conversation:
    if "prompt" not in raw or "completion" not in raw:
        raise _unknown_shape(raw)
    prompt, completion = parsed_json(raw["prompt"]), parsed_json(raw["completion"])
    if not is_turns(prompt) and not is_turns(completion):
        return Conversation(
            number,
            "text-completion",
            text=text_of(raw["prompt"], "prompt"),
            completion=text_of(raw["completion"], "completion"),
            how="prompt and completion as plain text: no chat template is used",
        )
    first = (
        messages_of(prompt, columns) if is_turns(prompt) else (Message("user", text_of(prompt, "prompt")),)
    )
    last = (
        messages_of(completion, columns)
        if is_turns(completion)
        else (Message("assistant", text_of(completion, "completion")),)
    )
    first = (*system_messages(raw), *first)
    return _conversation(
        number, raw, (*first, *last), "prompt and completion as messages", completion_from=len(first)
    )


def _conversation(
    number: int,
    raw: dict[str, Any],
    messages: tuple[Message, ...],
    how: str,
    completion_from: int | None = None,
) -> Conversation:
    kwargs = parsed_json(raw.get("chat_template_kwargs")) or {}
    if not isinstance(kwargs, dict):
        raise Unreadable(
            "wrong-type",
            f"chat_template_kwargs is {kind_of(kwargs)}, not an object",
            "write names and values",
        )
    return Conversation(
        number,
        "messages" if completion_from is None else "prompt-completion",
        messages,
        completion_from=completion_from,
        tools=tools_of(raw.get("tools")) or tools_of(raw.get("functions")),
        template_kwargs={key: value for key, value in kwargs.items() if value is not None},
        how=how,
    )


def _text(number: int, raw: dict[str, Any]) -> Conversation:
    column = next((column for column in _TEXT_COLUMNS if column in raw), None)
    if column is None:
        raise _unknown_shape(raw)
    return Conversation(number, "text", text=text_of(raw[column], column), how=f"plain text in {column}")


def _turn_column(raw: dict[str, Any]) -> str | None:
    for column in _TURN_COLUMNS:
        value = raw.get(column)
        if isinstance(value, list) or (isinstance(value, str) and isinstance(parsed_json(value), list)):
            return column
    prompt: Any = raw.get("prompt")
    if (
        "completion" not in raw
        and is_turns(prompt)
        and any(str(turn.get("role")).lower() == "assistant" for turn in prompt)
    ):
        return "prompt"
    return None


def _mapped(raw: Any, columns: dict[str, str]) -> Any:
    """The record under the names of the column map; only mapped columns (and tools, template arguments) count."""
    if not isinstance(raw, dict):
        return raw
    fields = {known: column for known, column in columns.items() if known not in ("role", "content")}
    if not fields:
        return raw
    missing = [column for column in fields.values() if column not in raw and "." not in column]
    if len(missing) == len(fields):
        raise Unreadable(
            "unknown-columns",
            f"no column {', '.join(missing)}; this row has {', '.join(map(str, list(raw)[:8]))}",
            "mend data.columns in the recipe",
        )
    kept = {key: raw[key] for key in ("tools", "functions", "chat_template_kwargs") if key in raw}
    return kept | {known: _reached(raw, column) for known, column in fields.items()}


def _reached(raw: dict[str, Any], column: str) -> Any:
    """A column, or a value inside one: `extra.answer`."""
    value: Any = raw
    for part in [column] if column in raw else column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _unknown_shape(raw: Any) -> Unreadable:
    if not isinstance(raw, dict):
        fix = (
            'write {"text": ...}, or set data.format = "text"'
            if isinstance(raw, str)
            else "write objects with named columns"
        )
        return Unreadable("unknown-format", f"the row is {kind_of(raw)}", fix)
    if is_turns(raw.get("prompt")):
        return Unreadable(
            "prompt-only",
            "a prompt without an answer: data for reinforcement learning",
            'name the answer: data.columns = {prompt = "prompt", completion = "YOUR COLUMN"}',
        )
    column = next((name for name in _TURN_COLUMNS if name in raw), None)
    if column is not None:
        return Unreadable(
            "wrong-type",
            f"{column} is {kind_of(raw[column])}, not a list of turns",
            "write a list of role and content",
        )
    if isinstance(raw.get("prompt"), dict) and "message_tree_id" in raw:
        return Unreadable(
            "message-tree",
            "a tree of messages with many answers (OpenAssistant)",
            "write each path from root to leaf as one conversation",
        )
    question = next((name for name in _QUESTIONS if isinstance(raw.get(name), str)), None)
    if question is not None:
        return Unreadable(
            "prompt-only",
            f"{question} has no answer beside it; the columns are {', '.join(map(str, list(raw)[:8]))}",
            f'name the answer: data.columns = {{prompt = "{question}", completion = "YOUR COLUMN"}}',
        )
    named = f"the columns are {', '.join(map(str, list(raw)[:8]))}" if raw else "the row has no columns"
    return Unreadable(
        "unknown-columns",
        f"no known shape; {named}",
        'say which is which: data.columns = {prompt = "...", completion = "..."}',
    )
