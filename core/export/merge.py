"""An adapter merged into its base: one plain model that needs no PEFT, checked against base and adapter.

The base is read and the result is written one tensor at a time, so memory holds the largest layer and not the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.chat.load import LoadedModel, load, load_tokenizer
from core.chat.subject import Subject, read_adapter_config
from core.errors import TunedeckError, UsageError
from core.export.aside import gib, made_aside, require_memory, weight_bytes
from core.export.card import write_card
from core.export.compare import Comparison, compared, logits_of, release, sample_prompts
from core.export.fold import fold_layer_by_layer
from core.export.hollow import HollowModel, begins_from_weights, hollow, streamed_logits
from core.export.shards import Checkpoint
from core.models.weight_files import read_weights

# Kinds that PEFT can fold into weights; prompt and prefix tuning act beside the weights.
MERGEABLE = frozenset({"LORA", "IA3", "ADALORA", "LOHA", "LOKR", "OFT", "BOFT", "VERA"})
SHARD_SIZE = "5GB"
# Weights as large as the largest one that live at once: as stored, as cast, and PEFT's change of it in float32.
LAYERS_IN_MEMORY = 8
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
    _require_sound(subject)
    size = merged_bytes(subject)
    progress(f"the merged model will take about {gib(size)}")
    with made_aside(out, size) as aside:
        tokenizer = load_tokenizer(subject)
        prompts = sample_prompts(subject, tokenizer)
        trained_on = None
        if subject.quantization != "none":
            progress(f"answers on the {subject.quantization} base")
            trained_on = _logits(load(subject), prompts)
        aside.mkdir()
        tensor_by_tensor = _streamed(subject, tokenizer, prompts, aside, progress)
        before, after, saved_as = tensor_by_tensor or _whole(subject, tokenizer, prompts, aside, progress)
        tokenizer.save_pretrained(str(aside))
        write_card(aside, subject, "merged")
        checks = [compared("merged against base and adapter", after, before)]
        if trained_on is not None:
            checks.append(compared(f"merged against the {subject.quantization} training", after, trained_on))
        _require_same(checks[0], subject)
    return Merged(out, weight_bytes(out), saved_as, tuple(checks))


def merged_bytes(subject: Subject) -> int:
    """Bytes of the merged weights, known before anything is read."""
    weights = read_weights(subject.model_folder)
    each = {"float32": 4, "bfloat16": 2, "float16": 2}.get(subject.dtype)
    return weights.parameters * each if each and weights.parameters else weight_bytes(subject.model_folder)


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


def _require_sound(subject: Subject) -> None:
    """Raise TunedeckError for a base that is cut, damaged or stored quantised, before anything is written."""
    problem = read_weights(subject.model_folder).problem
    if problem and not subject.allow_pickle:
        raise TunedeckError(problem, where=str(subject.model_folder), fix="fetch or save the model again")
    stored = json.loads((subject.model_folder / "config.json").read_text(encoding="utf-8"))
    if quantised := stored.get("quantization_config"):
        raise TunedeckError(
            f"the base's own weights are stored quantised ({quantised.get('quant_method', 'unknown')}): "
            "merging would round the result",
            where=str(subject.model_folder),
            fix="merge into the 16-bit version of the base, or serve the adapter beside it: tunedeck export serve",
        )


def _streamed(
    subject: Subject, tokenizer: Any, prompts: list[list[int]], out: Path, progress: Callable[[Any], None]
) -> tuple[list[Any], list[Any], str] | None:
    """Merge tensor by tensor: logits of base and adapter, logits of the files written, their dtype.

    None for a model that has to be loaded whole.
    """
    assert subject.adapter is not None
    pickled = not any(subject.model_folder.glob("*.safetensors"))
    if subject.trust_remote_code or pickled or begins_from_weights(subject.adapter):
        return None
    source = hollow(subject, tokenizer, Checkpoint(subject.model_folder))
    if source is None:
        return None
    largest = max(place.bytes for place in source.checkpoint.places.values())
    require_memory(LAYERS_IN_MEMORY * largest, "merging layer by layer")
    progress("answers of base and adapter, layer by layer")
    before = streamed_logits(source, prompts)
    progress("merging tensor by tensor")
    fold_layer_by_layer(source, out)
    saved_as = str(source.dtype).removeprefix("torch.")
    progress("answers of the saved model, layer by layer")
    saved = replace(merged_subject(subject, out), dtype=saved_as)
    written = hollow(saved, tokenizer, Checkpoint(out))
    assert isinstance(written, HollowModel), "its names are those it was written with"
    return before, streamed_logits(written, prompts), saved_as


def _whole(
    subject: Subject, tokenizer: Any, prompts: list[list[int]], out: Path, progress: Callable[[Any], None]
) -> tuple[list[Any], list[Any], str]:
    """The same with base and result in memory."""
    require_memory(2 * merged_bytes(subject), "merging (base and result)")
    progress("loading the base in full precision")
    loaded = load(subject, quantized=False)
    before = logits_of(loaded.model, prompts)
    progress("merging")
    saved_as = str(loaded.plain_model.dtype).removeprefix("torch.")
    _save_whole(loaded, out)
    release(loaded)
    progress("comparing the saved model with base and adapter")
    saved = replace(merged_subject(subject, out), dtype=saved_as)
    tokenizer.save_pretrained(str(out))
    return before, _logits(load(saved), prompts), saved_as


def _logits(loaded: LoadedModel, prompts: list[list[int]]) -> list[Any]:
    found = logits_of(loaded.model, prompts)
    release(loaded)
    return found


def _save_whole(loaded: LoadedModel, folder: Path) -> None:
    """PEFT folds the adapter in (checking for NaN); then all is saved."""
    try:
        plain = loaded.model.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinite weights
        raise TunedeckError(
            f"the adapter cannot be merged: {error}",
            where=str(loaded.subject.adapter),
            fix="use an earlier checkpoint",
        ) from error
    plain.config.use_cache = True
    plain.save_pretrained(str(folder), max_shard_size=SHARD_SIZE)


def _require_same(check: Comparison, subject: Subject) -> None:
    if check.same_choice < LEAST_SAME_CHOICE:
        raise TunedeckError(
            f"the merged model does not answer as base and adapter do: {check}",
            where=subject.label,
            fix="merge in a wider dtype: --dtype float32",
        )
