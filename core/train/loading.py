"""The base model and its tokenizer, loaded exactly as the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import MissingError, TunedeckError
from core.models.four_bit import keep_layout
from core.models.sources import locate
from core.models.weight_files import refuse_pickles
from core.recipe import Recipe
from core.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def model_here(named: dict[str, Any], workspace: Path) -> Path:
    """The folder of the model that `run.json` names. On another machine it may lie elsewhere.

    Raises MissingError or UsageError for a model that this machine does not have.
    """
    folder = Path(named["folder"])
    if folder.exists():
        return folder
    return locate(named["source"], named.get("revision") or "main", Workspace(workspace)).folder


def load_tokenizer(folder: Path, recipe: Recipe) -> PreTrainedTokenizerBase:
    """The tokenizer of the model folder, with a pad token that is not the end token where there is any."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=recipe.model.trust_remote_code)
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.pad_token = _pad_token(tokenizer)
    return tokenizer


def give_template(tokenizer: Any, folder: Path, recipe: Recipe, workspace: Path) -> None:
    """Set the template the rows were rendered with, so that it is saved with the result and used in the chat."""
    from core.data.templates import choose_template
    from core.data.tokenizer import load_tokenizer as load_for_data

    if recipe.data.template == "model":
        return
    plain = load_for_data(folder, trust_remote_code=recipe.model.trust_remote_code)
    chosen = choose_template(recipe.data.template, plain, workspace)
    if chosen is not None:
        with_tools = {"default": chosen.text, "tool_use": chosen.tool_text}
        tokenizer.chat_template = with_tools if chosen.tool_text else chosen.text


def load_base(folder: Path, recipe: Recipe, *, on_cpu: bool) -> PreTrainedModel:
    """The base model in the recipe's dtype, attention and quantisation, on the device of this process.

    Raises MissingError for weights that are not in the folder, TunedeckError for a device that cannot do
    what the recipe asks.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = recipe.model
    _require_dtype(model.dtype, on_cpu)
    refuse_pickles(folder, model.allow_pickle)
    options: dict[str, Any] = {
        "dtype": getattr(torch, model.dtype),
        "attn_implementation": attention(recipe, on_cpu=on_cpu),
        "trust_remote_code": model.trust_remote_code,
        "use_safetensors": None if model.allow_pickle else True,
    }
    if model.use_kernels:
        options["use_kernels"] = True
    if model.quantization != "none":
        options["quantization_config"] = quantization(recipe)
        # Quantised weights are made on the device itself; one process holds one whole model.
        options["device_map"] = {"": "cpu" if on_cpu else torch.cuda.current_device()}
    try:
        base = AutoModelForCausalLM.from_pretrained(folder, **options)
    except OSError as error:
        raise MissingError(
            f"the weights cannot be read: {error}",
            where=str(folder),
            fix="tunedeck models get fetches them again",
        ) from error
    if model.quantization in ("nf4", "fp4"):
        keep_layout(base)
    base.config.use_cache = False
    return base


def attention(recipe: Recipe, *, on_cpu: bool) -> str:
    """The attention implementation: the recipe's, or the best that works here for `auto`."""
    from transformers.utils import is_flash_attn_2_available

    named = recipe.model.attention
    if named == "flash_attention_2" and (on_cpu or not is_flash_attn_2_available()):
        raise MissingError(
            "flash_attention_2 does not work here: "
            + ("no GPU" if on_cpu else "flash-attn is not installed"),
            fix='use model.attention = "sdpa", or "auto"',
        )
    if named != "auto":
        return named
    fits = not on_cpu and recipe.model.dtype != "float32" and is_flash_attn_2_available()
    return "flash_attention_2" if fits else "sdpa"


def quantization(recipe: Recipe) -> Any:
    """bitsandbytes' configuration; compute dtype and storage follow the model's dtype, so that FSDP can shard."""
    import torch
    from transformers import BitsAndBytesConfig

    model = recipe.model
    if model.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    dtype = getattr(torch, model.dtype)
    storage = {"bnb_4bit_quant_storage": dtype} if recipe.launch.strategy in ("fsdp", "zero3") else {}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.quantization,
        bnb_4bit_use_double_quant=model.double_quantization,
        bnb_4bit_compute_dtype=dtype,
        **storage,
    )


def _require_dtype(dtype: str, on_cpu: bool) -> None:
    import torch

    if on_cpu and dtype == "float16":
        raise TunedeckError(
            "float16 does not train on a CPU", fix='use model.dtype = "float32", or "bfloat16"'
        )
    if not on_cpu and dtype == "bfloat16" and torch.cuda.get_device_capability() < (8, 0):
        raise TunedeckError(
            f"{torch.cuda.get_device_name()} has no native bfloat16",
            fix='use model.dtype = "float16", or "float32"',
        )


def _pad_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A pad token that is not the end token: one the vocabulary keeps for that, a reserved one, or unk."""
    special = [token for token in tokenizer.get_added_vocab() if token != tokenizer.eos_token]
    for mark in ("pad", "reserved", "unused"):
        for token in special:
            if mark in token.lower():
                return token
    # TRL's collator masks by length, so even eos as pad keeps the real end tokens in the loss.
    return tokenizer.unk_token or tokenizer.eos_token
