"""Do two forms of a model say the same? Logits on real prompts, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.chat.load import LoadedModel
from core.chat.subject import Subject

PROMPTS = 4
TOKENS = 128
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: What is the capital of France?\nAnswer: Paris.",
    "def add(a, b):\n    return a + b\n",
    "In the year 1969, two people walked on the Moon.",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two models' logits are apart over `positions` token positions.

    `same_choice` is the share of positions where both find the same token most likely.
    """

    what: str
    max_difference: float
    mean_difference: float
    same_choice: float
    positions: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.what}: logits differ by {self.max_difference:.3g} at most, {self.mean_difference:.3g} on average; "
            f"same next token at {self.same_choice:.1%} of {self.positions} positions"
        )


def sample_prompts(subject: Subject, tokenizer: Any) -> list[list[int]]:
    """Ids to compare on: held-out rows of the run if it has any, else a few plain texts."""
    from core.chat.questions import read_rows
    from core.runs.folder import Run

    if subject.run is not None:
        run = Run(subject.run)
        noted = run.read_json(run.identity).get("data", {})
        for name in ("eval_folder", "folder"):
            folder = run.folder / noted[name] if noted.get(name) else None
            if folder is not None and folder.is_dir():
                return [list(row.input_ids[:TOKENS]) for row in read_rows(folder, PROMPTS)]
    return [tokenizer.encode(text)[:TOKENS] for text in TEXTS]


def logits_of(model: Any, prompts: Sequence[Sequence[int]]) -> list[Any]:
    """Logits [tokens, vocabulary] of every prompt, float32 on the CPU."""
    import torch

    found = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0, -len(prompt) :]
            found.append(logits.float().cpu())
    return found


def compared(what: str, ours: Sequence[Any], theirs: Sequence[Any]) -> Comparison:
    """Compare two results of `logits_of` for the same prompts. A longer vocabulary is cut to the shorter."""
    import torch

    size = min(ours[0].shape[-1], theirs[0].shape[-1])
    one = torch.cat([logits[:, :size] for logits in ours])
    other = torch.cat([logits[:, :size] for logits in theirs])
    difference = (one - other).abs()
    return Comparison(
        what,
        float(difference.max()),
        float(difference.mean()),
        float((one.argmax(-1) == other.argmax(-1)).double().mean()),
        len(one),
    )


def release(loaded: LoadedModel) -> None:
    """Give a model's memory back before the next one is loaded."""
    import gc

    import torch

    loaded.model = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
