"""`loss_on = "response-template"`: the loss falls on what follows a text, up to the next question."""

from __future__ import annotations

import json

import numpy as np

from core.data.types import IGNORED
from core.recipe import DataSection


def response_spans(text: str, section: DataSection) -> tuple[tuple[int, int], ...]:
    """Characters after each response template up to the next instruction template, or to the end.

    Without an instruction template only the last answer counts, as the former collator of TRL did. The
    search runs on the rendered text, so it cannot miss a marker that merges with its neighbours in tokens.
    """
    answer, question = section.response_template, section.instruction_template
    if not question:
        start = text.rfind(answer)
        return () if start < 0 else ((start + len(answer), len(text)),)
    spans = []
    position = 0
    while (start := text.find(answer, position)) >= 0:
        start += len(answer)
        end = text.find(question, start)
        end = len(text) if end < 0 else end
        spans.append((start, end))
        position = end
    return tuple(spans)


def response_ids(section: DataSection) -> tuple[list[int], list[int]] | None:
    """Response and instruction templates given as ids, written as a list such as "[32001]"; None for text."""
    if section.loss_on != "response-template":
        return None
    answer, question = _ids(section.response_template), _ids(section.instruction_template)
    return None if answer is None else (answer, question or [])


def label_by_ids(ids: np.ndarray, answer: list[int], question: list[int]) -> np.ndarray:
    """As `response_spans`, on ids: labels of the tokens after the answer's ids."""
    labels: np.ndarray = np.full(len(ids), IGNORED, dtype=np.int32)
    answers = _found(ids, answer)
    if not question:
        if len(answers):
            start = int(answers[-1]) + len(answer)
            labels[start:] = ids[start:]
        return labels
    questions = _found(ids, question)
    for found in answers.tolist():
        begin = found + len(answer)
        later = questions[questions >= begin]
        end = later[0] if len(later) else len(ids)
        labels[begin:end] = ids[begin:end]
    return labels


def _ids(text: str) -> list[int] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and value and all(type(item) is int for item in value) else None


def _found(ids: np.ndarray, wanted: list[int]) -> np.ndarray:
    if len(ids) < len(wanted):
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(ids, len(wanted))
    return np.nonzero((windows == np.asarray(wanted)).all(axis=1))[0]
