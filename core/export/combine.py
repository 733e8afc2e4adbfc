"""Several adapters of one base made into one, by PEFT's own methods; each result is compared with the exact sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.load import FIRST_ADAPTER, add_adapter, load
from core.chat.subject import Subject, read_adapter_config
from core.errors import UsageError
from core.export.adapter import copy_tokenizer
from core.export.aside import made_aside, weight_bytes
from core.export.compare import Comparison, compared, logits_of, sample_prompts

EXACT = "cat"
# What each method really computes, in words. B·A is one adapter's change of a weight, scaled.
METHODS = {
    "cat": "the exact weighted sum of the changes B·A; the rank is the sum of the ranks",
    "svd": "the weighted sum of the changes, cut back to the largest rank by a singular value decomposition",
    "linear": "the A matrices and the B matrices summed apart: not the sum of the changes; equal ranks only",
    "ties": "small entries dropped, signs put to the vote, then summed as linear does; equal ranks only",
    "dare_linear": "entries dropped at random and the rest scaled up, then as linear; equal ranks only",
    "dare_ties": "entries dropped at random and the rest scaled up, then as ties; equal ranks only",
    "magnitude_prune": "small entries dropped, then as linear; equal ranks only",
    "ties_svd": "as ties, on the changes themselves, cut back to the largest rank",
    "dare_linear_svd": "as dare_linear, on the changes themselves, cut back to the largest rank",
    "dare_ties_svd": "as dare_ties, on the changes themselves, cut back to the largest rank",
    "magnitude_prune_svd": "as magnitude_prune, on the changes themselves, cut back to the largest rank",
}
NEEDS_EQUAL_RANKS = frozenset({"linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"})
NEEDS_DENSITY = frozenset(name for name in METHODS if name.startswith(("ties", "dare", "magnitude")))


@dataclass(frozen=True, slots=True)
class Combined:
    """The new adapter folder, its rank, and how far its logits are from the exact weighted sum."""

    folder: Path
    bytes: int
    method: str
    meaning: str
    rank: int
    check: Comparison

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def combine(
    subjects: Sequence[Subject],
    weights: Sequence[float],
    out: Path,
    *,
    method: str = EXACT,
    density: float = 0.2,
    seed: int = 0,
    progress: Callable[[Any], None] = lambda value: None,
) -> Combined:
    """Combine the adapters of `subjects` with `weights` and save the result as an adapter folder.

    `density` is the share of entries that ties, dare and magnitude_prune keep. Raises UsageError for adapters
    of different bases or kinds, or a method that cannot take them; nothing is left at `out` then.
    """
    import torch

    ranks = _require_alike(subjects, weights, method)
    with made_aside(out, sum(weight_bytes(s.adapter) for s in subjects if s.adapter)) as aside:
        progress("loading the base and every adapter")
        loaded = load(subjects[0], quantized=False)
        names = [FIRST_ADAPTER]
        for number, other in enumerate(subjects[1:]):
            assert other.adapter is not None
            add_adapter(loaded, f"other{number}", other.adapter)
            names.append(loaded.adapters[f"other{number}"])
        progress(f"combining by {method}")
        model = loaded.model.base_model
        model.add_weighted_adapter(names, list(weights), "exact", combination_type=EXACT)
        torch.manual_seed(seed)  # dare drops at random
        options = {"density": density} if method in NEEDS_DENSITY else {}
        model.add_weighted_adapter(names, list(weights), "combined", combination_type=method, **options)
        prompts = sample_prompts(subjects[0], loaded.tokenizer)
        loaded.model.set_adapter("exact")
        exact = logits_of(loaded.model, prompts)
        loaded.model.set_adapter("combined")
        check = compared(f"{method} against the exact weighted sum", logits_of(loaded.model, prompts), exact)
        aside.mkdir()
        loaded.model.save_pretrained(str(aside), selected_adapters=["combined"])
        # PEFT puts a named adapter into a folder of its name.
        for path in list((aside / "combined").iterdir()):
            path.rename(aside / path.name)
        (aside / "combined").rmdir()
        copy_tokenizer(subjects[0], aside)
    rank = sum(ranks) if method == EXACT else max(ranks)
    return Combined(out, weight_bytes(out), method, METHODS[method], rank, check)


def _require_alike(subjects: Sequence[Subject], weights: Sequence[float], method: str) -> list[int]:
    """The ranks of the adapters, or UsageError if they cannot be combined so."""
    if method not in METHODS:
        raise UsageError(
            f"there is no method {method}", where="--method", fix=f"use one of {', '.join(METHODS)}"
        )
    if len(subjects) < 2 or len(weights) != len(subjects):
        raise UsageError(
            f"{len(subjects)} adapters and {len(weights)} weights",
            where="combine",
            fix="name two or more, and a weight for each",
        )
    ranks = []
    for subject in subjects:
        if subject.adapter is None:
            raise UsageError(
                "there is no adapter here", where=subject.label, fix="name a run with an adapter"
            )
        if subject.model_folder.resolve() != subjects[0].model_folder.resolve():
            raise UsageError(
                f"it belongs to another base than {subjects[0].label}",
                where=subject.label,
                fix="combine adapters of one base",
            )
        config = read_adapter_config(subject.adapter)
        if (
            str(config.get("peft_type")).upper() != "LORA"
            or config.get("use_dora")
            or config.get("modules_to_save")
        ):
            raise UsageError(
                "only plain LoRA adapters can be combined",
                where=subject.label,
                fix="merge it instead: tunedeck merge",
            )
        ranks.append(int(config["r"]))
    if method in NEEDS_EQUAL_RANKS and len(set(ranks)) > 1:
        raise UsageError(
            f"{method} needs equal ranks, and these are {', '.join(map(str, ranks))}",
            where="--method",
            fix=f"use cat, svd or {method}_svd" if f"{method}_svd" in METHODS else "use cat or svd",
        )
    return ranks
