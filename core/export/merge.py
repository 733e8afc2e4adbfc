"""An adapter merged into its base: one plain model that needs no PEFT, checked against base and adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.chat.load import LoadedModel, load, load_tokenizer
from core.chat.subject import Subject, read_adapter_config
from core.errors import TunedeckError, UsageError
from core.export.aside import made_aside, require_memory, weight_bytes
from core.export.card import write_card
from core.export.compare import Comparison, compared, logits_of, release, sample_prompts

# Kinds that PEFT can fold into weights; prompt and prefix tuning act beside the weights.
MERGEABLE = frozenset({"LORA", "IA3", "ADALORA", "LOHA", "LOKR", "OFT", "BOFT", "VERA"})
SHARD_SIZE = "5GB"
# Rounding the merged weights to 16 bit moves near-ties; more than this is another model.
LEAST_SAME_CHOICE = 0.9


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model folder and how it compares with what was trained."""

    folder: Path
    bytes: int
    dtype: str
    checks: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def merge(
    subject: Subject, out: Path, *, dtype: str = "", progress: Callable[[Any], None] = lambda value: None
) -> Merged:
    """Merge the subject's adapter into its unquantised base and save the result to `out`.

    The saved folder is loaded back and its logits are compared with those of base and adapter, and, for
    a run on a quantised base, with those of the training's own setting. Raises UsageError or TunedeckError;
    nothing is left at `out` then.
    """
    require_mergeable(subject)
    subject = replace(subject, dtype=dtype or subject.dtype)
    size = weight_bytes(subject.model_folder)
    with made_aside(out, size) as aside:
        require_memory(2 * size, "merging (base and result)")
        tokenizer = load_tokenizer(subject)
        prompts = sample_prompts(subject, tokenizer)
        trained_on = None
        if subject.quantization != "none":
            progress(f"answers on the {subject.quantization} base")
            trained_on = _logits(load(subject), prompts)
        progress("loading the base in full precision")
        loaded = load(subject, quantized=False)
        before = logits_of(loaded.model, prompts)
        progress("merging")
        saved_as = str(loaded.plain_model.dtype).removeprefix("torch.")
        _save(loaded, tokenizer, aside)
        write_card(aside, subject, "merged")
        release(loaded)
        progress("comparing the saved model with base and adapter")
        after = _logits(load(replace(merged_subject(subject, aside), dtype=saved_as)), prompts)
        checks = [compared("merged against base and adapter", after, before)]
        if trained_on is not None:
            checks.append(compared(f"merged against the {subject.quantization} training", after, trained_on))
        _require_same(checks[0], subject)
    return Merged(out, weight_bytes(out), saved_as, tuple(checks))


def require_mergeable(subject: Subject) -> None:
    """Raise UsageError for a subject without an adapter, or with one that acts beside the weights."""
    if subject.adapter is None:
        raise UsageError(
            "there is no adapter to merge",
            where=subject.label,
            fix="a model whose own weights were trained is whole already; export it as it is",
        )
    kind = str(read_adapter_config(subject.adapter).get("peft_type", "")).upper()
    if kind not in MERGEABLE:
        raise UsageError(
            f"{kind.lower().replace('_', ' ')} acts beside the weights and cannot be merged",
            where=str(subject.adapter),
            fix="serve it as an adapter: tunedeck export adapter",
        )


def merged_subject(subject: Subject, folder: Path) -> Subject:
    """The subject as a plain model in `folder`."""
    return replace(
        subject,
        model_folder=folder,
        adapter=None,
        template_folder=folder,
        base_folder=subject.model_folder,
        quantization="none",
    )


def _logits(loaded: LoadedModel, prompts: list[list[int]]) -> list[Any]:
    found = logits_of(loaded.model, prompts)
    release(loaded)
    return found


def _save(loaded: LoadedModel, tokenizer: Any, folder: Path) -> None:
    """PEFT folds the adapter in (checking for NaN), DoRA and modules_to_save included; then all is saved."""
    from safetensors import SafetensorError

    status = loaded.model.get_model_status()
    if status.merged_adapters:
        raise TunedeckError(
            f"adapters are merged already: {status.merged_adapters}", where=loaded.subject.label
        )
    try:
        plain = loaded.model.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinite weights
        raise TunedeckError(
            f"the adapter cannot be merged: {error}",
            where=str(loaded.subject.adapter),
            fix="use an earlier checkpoint",
        ) from error
    plain.config.use_cache = True
    try:
        plain.save_pretrained(str(folder), max_shard_size=SHARD_SIZE)
    except SafetensorError as error:  # safetensors' own words for a full disk
        raise OSError(str(error)) from error
    tokenizer.save_pretrained(str(folder))


def _require_same(check: Comparison, subject: Subject) -> None:
    if check.same_choice < LEAST_SAME_CHOICE:
        raise TunedeckError(
            f"the merged model does not answer as base and adapter do: {check}",
            where=subject.label,
            fix="merge in a wider dtype: --dtype float32",
        )
