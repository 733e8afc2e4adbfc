"""A model card as labelled lines: the same words in the panel and on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from core.memory.needs import Need
from core.models.architecture import Architecture
from core.models.card import GATED_WORDS, ModelCard, attention_in_words, free_rows
from core.models.template_facts import TemplateFacts
from core.models.tokenizer_facts import TokenizerFacts

Line = tuple[str, str]  # label, value; an empty label continues the line above

_GROUPS = ("embedding", "attention", "mlp", "experts", "router", "norms", "head", "other")


def card_lines(card: ModelCard) -> list[Line]:
    """Every fact of a card, what stands in the way first."""
    lines: list[Line] = [("problem", text) for text in card.problems]
    if card.architecture is not None:
        lines += _architecture_lines(card.architecture)
    if card.weights is not None and card.weights.files:
        count = len(card.weights.files)
        files = f"{count} file{'s' if count > 1 else ''}"
        lines.append(("weights", f"{files}, {size_text(card.weights.bytes)}, {card.weights.dtype}"))
    elif card.download_bytes:
        lines.append(("download", size_text(card.download_bytes)))
    if card.tokenizer is not None:
        lines += _tokenizer_lines(card.tokenizer, free_rows(card))
    lines.append(("licence", f"{card.licence.name or 'not named'}: {card.licence.words}"))
    if card.gated:
        lines.append(("access", GATED_WORDS.get(card.gated, card.gated)))
    if card.code_files:
        names = ", ".join(card.code_files)
        lines.append(
            ("own code", f"wants to run {names}; only with model.trust_remote_code = true, read it first")
        )
    return [*lines, *(("note", text) for text in card.notes)]


def size_text(count: int) -> str:
    """Bytes in GiB, in MiB below an eighth of one, in KiB below a tenth of that."""
    if count < 100 << 10:
        return f"{count / (1 << 10):.1f} KiB"
    if count < 1 << 27:
        return f"{count / (1 << 20):.1f} MiB"
    return f"{count / (1 << 30):.2f} GiB"


def needs_lines(needs: Iterable[Need]) -> list[Line]:
    """What the ways of using a model need here: ✓ fits, ~ tight, ✗ does not fit, ? unknown."""
    marks = {"fits": "✓", "tight": "~", "does not fit": "✗", "unknown": "?"}
    parts = [
        f"{marks[one.verdict]} {one.way} {size_text(one.bytes) if one.bytes is not None else one.why}"
        for one in needs
    ]
    half = (len(parts) + 1) // 2
    return [("needs here", "   ".join(parts[:half])), ("", "   ".join(parts[half:]))]


def count_text(count: int) -> str:
    """A parameter count as people say it: 8.03 B, 361 M, 1.75 M."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            value = count / unit
            return f"{value:.3g} {name}" if value < 100 else f"{value:.0f} {name}"
    return str(count)


def _architecture_lines(a: Architecture) -> list[Line]:
    parameters = a.parameters
    groups = ", ".join(
        f"{name} {count_text(getattr(parameters, name))}" for name in _GROUPS if getattr(parameters, name)
    )
    tied = "; head tied to the embedding" if a.tied else ""
    how = "" if a.counted_by == "formula" else " (counted on the meta device)"
    lines = [
        ("family", a.family),
        ("parameters", f"{count_text(parameters.total)} ({parameters.total:,}){how}"),
        ("", f"{groups}{tied}"),
        ("layers", f"{a.layers} of width {a.hidden_size:,}, inner {a.intermediate_size:,}"),
        ("attention", f"{attention_in_words(a)}; head size {a.head_dim}"),
    ]
    if a.experts:
        lines.append(
            (
                "experts",
                f"{a.experts}, {a.experts_per_token} per token: {count_text(a.active_parameters)} active",
            )
        )
    if a.context_length:
        scaling = f" ({a.rope_scaling})" if a.rope_scaling else ""
        lines.append(("context", f"{a.context_length:,} tokens{scaling}"))
    return lines


def _tokenizer_lines(t: TokenizerFacts, free: int | None) -> list[Line]:
    special = ", ".join(f"{name} {one.text!r} {one.id}" for name, one in t.special.items())
    rows = f", {free:,} rows free" if free else ""
    size = f"{t.tokens:,} ids{rows}; " if t.tokens else ""
    lines = [("tokens", f"{size}{special}")] if t.vocabulary else []
    if t.template is not None and not t.template.problem:
        lines.append(("template", _template_text(t.template)))
    return lines


def _template_text(t: TemplateFacts) -> str:
    parts = [
        "marks what the model writes" if t.markers else "no generation markers",
        f"system {t.system}",
        f"thinking {t.thinking}",
        f"tools {t.tools}",
    ]
    return ", ".join(parts)
