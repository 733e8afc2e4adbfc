"""Which layers a tuner trains, how many parameters that makes, and how large the saved adapter is.

Everything comes from names and shapes, so it holds before a model is downloaded. The rules are PEFT's
(`tuners_utils.check_target_module_exists`, `_maybe_include_all_linear_layers`, `other._set_trainable`), and
the counts equal what PEFT prints after wrapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UsageError
from core.models.architecture import Architecture, Linear, Module
from core.models.expert_targets import ExpertAdapter, converts, resolve
from core.recipe import LORA_METHODS, TunerSection

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

# Projections that leave an MLP: IA3 scales what goes into them, and what comes out of every other layer.
_MLP_OUTPUTS = ("down_proj", "fc2", "mlp.c_proj", "dense_4h_to_h", "fc_out", "ffn.down_proj", "w2")

_EMBEDDING_NAMES = ("embed_tokens", "lm_head")  # peft.utils.other.EMBEDDING_LAYER_NAMES


@dataclass(frozen=True, slots=True)
class Trainable:
    """What a tuner makes of a model.

    `adapter_bytes` is the size of the tensors in the saved file (adapter, or whole model for full and
    freeze), without the file's header. `modules` are the full names of the layers that carry an adapter
    or train themselves.
    """

    trainable: int
    total: int  # base and adapter together, as PEFT prints it
    adapter_bytes: int
    modules: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.trainable / self.total


def matched(
    architecture: Architecture, targets: str | Iterable[str], modules_to_save: Iterable[str] = ()
) -> tuple[Linear, ...]:
    """The linear layers that `targets` names: "all-linear" (all but the head), names or suffixes, "re:REGEX".

    Raises UsageError if nothing matches, or if a name also stands for something that cannot carry an adapter.
    """
    linears, tables, experts = _matched(architecture, targets, tuple(modules_to_save))
    if not linears and not tables and not experts:
        raise UsageError(
            f"no linear layer of this {architecture.family} model is named by {_in_words(targets)}",
            where="tuner.targets",
            fix=f"its layers are {', '.join(kinds_of_layer(architecture))}",
        )
    return linears


def adapted_experts(architecture: Architecture, targets: str | Iterable[str]) -> tuple[ExpertAdapter, ...]:
    """The adapters LoRA puts on stacked expert weights and routers; empty for most models."""
    return resolve(architecture, targets).experts if converts(architecture) else ()


def trainable_parameters(
    architecture: Architecture, tuner: TunerSection, *, dtype: str = "bfloat16", quantization: str = "none"
) -> Trainable:
    """Trainable and total parameters and the saved size of a tuner on a model.

    `dtype` and `quantization` are the recipe's: what PEFT and TRL make of adapter weights depends on them.
    Raises UsageError if the targets match nothing.
    """
    base = architecture.parameters.total
    if tuner.method == "full":
        names = tuple(one.name for one in everything(architecture))
        return Trainable(base, base, base * DTYPE_BYTES[dtype], names)
    if tuner.method == "freeze":
        layers = last_layers(architecture, tuner.train_last_layers)
        count = sum(one.parameters for one in layers)
        return Trainable(count, base, base * DTYPE_BYTES[dtype], tuple(one.name for one in layers))
    if tuner.method in ("prompt", "prefix"):
        width = architecture.hidden_size
        if tuner.method == "prefix":
            width = 2 * architecture.layers * architecture.kv_heads * architecture.head_dim
        count = tuner.virtual_tokens * width
        return Trainable(count, base + count, count * DTYPE_BYTES["float32"], ())
    return _adapter(architecture, tuner, dtype, quantization)


def everything(architecture: Architecture) -> tuple[Linear | Module, ...]:
    """Every module of the model that has weights of its own."""
    return (*architecture.linears, *architecture.modules)


def kinds_of_layer(architecture: Architecture) -> dict[str, list[Linear]]:
    """Linear layers by their last name ("q_proj"), in the order of the model, the head left out."""
    kinds: dict[str, list[Linear]] = {}
    for one in architecture.linears:
        if one.name != architecture.head:
            kinds.setdefault(one.name.rsplit(".", 1)[-1], []).append(one)
    return kinds


def last_layers(architecture: Architecture, count: int) -> tuple[Linear | Module, ...]:
    """Every module with weights in the last `count` layers; what method "freeze" trains."""
    first = max(architecture.layers - count, 0)
    numbered = [(layer_number(one.name), one) for one in everything(architecture)]
    return tuple(one for number, one in numbered if number is not None and number >= first)


def layer_number(name: str) -> int | None:
    """The layer a module belongs to: the first number in its dotted name. None outside the layers."""
    found = re.search(r"\.(\d+)(\.|$)", name)
    return int(found.group(1)) if found else None


def feedforward_outputs(linears: Iterable[Linear]) -> list[str]:
    """Names of the layers IA3 treats as feedforward (PEFT's `feedforward_modules`)."""
    return [one.name for one in linears if one.name.endswith(_MLP_OUTPUTS)]


TABLES = frozenset({"embed_tokens", "wte", "embed_in", "word_embeddings"})


def saved_whole(architecture: Architecture, modules_to_save: Iterable[str]) -> tuple[Linear | Module, ...]:
    """The modules that PEFT copies, trains and saves whole: those whose name, or a parent's, ends so."""
    wanted = tuple(modules_to_save)
    if not wanted:
        return ()
    found = tuple(
        one
        for one in everything(architecture)
        if any(parent.endswith(wanted) for parent in _with_parents(one.name))
    )
    tables = [one for one in found if _is_table(architecture, one)]
    if architecture.tied and len(tables) > 1:  # one copy serves both, see `one_table`
        found = tuple(one for one in found if one.name != architecture.head)
    return found


def one_table(architecture: Architecture, modules_to_save: Iterable[str]) -> bool:
    """Whether embedding and head are one matrix and either is trained whole: the copy then serves both sides.

    Otherwise the model would read new tokens with trained rows and write them with old ones.
    """
    return architecture.tied and any(
        _is_table(architecture, one) for one in saved_whole(architecture, modules_to_save)
    )


def _is_table(architecture: Architecture, one: Linear | Module) -> bool:
    """The embedding of tokens, or the head."""
    return one.name == architecture.head or one.name.rsplit(".", 1)[-1] in TABLES


def traps(architecture: Architecture, tuner: TunerSection) -> list[str]:
    """What a person should know before training these targets on this model; empty if nothing."""
    found = []
    if tuner.method in LORA_METHODS and adapted_experts(architecture, tuner.targets):
        found.append(
            "these targets put adapters on every expert and on the router: many parameters, few tokens each; "
            "training attention alone is the usual choice for a mixture of experts"
        )
    if one_table(architecture, tuner.modules_to_save):
        found.append(
            "embedding and head share one matrix here; one trained copy serves both, and the saved adapter "
            "grows by that matrix"
        )
    missing = [name for name in tuner.modules_to_save if not saved_whole(architecture, [name])]
    if missing:
        found.append(f"modules_to_save names nothing here: {', '.join(missing)}")
    return found


def _adapter(architecture: Architecture, tuner: TunerSection, dtype: str, quantization: str) -> Trainable:
    saved_names = tuple(tuner.modules_to_save)
    lora = tuner.method in LORA_METHODS
    linears, tables, experts = _matched(architecture, tuner.targets, saved_names, lora=lora)
    if not linears and not tables and not experts:
        matched(architecture, tuner.targets, saved_names)
    if experts and (tuner.dropout or tuner.method == "dora"):
        raise _experts_refuse(architecture, tuner)
    copies = saved_whole(architecture, tuner.modules_to_save)
    copied = sum(one.parameters for one in copies)
    wide = DTYPE_BYTES[_adapter_dtype(tuner, quantization)]
    magnitudes = 0
    if tuner.method == "ia3":
        inside = set(feedforward_outputs(linears))
        count = sum(one.inputs if one.name in inside else one.outputs for one in linears)
    else:
        count = sum(tuner.rank * (one.inputs + one.outputs) for one in linears)
        count += sum(tuner.rank * sum(one.embedding) for one in tables if one.embedding)
        count += sum(one.parameters(tuner.rank) for one in experts)
        if tuner.method == "dora":
            magnitudes = sum(one.outputs for one in linears)
    saved = count * wide + magnitudes * DTYPE_BYTES["float32"] + copied * DTYPE_BYTES[dtype]
    if tuner.method in LORA_METHODS and isinstance(tuner.targets, list):
        # PEFT saves a targeted embedding's own weights beside its adapter.
        named = [one for one in tables if set(tuner.targets) & set(_EMBEDDING_NAMES)]
        saved += sum(one.parameters for one in named) * DTYPE_BYTES[dtype]
    trainable = count + magnitudes + copied
    names = tuple(one.name for found in (linears, experts, tables, copies) for one in found)
    return Trainable(trainable, architecture.parameters.total + trainable, saved, names)


def _experts_refuse(architecture: Architecture, tuner: TunerSection) -> UsageError:
    """PEFT's adapters on stacked expert weights know neither dropout nor DoRA."""
    key, value = ("tuner.dropout", "0.0") if tuner.dropout else ("tuner.method", '"lora"')
    attention = [name for name in kinds_of_layer(architecture) if name.endswith("_proj")][:4]
    return UsageError(
        f"these targets reach the experts of this {architecture.family} model, which take no "
        f"{'dropout' if tuner.dropout else 'DoRA'}",
        where=key,
        fix=f"use {key} = {value}, or train attention alone: tuner.targets = {attention}".replace("'", '"'),
    )


def _adapter_dtype(tuner: TunerSection, quantization: str) -> str:
    """PEFT keeps adapters in float32; TRL casts them to bfloat16 on a bitsandbytes base."""
    if tuner.adapter_dtype != "auto":
        return tuner.adapter_dtype
    return "float32" if quantization == "none" else "bfloat16"


def _matched(
    architecture: Architecture,
    targets: str | Iterable[str],
    modules_to_save: tuple[str, ...],
    *,
    lora: bool = True,
) -> tuple[tuple[Linear, ...], tuple[Module, ...], tuple[ExpertAdapter, ...]]:
    """Linear layers, embedding tables and stacked expert weights that the targets name."""
    experts: tuple[ExpertAdapter, ...] = ()
    if lora and converts(architecture):
        resolved = resolve(architecture, targets)
        targets, experts = resolved.names, resolved.experts
    if targets == "all-linear":
        wanted = {one.name for one in architecture.linears if one.name != architecture.head}
    elif isinstance(targets, str):
        pattern = re.compile(targets.removeprefix("re:"))
        wanted = {one.name for one in everything(architecture) if pattern.fullmatch(one.name)}
    else:
        names = tuple(targets)
        suffixes = tuple(f".{name}" for name in names)
        wanted = {
            one.name for one in everything(architecture) if one.name in names or one.name.endswith(suffixes)
        }
    for name in modules_to_save:
        pattern = re.compile(rf"(^|.*\.){name}($|\..*)")
        wanted = {one for one in wanted if not pattern.match(one)}
    refused = [one.name for one in architecture.modules if one.name in wanted and one.embedding is None]
    if refused:
        raise UsageError(
            f"{refused[0]} is not a linear layer and cannot carry an adapter",
            where="tuner.targets",
            fix=f'train it whole: tuner.modules_to_save = ["{refused[0].rsplit(".", 1)[-1]}"]',
        )
    linears = tuple(one for one in architecture.linears if one.name in wanted)
    return linears, tuple(one for one in architecture.modules if one.name in wanted), experts


def _with_parents(name: str) -> list[str]:
    pieces = name.split(".")
    return [".".join(pieces[: end + 1]) for end in range(len(pieces))]


def _in_words(targets: str | Iterable[str]) -> str:
    return targets if isinstance(targets, str) else ", ".join(targets)
