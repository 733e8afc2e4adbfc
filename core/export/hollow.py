"""A model whose weights stay on disk: each layer is filled when it is needed and emptied again.

The adapter's own weights are small and stay in memory, so PEFT's own layers do all arithmetic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.adapters import PREFIX, check_fits, saved_embedding_rows
from core.chat.subject import Subject, read_adapter_config
from core.errors import TunedeckError
from core.export.shards import Checkpoint

# Names that PEFT puts between a wrapped layer and its own weights.
_WRAPPED = frozenset({"base_layer", "original_module", "token_adapter"})


@dataclass(slots=True)
class HollowModel:
    """`model` is the transformers model (with PEFT's layers in it), its base weights on the meta device.

    `keys` names every weight of the plain model in the order of the checkpoint, with its shape; `tied` maps a
    weight that is not stored to the one that stands for it. `layers` maps the name of each adapted layer to the layer.
    """

    model: Any
    checkpoint: Checkpoint
    dtype: Any
    keys: dict[str, tuple[int, ...]]
    tied: dict[str, str]
    layers: dict[str, Any]
    carried: dict[str, Any]  # base weights that the adapter's file brings (rows added to an embedding)
    keep_float32: tuple[str, ...]

    def weight(self, key: str) -> Any:
        """A base weight as loading it would give it."""
        stored = key if key in self.checkpoint.places else self.tied.get(key, key)
        carried = self.carried.get(key, self.carried.get(stored))
        tensor = self.checkpoint.read(stored) if carried is None else carried
        return tensor.to(self.dtype_of(key)) if tensor.is_floating_point() else tensor

    def dtype_of(self, key: str) -> Any:
        """The dtype a floating weight is loaded in: some models keep a few in float32."""
        import torch

        parts = key.split(".")
        return torch.float32 if any(name in parts for name in self.keep_float32) else self.dtype


def hollow(subject: Subject, tokenizer: Any, checkpoint: Checkpoint) -> HollowModel | None:
    """The subject without its base weights; None if the names of its weights are not those of its layers.

    (transformers joins some weights while it loads, experts for one; such a model must be loaded whole.)
    Raises TunedeckError for an adapter that does not fit.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(str(subject.model_folder))
    dtype = _dtype(subject, config, checkpoint)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if (subject.model_folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(str(subject.model_folder))
    rows = saved_embedding_rows(subject.adapter) if subject.adapter else 0
    held = model.get_input_embeddings().num_embeddings
    wanted = rows or max(len(tokenizer), held)
    if wanted != held:
        if not rows:
            raise TunedeckError(
                f"the tokenizer has {len(tokenizer):,} tokens, the base has rows for {held:,}, and the adapter brings none",
                where=subject.label,
                fix="train the new rows: tuner.modules_to_save or trainable tokens",
            )
        model.resize_token_embeddings(wanted, mean_resizing=False)
    persistent = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    tied = {
        key: source
        for key, source in (model.all_tied_weights_keys or {}).items()
        if key in persistent and config.get_text_config(decoder=True).tie_word_embeddings
    }
    stored = [key for key in checkpoint.places if key in persistent]
    if any(key not in checkpoint.places and tied.get(key) not in checkpoint.places for key in persistent):
        return None
    keep = set(model._keep_in_fp32_modules_strict or ()) if dtype != torch.float32 else set()
    keep |= set(model._keep_in_fp32_modules or ()) if dtype == torch.float16 else set()
    layers: dict[str, Any] = {}
    carried: dict[str, Any] = {}
    if subject.adapter is not None:
        model, layers, carried = _with_adapter(model, subject, set(persistent))
    keys = {key: persistent[key] for key in stored if key not in tied}
    return HollowModel(model.eval(), checkpoint, dtype, keys, tied, layers, carried, tuple(keep))


@contextmanager
def filled(hollow: HollowModel, name: str, module: Any, *, own_only: bool = False) -> Iterator[None]:
    """Inside, a layer's base weights are in memory. `own_only` leaves its sub-layers out."""
    from torch import nn

    put_back: list[tuple[dict[str, Any], str, Any]] = []
    shared: dict[int, Any] = {}
    parts = [("", module)] if own_only else module.named_modules(remove_duplicate=False)
    try:
        for part_name, part in parts:
            for own, parameter in part._parameters.items():
                if parameter is None or not parameter.is_meta:
                    continue
                if id(parameter) not in shared:
                    key = plain_key(f"{name}.{part_name}.{own}")
                    shared[id(parameter)] = nn.Parameter(hollow.weight(key), requires_grad=False)
                put_back.append((part._parameters, own, parameter))
                part._parameters[own] = shared[id(parameter)]
        yield
    finally:
        for parameters, own, parameter in put_back:
            parameters[own] = parameter


def plain_key(name: str) -> str:
    """A weight's name without the parts that PEFT put into it."""
    return ".".join(part for part in name.split(".") if part and part not in _WRAPPED)


def streamed_logits(
    hollow: HollowModel, prompts: Sequence[Sequence[int]], progress: Callable[[], None] = lambda: None
) -> list[Any]:
    """Logits [tokens, vocabulary] of every prompt, float32, from one pass that reads each layer once."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(list(prompt))
        mask[row, : len(prompt)] = 1
    with _filled_when_called(hollow, progress), torch.inference_mode():
        logits = hollow.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [logits[row, : len(prompt)].float() for row, prompt in enumerate(prompts)]


@contextmanager
def _filled_when_called(hollow: HollowModel, progress: Callable[[], None]) -> Iterator[None]:
    """Every module fills its own weights before it runs and empties itself afterwards; an adapted layer as a whole."""
    handles: list[Any] = []
    open_now: dict[str, Any] = {}

    def watch(name: str, module: Any, own_only: bool) -> None:
        def fill(*_: Any) -> None:
            open_now[name] = filled(hollow, name, module, own_only=own_only)
            open_now[name].__enter__()

        def empty(*_: Any) -> None:
            open_now.pop(name).__exit__(None, None, None)
            progress()

        handles.append(module.register_forward_pre_hook(fill))
        handles.append(module.register_forward_hook(empty))

    for name, module in hollow.model.named_modules():
        if any(name == layer or name.startswith(f"{layer}.") for layer in hollow.layers):
            continue
        if any(p is not None and p.is_meta for p in module._parameters.values()):
            watch(name, module, True)
    for name, layer in hollow.layers.items():
        watch(name, layer, False)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for context in open_now.values():  # a pass that failed in the middle
            context.__exit__(None, None, None)


def _with_adapter(model: Any, subject: Subject, keys: set[str]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The model with PEFT's layers in it, those layers by name, and the base weights that the file brings."""
    import torch
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

    assert subject.adapter is not None
    check_fits(model, subject.adapter)
    base = {id(parameter) for parameter in model.parameters()}
    config = PeftConfig.from_pretrained(str(subject.adapter))
    config.inference_mode = True
    tuned = get_peft_model(model, config, low_cpu_mem_usage=True)
    for module in tuned.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta and id(parameter) not in base:
                empty = torch.empty_like(parameter, device="cpu")
                module._parameters[name] = torch.nn.Parameter(empty, requires_grad=False)
    saved = load_peft_weights(str(subject.adapter), device="cpu")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter.*")  # these are `carried`
        result = set_peft_model_state_dict(tuned, saved)
    lost = [key for key in result.missing_keys if "." in key and not tuned.get_parameter(key).is_meta]
    if lost:
        raise TunedeckError(
            f"the adapter's file has no {lost[0]}, which its configuration asks for",
            where=str(subject.adapter),
            fix="copy or save the adapter again",
        )
    inner = tuned.get_base_model()
    layers: dict[str, Any] = {}
    for name, module in inner.named_modules():
        inside = any(name.startswith(f"{layer}.") for layer in layers)
        if not inside and isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            layers[name] = module
    saved_whole = {name for name, layer in layers.items() if isinstance(layer, ModulesToSaveWrapper)}
    carried = {
        key: tensor
        for name, tensor in saved.items()
        if (key := plain_key(name.removeprefix(PREFIX))) in keys and key.rpartition(".")[0] not in saved_whole
    }
    return inner, layers, carried


def begins_from_weights(adapter: Path) -> bool:
    """Whether loading the adapter changes the base by a decomposition of its weights (PiSSA, OLoRA and the like)."""
    start = read_adapter_config(adapter).get("init_lora_weights", True)
    return not (isinstance(start, bool) or start in ("gaussian", "orthogonal", "eva"))


def _dtype(subject: Subject, config: Any, checkpoint: Checkpoint) -> Any:
    """What `from_pretrained` would load in: as asked, else as the config says, else as the first weight is stored."""
    import torch

    if subject.dtype != "auto":
        return getattr(torch, subject.dtype)
    if config.dtype is not None:
        return config.dtype
    stored = (getattr(torch, place.dtype) for place in checkpoint.places.values())
    return next((dtype for dtype in stored if dtype.is_floating_point), torch.float32)
