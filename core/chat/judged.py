"""What an evaluation found: every contender's figures, rows and answers, and the differences between them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.general import GeneralAnswer, GeneralScores, general_prompts, general_scores
from core.chat.metrics import Difference, Marked, RowLoss, Scores


@dataclass(frozen=True, slots=True)
class Judged:
    """What one contender achieved: its figures, and every row and answer behind them.

    `general` holds its answers to the general prompts, in their order; empty if they were not asked.
    """

    name: str
    label: str
    scores: Scores
    losses: tuple[RowLoss, ...]
    answers: tuple[Marked, ...]
    general: tuple[GeneralAnswer, ...] = ()

    @property
    def general_scores(self) -> GeneralScores | None:
        return general_scores(self.general) if self.general else None

    def to_json(self) -> dict[str, Any]:
        general = self.general_scores
        return {
            "label": self.label,
            **self.scores.to_json(),
            **({"general": general.to_json()} if general else {}),
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All contenders on the same rows. `differences`: other's name -> figure -> first minus other."""

    data: str
    folder: Path
    models: tuple[Judged, ...]
    differences: dict[str, dict[str, Difference]]
    questions: tuple[str, ...]  # the prompt of every question, as text
    seconds: float

    def to_json(self, worst: int = 10) -> dict[str, Any]:
        """The documented shape: figures per model, differences with intervals, the worst answers."""
        told = {
            other: {name: value.to_json() for name, value in found.items()}
            for other, found in self.differences.items()
        }
        return {
            "data": self.data,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 3),
            "models": {judged.name: judged.to_json() for judged in self.models},
            "difference": next(iter(told.values()), {}),
            "differences": told,
            "worst": [self._beside(number) for number in self.worst(worst)],
            "forgotten": self.forgotten(),
        }

    def worst(self, count: int) -> list[int]:
        """Numbers of the questions the first model got wrong, the least alike first."""
        if not self.models:
            return []
        wrong = [answer for answer in self.models[0].answers if not answer.exact]
        wrong.sort(key=lambda answer: (answer.normalised, answer.stopped, _likeness(answer)))
        return [answer.question for answer in wrong[:count]]

    def forgotten(self) -> list[dict[str, Any]]:
        """General prompts that the second model answers rightly and the first does not."""
        asked = [judged for judged in self.models if judged.general]
        if len(asked) < 2:
            return []
        first, other = asked[:2]
        return [
            {
                "kind": prompt.kind,
                "prompt": prompt.prompt,
                "accept": list(prompt.accept),
                "answers": {first.name: ours.text, other.name: theirs.text},
            }
            for prompt, ours, theirs in zip(general_prompts(), first.general, other.general, strict=True)
            if theirs.right and ours.right is False
        ]

    def _beside(self, number: int) -> dict[str, Any]:
        first = self.models[0].answers[number]
        return {
            "row": first.row,
            "prompt": self.questions[number],
            "expected": first.expected,
            "answers": {judged.name: judged.answers[number].text for judged in self.models},
        }


def _likeness(answer: Marked) -> float:
    return difflib.SequenceMatcher(None, answer.text[:2000], answer.expected[:2000]).ratio()
