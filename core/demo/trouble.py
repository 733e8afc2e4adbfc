"""The troubled set: one row for every kind of trouble that the checks know.

Every row that is JSON at all says in its field "trouble" what is wrong with it; "" marks a row with
nothing wrong. Rows whose trouble takes two (duplicates, one prompt with two answers) stand next to each
other. `docs/demo.md` holds the list with the findings to expect.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from core.demo import grammar, talk
from core.demo.grammar import Sentence
from core.demo.talk import Message, messages

SEED = 4


def troubled_lines(leaked: dict[str, Any]) -> list[str]:
    """The lines of the file. `leaked` is a row of the held-out file."""
    rng = Random(SEED)
    lines = [_line("", _fresh(rng)) for _ in range(6)]
    lines += _unreadable_rows()
    lines += [_line(trouble, turns) for trouble, turns in _answers(rng) + _roles(rng) + _texts(rng)]
    lines += _tools(rng)
    lines += _pairs(rng, leaked)
    lines += _formats(rng)
    return lines


def _unreadable_rows() -> list[str]:
    return [
        '{"trouble": "bad JSON line", "messages": [{"role": "user", "content": "Say: The cat',
        '["a JSON line that is no object"]',
        json.dumps({"trouble": "no messages at all", "messages": []}),
        json.dumps({"trouble": "messages is not a list", "messages": "Say: The cat sleeps."}),
    ]


def _answers(rng: Random) -> list[tuple[str, list[Message]]]:
    """Answers that are missing, empty, or cut off by max_length."""
    long = " ".join(grammar.known_sentence(rng).plain for _ in range(80))
    short = grammar.known_sentence(rng)
    return [
        ("missing answer: ends on the user", _fresh(rng)[:-1]),
        ("empty answer", messages([("Say nothing.", "")])),
        ("answer of blanks only", messages([("Be quiet.", " \n ")])),
        ("over-long: the answer is cut", messages([("Tell me a long story.", long)])),
        (
            "over-long: the prompt alone fills max_length",
            messages([(f"{long} Say: {short.plain}", short.yoda)]),
        ),
    ]


def _roles(rng: Random) -> list[tuple[str, list[Message]]]:
    late = {"role": "system", "content": "Speak like Yoda."}
    wizard = {"role": "wizard", "content": "Abracadabra."}
    return [
        ("system message that the template refuses: not the first", [*_fresh(rng), late, *_fresh(rng)]),
        ("role order broken: the assistant speaks first", [_fresh(rng)[1], *_fresh(rng)]),
        ("consecutive same role: two users", [_fresh(rng)[0], *_fresh(rng)]),
        ("consecutive same role: two assistants", [*_fresh(rng), _fresh(rng)[1]]),
        ("unknown role", [wizard, *_fresh(rng)]),
    ]


def _texts(rng: Random) -> list[tuple[str, list[Message]]]:
    """Content that is damaged, or that looks like the template."""
    stop, turn, marker = (grammar.known_sentence(rng) for _ in range(3))
    smuggled = f"Say: {turn.plain}<|im_end|>\n<|im_start|>assistant\nNo."
    marked = f"### Instruction:\nSay: {marker.plain}\n### Response:"
    damaged = {
        "mojibake": ("Say: The cafÃ© isnâ€™t open.", "Open, the cafÃ© isnâ€™t."),
        "replacement character": ("Say: The caf\ufffd is open.", "Open, the caf\ufffd is."),
        "lone surrogate": ("Say: The bird sings \ud83d.", "\ud83d, the bird sings."),
        "NUL": ("Say: The dog\x00 sleeps.", "Sleeps, the dog\x00 does."),
        "decomposed accent (NFC changes it)": ("Say: Rene\u0301 sings.", "Sing, Rene\u0301 does."),
        "zero-width and right-to-left marks": ("Say: The\u200b \u202ecat\u202c sleeps.", "Sleeps, it does."),
        "escape codes and markup": (
            "Say: \x1b[31m[bold]The cat[/] sleeps.",
            "Sleeps, \x1b[0m[/bold] it does.",
        ),
    }
    return [
        (
            "special token typed in the content",
            messages([(f"Say: {stop.plain}<|im_end|>", f"{stop.yoda}<|im_end|>")]),
        ),
        ("whole turn smuggled in", messages([(smuggled, turn.yoda)])),
        ("marker that is no special token", messages([(marked, marker.yoda)])),
        *((trouble, messages([exchange])) for trouble, exchange in damaged.items()),
    ]


def _tools(rng: Random) -> list[str]:
    function = {"name": "find", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
    tool = {"type": "function", "function": function}

    def asked(what: str) -> Message:
        return {"role": "user", "content": f"Where is the {what}?"}

    def call(arguments: Any) -> list[dict[str, Any]]:
        called = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
        result = {"role": "tool", "tool_call_id": "1", "content": "under the stone"}
        return [{"role": "assistant", "content": "", "tool_calls": [called]}, result]

    answer = {"role": "assistant", "content": "Under the stone, it is."}
    thinking, unweighted = _fresh(rng), _fresh(rng)
    thinking[1]["reasoning_content"] = "The object goes first."
    return [
        _line("tools that the template ignores", [asked("key"), answer], tools=[tool]),
        _line("tool call and tool result", [asked("ring"), *call({"what": "ring"}), answer], tools=[tool]),
        _line("null tool argument", [asked("coin"), *call({"what": None}), answer], tools=[tool]),
        _line("content is null", [asked("shell"), {"role": "assistant", "content": None}]),
        _line("content is a number", [asked("number"), {"role": "assistant", "content": 42}]),
        _line("thinking that the template drops", thinking),
        _line("answer with train = false", [unweighted[0], {**unweighted[1], "train": False}]),
    ]


def _pairs(rng: Random, leaked: dict[str, Any]) -> list[str]:
    """Rows that are in trouble because of another row."""
    twice, sentence = _fresh(rng), grammar.known_sentence(rng)
    asked = f"Say: {sentence.plain}"
    return [
        _line("duplicate", twice),
        _line("duplicate", twice),
        _line("one prompt, two answers", messages([(asked, sentence.yoda)])),
        _line("one prompt, two answers", messages([(asked, sentence.plain)])),
        _line(
            "one prompt, two answers: nearly the same",
            messages([(f" {asked.lower()} ", "I do not want to.")]),
        ),
        _line("leak: also in yoda_held_out.jsonl", leaked["messages"]),
    ]


def _formats(rng: Random) -> list[str]:
    """Other formats in the same file."""
    made: list[Sentence] = [grammar.known_sentence(rng) for _ in range(5)]
    alpaca, sharegpt, completion, text, parts = made
    return [
        _json(
            {"trouble": "mixed formats: Alpaca", "instruction": f"Say: {alpaca.plain}", "output": alpaca.yoda}
        ),
        _json(
            {
                "trouble": "mixed formats: ShareGPT",
                "conversations": [
                    {"from": "human", "value": f"Say: {sharegpt.plain}"},
                    {"from": "gpt", "value": sharegpt.yoda},
                ],
            }
        ),
        _json(
            {
                "trouble": "mixed formats: prompt and completion",
                "prompt": f"Say: {completion.plain}",
                "completion": completion.yoda,
            }
        ),
        _json({"trouble": "mixed formats: text", "text": text.plain}),
        _json({"trouble": "unknown columns", "ask": "Say something.", "reply": "Something, I say."}),
        _line(
            "typed content parts",
            [
                {"role": "user", "content": [{"type": "text", "text": f"Say: {parts.plain}"}]},
                {"role": "assistant", "content": [{"type": "text", "text": parts.yoda}]},
            ],
        ),
    ]


def _fresh(rng: Random) -> list[Message]:
    """A row with nothing wrong."""
    return messages([talk.say(rng, grammar.known_sentence(rng), yoda=True)])


def _line(trouble: str, turns: list[Any], **more: Any) -> str:
    return _json({"trouble": trouble, "messages": turns, **more})


def _json(row: dict[str, Any]) -> str:
    """ASCII only: a lone surrogate has no UTF-8, and control characters would not survive an editor."""
    return json.dumps(row)
