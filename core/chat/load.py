"""A subject in memory. Runs in the worker, in the evaluation and in exports; never in the app."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.adapters import check_fits, saved_embedding_rows
from core.chat.messages import BASE, TUNED
from core.chat.room import adapter_bytes, weight_bytes
from core.chat.stops import stop_ids
from core.chat.subject import Subject, read_adapter_config
from core.errors import MissingError, TunedeckError
from core.models.four_bit import keep_layout
from core.models.weight_files import refuse_pickles

# How torch's CPU allocator, mmap and oneDNN say that memory ran out.
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "could not create a memory",
)
FIRST_ADAPTER = "default"  # PEFT's own name for the first adapter


@dataclass(slots=True)
class LoadedModel:
    """A model with its tokenizer, ready to answer. `adapters` maps a voice to PEFT's adapter name."""

    subject: Subject
    model: Any  # PreTrainedModel, or PeftModel when an adapter is loaded
    tokenizer: Any
    device: str
    stop_ids: tuple[int, ...]
    adapters: dict[str, str]

    @property
    def voices(self) -> tuple[str, ...]:
        """The names that may answer. A model whose own weights were trained has only itself."""
        if self.adapters:
            return (BASE, *self.adapters)
        return (TUNED,) if self.subject.base_folder else (BASE,)

    @property
    def own_voice(self) -> str:
        """The name of the model itself, with its adapter if it has one."""
        return TUNED if TUNED in self.voices else BASE

    @property
    def plain_model(self) -> Any:
        """The transformers model under PEFT's wrapper."""
        return self.model.get_base_model() if self.adapters else self.model

    @property
    def context_length(self) -> int:
        """Tokens the model was made for; 0 if its config does not say."""
        config = self.plain_model.config.get_text_config(decoder=True)
        return int(getattr(config, "max_position_embeddings", 0) or 0)

    @property
    def prompt_learning(self) -> bool:
        """Virtual tokens stand before the prompt, so positions in a kept cache would be shifted."""
        return bool(self.adapters) and any(c.is_prompt_learning for c in self.model.peft_config.values())

    @property
    def memory_bytes(self) -> int:
        """Bytes of all weights and buffers."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def load(subject: Subject, *, device: str | None = None, quantized: bool = True) -> LoadedModel:
    """Load model, tokenizer and adapter. `quantized=False` loads the base in 16 bit whatever the run used.

    Raises TunedeckError for files that are missing, damaged or do not belong together, and for pickled weights
    that the recipe does not name.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    refuse_pickles(subject.model_folder, subject.allow_pickle)
    tokenizer = load_tokenizer(subject)
    _require_room(subject, device, quantized)
    options: dict[str, Any] = {"dtype": subject.dtype, "trust_remote_code": subject.trust_remote_code}
    options["use_safetensors"] = None if subject.allow_pickle else True
    if subject.attention != "auto":
        options["attn_implementation"] = subject.attention
    if quantized and subject.quantization != "none":
        options["quantization_config"] = _quantization(subject)
    if device != "cpu":
        options["device_map"] = {"": device}
    try:
        model = AutoModelForCausalLM.from_pretrained(str(subject.model_folder), **options)
        if quantized and subject.quantization in ("nf4", "fp4"):
            keep_layout(model)
        held = model.get_input_embeddings().num_embeddings
        rows = saved_embedding_rows(subject.adapter) if subject.adapter is not None else 0
        if (wanted := rows or max(len(tokenizer), held)) != held:
            model.resize_token_embeddings(wanted)
        adapters: dict[str, str] = {}
        if subject.adapter is not None:
            model = _with_adapter(model, subject.adapter)
            adapters[TUNED] = FIRST_ADAPTER
    except TunedeckError:
        raise
    except ImportError as error:
        raise MissingError(str(error), where=subject.label) from error
    except (
        Exception
    ) as error:  # damaged files surface as many types: SafetensorError, OSError, ValueError ...
        if lacks_memory(error):
            raise out_of_memory(error, device) from error
        raise TunedeckError(
            f"the model cannot be loaded: {type(error).__name__}: {error}",
            where=str(subject.model_folder),
            fix="fetch or save it again; a file may be damaged or missing",
        ) from error
    model.eval()
    return LoadedModel(subject, model, tokenizer, device, stop_ids(_plain(model), tokenizer), adapters)


def load_tokenizer(subject: Subject) -> Any:
    """The tokenizer and template of the training: from the adapter's folder if it holds one, else the model's."""
    from transformers import AutoTokenizer

    folder = subject.template_folder or subject.model_folder
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=subject.trust_remote_code)
    except Exception as error:
        raise MissingError(
            f"no usable tokenizer: {error}",
            where=str(folder),
            fix="put tokenizer.json and tokenizer_config.json there, or name the folder that has them",
        ) from error


def add_adapter(loaded: LoadedModel, name: str, folder: Path) -> None:
    """Load one more adapter of the same base beside the first; it answers under `name`."""
    if name in loaded.voices:
        raise TunedeckError(f"the name {name} is taken", where=str(folder), fix="choose another name")
    if not loaded.adapters:
        loaded.model = _with_adapter(loaded.model, folder)
        loaded.model.eval()
        loaded.adapters[name] = FIRST_ADAPTER
        return
    check_fits(loaded.plain_model, folder)
    inner = f"adapter{len(loaded.adapters)}"  # PEFT names may not hold dots, a voice may
    loaded.model.load_adapter(str(folder), adapter_name=inner, is_trainable=False)
    loaded.model.eval()
    loaded.adapters[name] = inner


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. On a CPU torch raises a plain RuntimeError for it."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def out_of_memory(error: BaseException, device: str) -> TunedeckError:
    """A lack of memory in words: how much was asked for, if the error says so, and what helps.

    A chat that runs into it keeps its conversation: that lives with the app, not with the model.
    """
    asked = re.search(r"(?:allocate|you tried to allocate) ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
    amount = f" ({asked[1]} more were asked for)" if asked else ""
    return TunedeckError(
        f"out of memory{amount}",
        where="host memory" if device == "cpu" else "device memory",
        fix="nothing said is lost: shorten the conversation, stop another process on this device, or load the base in 4 bit",
    )


def _require_room(subject: Subject, device: str, quantized: bool) -> None:
    """Raise TunedeckError if the weights are damaged or more than what is free, before minutes go into loading."""
    needed = weight_bytes(subject, quantized=quantized) + adapter_bytes(subject)
    if device == "cpu":
        import psutil

        free = psutil.virtual_memory().available
    else:
        import torch

        free = torch.cuda.mem_get_info()[0]
    if needed > free:
        raise TunedeckError(
            f"the weights need {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free",
            where="device memory" if device != "cpu" else "host memory",
            fix="stop another process, or choose a smaller or quantised base",
        )


def _with_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel

    read_adapter_config(folder)
    check_fits(model, folder)
    return PeftModel.from_pretrained(model, str(folder), is_trainable=False)


def _plain(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _quantization(subject: Subject) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if subject.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.float32 if subject.dtype == "auto" else getattr(torch, subject.dtype)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=subject.quantization,
        bnb_4bit_use_double_quant=subject.double_quantization,
        bnb_4bit_compute_dtype=compute,
    )
