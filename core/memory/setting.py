"""What decides the memory of a run, with every "auto" resolved: the one input of all formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import UsageError
from core.memory.stack import LossPath, Stack, loss_path, numbers
from core.memory.targets import Adapted, adapted
from core.models.architecture import Architecture
from core.recipe import Recipe

Device = Literal["cuda", "cpu"]
Attention = Literal["flash", "sdpa", "sdpa with mask", "eager"]


SAMPLE_ANSWER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Lengths:
    """Rows of the prepared data in tokens: how many, the longest, the mean, and the trained share (0..1)."""

    rows: int
    longest: int
    mean: float
    trained_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """One process of a run. Sizes in bytes per element, lengths in tokens.

    `autocast` is the element size that matrix products run in, 0 without autocast. `residual` is the element
    size of the residual stream, and so of the checkpoints.
    """

    device: Device
    weight: int
    autocast: int
    residual: int
    quantization: str
    double_quantization: bool
    adapted: Adapted
    adapter: int
    saved: int  # copies of modules_to_save
    dropout: float
    optimizer: str
    micro_batch: int
    length: int
    rows_per_pass: int  # sequences the attention sees; 1 when rows are flattened into one
    scored_tokens: int
    eval_tokens: int
    sample_tokens: int  # of one sample answer while training, prompt included; 0 without samples
    accumulation: int
    attention: Attention
    checkpointing: bool
    loss: LossPath
    strategy: str = "single"
    ranks: int = 1
    neftune: bool = False
    experts_are_linears: bool = False  # transformers before 5
    expanded_cache: bool = False  # transformers before 5 caches latent attention's keys and values whole
    card: str = ""  # the device's name; Hopper holds a larger cuBLAS workspace

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch on one device, padding included."""
        return self.micro_batch * self.length

    @property
    def compute(self) -> int:
        """Element size of matrix products."""
        return self.autocast or self.weight

    @property
    def casts_weights(self) -> bool:
        """fp32 weights under 16-bit autocast: every product makes a 16-bit copy of its weight."""
        return bool(self.autocast) and self.weight > self.autocast

    @property
    def trains_base(self) -> bool:
        return self.adapted.base_trainable > 0

    @property
    def gradients_survive(self) -> bool:
        """With accumulation, gradients of one micro-batch are alive in the next one's forward."""
        return self.accumulation > 1


def resolve(
    recipe: Recipe,
    architecture: Architecture,
    *,
    lengths: Lengths | None,
    stack: Stack,
    device: Device,
    card: str = "",
) -> Setting:
    """The recipe with every "auto" resolved for this stack and device. Raises UsageError for what cannot be."""
    model, training, launch = recipe.model, recipe.training, recipe.launch
    weight = 4 if model.dtype == "float32" else 2
    autocast = _autocast(recipe)
    length = _length(recipe, architecture, lengths)
    if recipe.tuner.method == "prompt":
        length += recipe.tuner.virtual_tokens
    padding_free = recipe.data.packing in ("bfd", "bfd_split")
    # A pack mixes many rows, so their mean share holds; one padded batch may be all answer.
    mixed = lengths is not None and device == "cuda" and recipe.data.packing != "none"
    scored_share = lengths.trained_share if lengths is not None and mixed else 1.0
    what = adapted(recipe.tuner, architecture)
    tokens = training.micro_batch * length
    return Setting(
        device=device,
        weight=weight,
        autocast=autocast,
        residual=weight,
        quantization=model.quantization,
        double_quantization=model.double_quantization and model.quantization in ("nf4", "fp4"),
        adapted=what,
        adapter=_adapter_bytes(recipe, weight),
        saved=_saved_bytes(recipe, weight),
        dropout=recipe.tuner.dropout if recipe.tuner.method in ("lora", "rslora", "dora") else 0.0,
        optimizer=training.optimizer,
        micro_batch=training.micro_batch,
        length=length,
        rows_per_pass=1 if padding_free else training.micro_batch,
        # The fused head drops positions without a label before it scores, on a GPU only.
        scored_tokens=max(round(tokens * scored_share), 1),
        eval_tokens=_eval_tokens(recipe, length),
        sample_tokens=_sample_tokens(recipe),
        accumulation=training.accumulation,
        attention=_attention(recipe, lengths, stack, device, padding_free),
        checkpointing=training.gradient_checkpointing,
        loss=loss_path(recipe.plan.loss, stack, extra=training.extra),
        strategy=launch.strategy,
        ranks=recipe.ranks,
        neftune=training.neftune_noise_alpha > 0,
        experts_are_linears=numbers(stack.transformers) < (5,),
        expanded_cache=numbers(stack.transformers) < (5,),
        card=card,
    )


