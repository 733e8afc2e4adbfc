"""The demo's data files as text: the same bytes every time they are made."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from core.demo import talk
from core.demo.grammar import Sentence, held_out_sentence, known_sentence
from core.demo.trouble import troubled_lines

TRAIN_ROWS = 700
HELD_OUT_ROWS = 100
SEED = 2


def data_files() -> dict[str, str]:
    """Name and content of every file of core/demo/data."""
    yoda, plain = _held_out()
    return {
        "yoda.jsonl": _lines(_train()),
        "yoda_held_out.jsonl": _lines(yoda),
        "repeat_held_out.jsonl": _lines(plain),
        "troubled.jsonl": "\n".join(troubled_lines(yoda[0])) + "\n",
    }


def _train() -> list[dict[str, Any]]:
    """Requests to say a sentence, answered in Yoda order; every sentence stands in one row only.

    One row in eight has two exchanges, one in twelve a system message.
    """
    rng, sentences = Random(SEED), Random(SEED + 1)
    told: set[str] = set()
    rows = []
    for number in range(TRAIN_ROWS):
        exchanges = [
            talk.say(rng, _new(sentences, told), yoda=True) for _ in range(2 if number % 8 == 5 else 1)
        ]
        system = rng.choice(talk.SYSTEMS) if number % 12 == 7 else ""
        rows.append({"messages": talk.messages(exchanges, system=system)})
    return rows


def _new(rng: Random, told: set[str]) -> Sentence:
    while (sentence := known_sentence(rng)).plain in told:
        pass
    told.add(sentence.plain)
    return sentence


def _held_out() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Requests with sentences that no training ever sees: answered in Yoda order, and in plain order."""
    rng, sentences = Random(SEED + 2), Random(SEED + 3)
    told: dict[str, Sentence] = {}
    while len(told) < HELD_OUT_ROWS:
        sentence = held_out_sentence(sentences)
        told.setdefault(sentence.plain, sentence)
    yoda, plain = [], []
    for sentence in told.values():
        asked, answer = talk.say(rng, sentence)
        plain.append({"messages": talk.messages([(asked, answer)])})
        yoda.append({"messages": talk.messages([(asked, sentence.yoda)])})
    return yoda, plain


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
