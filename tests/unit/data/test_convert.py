"""Every shape of record becomes the conversation a person would write by hand, or a problem that says why not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.convert import to_conversation
from core.data.rows import read_rows
from core.data.types import Conversation, Row, RowProblem
from core.recipe import DataSection


def converted(raw: Any, **section: Any) -> Conversation | RowProblem:
    return to_conversation(Row(7, "a.jsonl", 8, raw), DataSection(**section))


def conversation(raw: Any, **section: Any) -> Conversation:
    result = converted(raw, **section)
    assert isinstance(result, Conversation), result
    return result


def turns(raw: Any, **section: Any) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation(raw, **section).messages]


HI = [("user", "Hi"), ("assistant", "Yes.")]


@pytest.mark.parametrize(
    ("raw", "expected", "how"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}, HI, "OpenAI messages role/content"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}], HI, "OpenAI messages role/content"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes."}]}, HI, "ShareGPT from/value: human is user, gpt is assistant"),
        ({"conversations": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}, HI, "conversations role/content"),
        ({"messages": json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}])}, HI, "OpenAI messages role/content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "value": "Hi"}]}, {"role": "assistant", "content": [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}]}]}, HI, "OpenAI messages role/content"),
        ({"instruction": "Hi", "input": "", "output": "Yes."}, HI, "instruction is the user's turn, output the assistant's"),
        ({"question": "Hi", "answer": "Yes."}, HI, "question is the user's turn, answer the assistant's"),
        ({"prompt": "Hi", "response": "Yes."}, HI, "prompt is the user's turn, response the assistant's"),
        ({"input": "Hi", "output": "Yes.", "id": 3}, HI, "input is the user's turn, output the assistant's"),
        ({"conversation": [{"human": "Hi", "assistant": "Yes."}]}, HI, "conversation: one exchange per entry"),
        ({"data": ["Hi", "Yes."]}, HI, "data: user and assistant by turns"),
    ],
)  # fmt: skip
def test_shapes(raw: Any, expected: list, how: str) -> None:
    result = conversation(raw)
    assert (result.row, result.kind, result.how) == (7, "messages", how)
    assert turns(raw) == expected


def test_alpaca_with_input_system_and_history() -> None:
    raw = {
        "instruction": "Add",
        "input": "1+1",
        "output": "2",
        "history": [["a", "b"]],
        "system": "Be brief.",
    }
    assert turns(raw) == [
        ("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "Add\n1+1"), ("assistant", "2"),
    ]  # fmt: skip


def test_prompt_and_completion() -> None:
    plain = conversation({"prompt": "The sky is", "completion": " blue."})
    assert (plain.kind, plain.text, plain.completion) == ("text-completion", "The sky is", " blue.")
    chat = conversation(
        {
            "prompt": [{"role": "user", "content": "Hi"}],
            "completion": [{"role": "assistant", "content": "Yes."}],
        }
    )
    assert (chat.kind, chat.completion_from, len(chat.messages)) == ("prompt-completion", 1, 2)


def test_text() -> None:
    for raw in (
        {"text": "Once"},
        {"content": "Once"},
        {"messages": [{"role": "pretrain", "content": "Once"}]},
    ):
        assert (conversation(raw).kind, conversation(raw).text) == ("text", "Once")
    assert conversation("Once", format="text").text == "Once"


def test_tool_calls_and_tools_in_their_usual_shapes() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    tool = {"name": "add", "parameters": {}}
    share = conversation({
        "conversations": [
            {"from": "human", "value": "1+1?"},
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
            {"from": "observation", "value": "2"},
            {"from": "gpt", "value": "Two."},
        ],
        "tools": json.dumps([tool]),
    })  # fmt: skip
    assert [message.role for message in share.messages] == ["user", "assistant", "tool", "assistant"]
    assert share.messages[1].tool_calls == (call,) and share.messages[1].content == ""
    assert share.tools == ({"type": "function", "function": tool},)
    openai = conversation({"messages": [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "tool_call_id": "x", "name": "add", "content": "2"},
    ]})  # fmt: skip
    assert openai.messages[0].tool_calls == ({"id": "x", **call},)
    assert openai.messages[1].extra == {"tool_call_id": "x", "name": "add"}
    legacy = conversation(
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "add", "arguments": '{"a": 1}'},
                }
            ]
        }
    )
    assert legacy.messages[0].tool_calls == (call,)
    parts = conversation({"messages": [{"role": "assistant", "content": [
        {"type": "reasoning", "value": "Hm."}, {"type": "tool_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
    ]}]})  # fmt: skip
    assert parts.messages[0].tool_calls == (call,) and parts.messages[0].reasoning == "Hm."


def test_reasoning_under_every_name() -> None:
    for key in ("reasoning_content", "thinking", "reasoning"):
        result = conversation({"messages": [{"role": "assistant", "content": "4", key: "2+2"}]})
        assert result.messages[0].reasoning == "2+2"


@pytest.mark.parametrize(
    ("flags", "train", "weight"),
    [
        ({"train": False}, False, None), ({"train": True}, True, None), ({"loss": True}, True, None),
        ({"masked": True}, False, None), ({"weight": 0}, False, 0.0), ({"loss_weight": 1.0}, True, 1.0), ({}, None, None),
    ],
)  # fmt: skip
def test_flags_of_every_name(flags: dict, train: bool | None, weight: float | None) -> None:
    message = conversation({"messages": [{"role": "assistant", "content": "4", **flags}]}).messages[0]
    assert (message.train, message.weight) == (train, weight)


def test_tokenised_rows() -> None:
    assert conversation({"input_ids": [1, 2], "labels": [-100, 2]}).labels == (-100, 2)
    assert conversation({"input_ids": [1, 2], "completion_mask": [0, 1]}).labels == (-100, 2)
    assert conversation({"input_ids": [1, 2], "attention_mask": [1.0, 1.0]}).labels == (1, 2)


def test_preferences_are_recognised_and_shown() -> None:
    pair = conversation(
        {
            "prompt": "Hi",
            "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}],
            "rejected": [],
        }
    )
    assert pair.kind == "preference" and [(m.role, m.content) for m in pair.messages] == HI
    judged = conversation(
        {
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}],
            "label": False,
        }
    )
    assert (judged.kind, judged.how) == ("preference", "KTO: an answer judged bad")


def test_the_column_map_overrides_what_would_be_recognised() -> None:
    raw = {"question": "no", "answer": "no", "q": "Hi", "extra": {"a": "Yes."}, "tools": []}
    assert turns(raw, columns={"question": "q", "answer": "extra.a"}) == HI
    items = {"log": [{"who": "human", "says": "Hi"}, {"who": "bot", "says": "Yes."}]}
    assert turns(items, columns={"messages": "log", "role": "who", "content": "says"}) == HI
    wrong = converted(raw, columns={"text": "nowhere"})
    assert isinstance(wrong, RowProblem) and wrong.code == "unknown-columns" and "nowhere" in wrong.cause


def test_role_names_are_read_in_any_case_and_said_so() -> None:
    shouted = converted(
        {"messages": [{"role": "User", "content": "Hi"}, {"role": "ASSISTANT", "content": "Yes."}]}
    )
    assert not isinstance(shouted, RowProblem)
    assert [message.role for message in shouted.messages] == ["user", "assistant"]
    assert shouted.how == "OpenAI messages role/content: User is user, ASSISTANT is assistant"


def test_a_call_or_a_silent_reply_needs_no_content() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {}}}
    called = converted(
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]}
    )
    silent = converted(
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None}]}
    )
    assert not isinstance(called, RowProblem) and not isinstance(silent, RowProblem)


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        ({"messages": [{"toy_input": "x"}]}, "unknown-message-keys", "its keys are toy_input"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "Yes."}]}, "missing-content", "turn 1 (user) has no content"),
        ({"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "Yes."}]}, "missing-content", "turn 1 (user)"),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant"}]}, "missing-content", "turn 2 (assistant)"),
        ({"messages": [{"role": "user", "contnet": "Hi"}]}, "unknown-message-keys", "turn 1 has no content; its keys are role, contnet"),
        ({"conversations": [{"from": "human"}, {"from": "gpt", "value": "Yes."}]}, "missing-content", "turn 1 (user)"),
        ({}, "unknown-columns", "no known shape; the row has no columns"),
        ({"messages": []}, "no-messages", "holds no turns"),
        ({"a": 1, "b": 2}, "unknown-columns", "the columns are a, b"),
        ({"question": "Hi", "answer": float("nan")}, "missing-value", "answer is NaN"),
        ({"question": "Hi", "answer": {"a": 1}}, "wrong-type", "answer is an object, not text"),
        ({"question": "Hi", "answer": "\ud83e"}, "lone-surrogate", "U+D83E"),
        ({"prompt": [{"role": "user", "content": "Hi"}]}, "prompt-only", "reinforcement"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "not-text", "type image"),
        ({"conversations": [{"from": "function_call", "value": "add(1)"}]}, "tool-call-unreadable", "add(1)"),
        ({"input_ids": [1, 2], "labels": [1]}, "wrong-length", "2 input_ids but 1 labels"),
        ({"input_ids": ["a"]}, "wrong-type", "no whole number"),
        ({"message_tree_id": "x", "prompt": {}}, "message-tree", "tree"),
        (3, "unknown-format", "the row is a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(raw: Any, code: str, says: str) -> None:
    problem = converted(raw)
    assert isinstance(problem, RowProblem)
    assert (problem.row, problem.code) == (7, code) and says in problem.cause and problem.fix


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "from", "value", "prompt", "completion", "text", "tools", "type",
                         "instruction", "output", "history", "input_ids", "labels", "chosen", "rejected", "label", "tool_calls"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_no_record_ever_raises(raw: Any) -> None:
    result = converted(raw)
    assert result.row == 7
    if isinstance(result, Conversation):
        assert result.how
        assert all(isinstance(message.content, str) for message in result.messages)


KINDS = {
    "alpaca": "messages", "csv": "messages", "dpo": "preference", "folder": "messages", "kto": "preference",
    "pretokenized": "tokens", "sharegpt": "messages", "tools": "messages", "weights": "messages",
}  # fmt: skip


def test_every_shared_file_is_recognised(shared_data: Path) -> None:
    for path in sorted((shared_data / "datasets").glob("*/*")):
        section = DataSection(source=str(path))
        kinds = Counter(
            result.kind if isinstance(result, Conversation) else result.code
            for result in (to_conversation(row, section) for row in read_rows(str(path)))
        )
        if path.parent.name in KINDS and path.name != "torchtune_hh_rlhf_tiny.json":
            assert set(kinds) == {KINDS[path.parent.name]}, path.name
    counts = {
        "messages/xtuner_openai_sft.jsonl": ("messages", 128),
        "messages/oasst_en_trees_25.jsonl": ("message-tree", 25),
        "messages/xtuner_multi_turn_toy_keys.json": ("unknown-message-keys", 2),
        "prompt_completion/mlx_wwdc25_200.jsonl": ("text-completion", 200),
        "prompt_completion/oasst_conversational.jsonl": ("prompt-completion", 150),
        "rl/xtuner_gsm8k_train_40.jsonl": ("prompt-only", 40),
        "text/xtuner_pretrain_role.jsonl": ("text", 3),
    }
    for name, (kind, count) in counts.items():
        path = shared_data / "datasets" / name
        results = [to_conversation(row, DataSection()) for row in read_rows(str(path))]
        assert [r.kind if isinstance(r, Conversation) else r.code for r in results] == [kind] * count, name
