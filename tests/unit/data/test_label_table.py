"""The table of docs/labels.md, what each mode does with each part of a conversation, held against the labels."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from core.data.view import show_row
from core.recipe import Recipe, with_changes

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "core" / "demo" / "model"
# Prints thinking, tool calls and tool results; the generation prompt supplies the role tag alone.
TEMPLATE = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n' }}{%- endif %}{{ m.content }}"
    "{%- for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function.name + '</tool_call>' }}{%- endfor %}"
    "{{ '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": {}}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is the key?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "below the stone"},
    {"role": "assistant", "content": "Below it.", "reasoning_content": "The stone."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Here.", "reasoning_content": "I hold it."},
]
WHOLE = {"messages": MESSAGES}
ONLY_USERS = {"messages": [{**message, "train": message["role"] == "user"} for message in MESSAGES]}
ALL_FLAGGED = {"messages": [{**message, "train": True} for message in MESSAGES]}
SPLIT = {"prompt": MESSAGES[:2], "completion": MESSAGES[2:]}
RESPONSE = {"response_template": "<|im_start|>assistant\n"}
EVERY_TURN = {**RESPONSE, "instruction_template": "<|im_start|>user\n"}
ROLES = ["system", "user", "assistant", "tool"]

# Each mode with the ways it can be used: a row, and the settings beside loss_on.
MODES: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "assistant": [(WHOLE, {})],
    "last": [(WHOLE, {})],
    "completion": [(WHOLE, {}), (SPLIT, {})],
    "all": [(WHOLE, {})],
    "roles": [(WHOLE, {"roles": ["assistant"]}), (WHOLE, {"roles": ROLES}), (WHOLE, {"roles": ["user"]})],
    "flags": [(WHOLE, {}), (ALL_FLAGGED, {}), (ONLY_USERS, {})],
    "response-template": [(WHOLE, RESPONSE), (WHOLE, EVERY_TURN)],
}


@cache
def tokens(mode: str, way: int, folder: Path) -> list[Any]:
    row, settings = MODES[mode][way]
    (folder / "t.jinja").write_text(TEMPLATE)
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    changes = {"data.source": "rows.jsonl", "data.template": "t.jinja", "data.loss_on": mode}
    changes |= {f"data.{key}": value for key, value in settings.items()}
    shown = show_row(with_changes(Recipe(), changes), DEMO, 0, workspace=folder)
    assert shown.problem == ""
    return list(shown.tokens)


def part(mode: str, way: int, folder: Path, role: str, *parts: str) -> set[bool]:
    """Whether tokens of these parts are trained: both values where some are."""
    found = {t.label != -100 for t in tokens(mode, way, folder) if t.role in role.split() and t.part in parts}
    assert found
    return found


def outcome(element: str, mode: str, way: int, folder: Path) -> str:
    """What became of an element: "yes", "no", or, of the answers, "the last"."""
    if element == "answers":
        answers = [t for t in tokens(mode, way, folder) if t.role == "assistant" and t.part == "content"]
        trained = {t.message for t in answers if t.label != -100}
        return {(): "no", (6,): "the last", (4, 6): "yes"}[tuple(sorted(trained))]
    if element == "stop token of a trained turn":
        shown = tokens(mode, way, folder)
        answered = {
            t.message for t in shown if t.part in ("content", "tool call", "tool result") and t.label != -100
        }
        return (
            "yes"
            if all(t.label != -100 for t in shown if t.part == "stop" and t.message in answered)
            else "no"
        )
    places = {
        "new line after the stop token": ("assistant", "separator"),
        "thinking in an answer": ("assistant", "thinking"),
        "tool calls": ("assistant", "tool call"),
        "tool results": ("tool", "tool result"),
        "system, user": ("system user", "content"),
        "role tag before an answer": ("assistant", "header"),
    }
    return "yes" if True in part(mode, way, folder, *places[element]) else "no"


# What a cell of the table promises, for each way its mode can be used, in the order of MODES.
MEANS: dict[str, list[tuple[str, ...]]] = {
    "yes": [("yes",), ("yes", "yes"), ("yes", "yes", "yes")],
    "no": [("no",), ("no", "no"), ("no", "no", "no")],
    "the last": [("the last",)],
    "if in the last": [("no",)],  # the call is in an earlier answer
    "the completion": [("the last", "yes")],
    "if in the completion": [("no", "yes")],
    "if assistant is named": [("yes", "yes", "no")],
    "by flag, else yes": [("yes", "yes", "no")],
    "if named": [("no", "yes", "no"), ("no", "yes", "yes")],
    "if flagged": [("no", "yes", "no"), ("no", "yes", "yes")],
    "what follows it": [("the last", "yes")],
    "if they follow it": [("no", "yes")],
    "if it follows": [("no", "yes")],
}


def table() -> dict[tuple[str, str], str]:
    """The cells of the documentation by element and mode, without the empty ones."""
    lines = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8").partition("| | `assistant`")
    head, _, *rows = (lines[1] + lines[2]).partition("\n\n")[0].splitlines()
    modes = [cell.strip(" `") for cell in head.strip("|").split("|")[1:]]
    cells = {}
    for row in rows:
        element, *values = (cell.strip() for cell in row.strip("|").split("|"))
        cells |= {(element, mode): value for mode, value in zip(modes, values, strict=True) if value}
    return cells


@pytest.mark.parametrize("mode", MODES)
def test_the_table_is_what_the_labels_do(tmp_path_factory: pytest.TempPathFactory, mode: str) -> None:
    folder = tmp_path_factory.mktemp(mode)
    cells = {element: value for (element, of_mode), value in table().items() if of_mode == mode}
    assert len(cells) >= 8
    for element, promised in cells.items():
        if element.startswith("appended EOS"):
            assert promised == "yes"
            continue
        found = tuple(outcome(element, mode, way, folder) for way in range(len(MODES[mode])))
        assert found in MEANS[promised], (element, promised, found)


@pytest.mark.parametrize(
    ("mode", "row", "settings"),
    [
        ("completion", {"prompt": "One", "completion": " two."}, {}),
        ("all", {"text": "One two."}, {}),
        ("response-template", {"text": "Q: one A: two."}, {"response_template": "A:"}),
    ],
)
def test_an_appended_end_is_trained(
    tmp_path: Path, mode: str, row: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert table()["appended EOS (plain rows)", mode] == "yes"
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    changes = {"data.source": "rows.jsonl", "data.loss_on": mode} | {
        f"data.{k}": v for k, v in settings.items()
    }
    last = show_row(with_changes(Recipe(), changes), DEMO, 0, workspace=tmp_path).tokens[-1]
    assert last.part == "added eos" and last.label == last.id


def test_what_the_generation_prompt_supplies_is_left_out(tmp_path: Path) -> None:
    """A template whose prompt opens the thought: the tag is trained under all only."""
    opened = TEMPLATE.replace("'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>\\n' }}")
    (tmp_path / "t.jinja").write_text(opened)
    chat = {"messages": [MESSAGES[1], MESSAGES[4]]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(chat) + "\n")
    trained = {}
    for mode in ("assistant", "last", "all"):
        changes = {"data.source": "rows.jsonl", "data.template": "t.jinja", "data.loss_on": mode}
        shown = show_row(with_changes(Recipe(), changes), DEMO, 0, workspace=tmp_path)
        trained[mode] = "".join(token.text for token in shown.tokens if token.label != -100)
    assert trained["assistant"] == trained["last"] == "The stone.\n</think>\nBelow it.<|im_end|>"
    assert "<think>" in trained["all"]