def _autocast(recipe: Recipe) -> int:
    """The trainer asks for autocast in the type of a 16-bit model, unless `training.extra.bf16` decides."""
    return 2 if recipe.training.extra.get("bf16", recipe.model.dtype != "float32") else 0


def _adapter_bytes(recipe: Recipe, weight: int) -> int:
    """PEFT keeps adapters fp32; TRL turns them bf16 on a quantised base; DeepSpeed casts all to the base's type."""
    chosen = recipe.tuner.adapter_dtype
    if chosen != "auto":
        return 4 if chosen == "float32" else 2
    if recipe.model.quantization != "none":
        return 2
    return weight if recipe.launch.strategy.startswith("zero") else 4


def _saved_bytes(recipe: Recipe, weight: int) -> int:
    """PEFT's cast to fp32 leaves modules_to_save alone; TRL's to bf16 on a quantised base does not."""
    if recipe.tuner.adapter_dtype != "auto":
        return 4 if recipe.tuner.adapter_dtype == "float32" else 2
    return 2 if recipe.model.quantization != "none" else weight


def _length(recipe: Recipe, architecture: Architecture, lengths: Lengths | None) -> int:
    """Tokens per sequence on the device: the longest row decides, packing fills to max_length."""
    limit, context = recipe.data.max_length, architecture.context_length
    if limit < 1:
        raise UsageError("data.max_length must be at least 1 token", fix="set data.max_length to 512 or more")
    if lengths is not None and lengths.longest < 1:
        raise UsageError("the prepared data holds no token", fix="check the data with: tunedeck check")
    reach = limit if lengths is None or recipe.data.packing != "none" else min(lengths.longest, limit)
    if context and reach > 8 * context:
        raise UsageError(
            f"data.max_length = {limit:,} is beyond the model's context of {context:,} tokens",
            fix=f"use data.max_length = {context} or less",
        )
    return reach


def _eval_tokens(recipe: Recipe, length: int) -> int:
    """Tokens of an evaluation batch; the same batch size as training unless the recipe says otherwise."""
    if not recipe.data.eval_source and recipe.data.eval_fraction == 0:
        return 0
    batch = recipe.training.extra.get("per_device_eval_batch_size", recipe.training.micro_batch)
    return int(batch) * length


def _sample_tokens(recipe: Recipe) -> int:
    """An upper bound: a prompt has no more tokens than characters; an answer has at most 64."""
    training = recipe.training
    if not training.sample_prompts or not training.sample_steps:
        return 0
    return max(map(len, training.sample_prompts)) + SAMPLE_ANSWER_TOKENS


def _attention(
    recipe: Recipe, lengths: Lengths | None, stack: Stack, device: Device, padding_free: bool
) -> Attention:
    """Which attention the batch will really take; padding or packing without flash needs a mask."""
    chosen = recipe.model.attention
    if chosen == "eager":
        return "eager"
    flash = chosen == "flash_attention_2" or (
        chosen == "auto" and stack.flash_attention and device == "cuda" and recipe.model.dtype != "float32"
    )
    if flash:
        return "flash"
    padded = recipe.training.micro_batch > 1 and recipe.data.packing == "none"
    if lengths is not None and lengths.longest == lengths.mean:
        padded = False
    return "sdpa with mask" if padded or padding_free else "sdpa"
