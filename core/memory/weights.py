"""Bytes of the weights, the quantisation state and the adapter: what stays for the whole run."""

from __future__ import annotations

from core.memory.figure import Figure, figure
from core.memory.setting import Setting
from core.models.architecture import Architecture

BLOCK = 64  # bitsandbytes: weights that share one scale
NESTED_BLOCK = 256  # scales that share one second scale under double quantisation


def bytes_per_quantised(setting: Setting) -> float:
    """Bytes per quantised parameter, scales excluded."""
    return {"nf4": 0.5, "fp4": 0.5, "int8": 1.0}[setting.quantization]


def scale_bytes(setting: Setting, parameters: int, rows: int) -> float:
    """Bytes of the scales: an fp32 per block of 64, 8 bits and a second fp32 per 256 blocks when doubled."""
    if setting.quantization == "int8":
        return 4 * rows  # one fp32 per output row
    if setting.double_quantization:
        return parameters * (1 / BLOCK + 4 / (BLOCK * NESTED_BLOCK))
    return parameters * 4 / BLOCK


def quantised_parameters(setting: Setting, architecture: Architecture) -> tuple[int, int]:
    """Parameters of the linears that bitsandbytes replaces (all but the head), and their output rows.

    transformers 5 holds experts as one 3-D parameter, which is no linear and stays in 16 bit; before, each
    expert was three linears. Biases stay unquantised.
    """
    linears = [item for item in architecture.linears if item.name != architecture.head]
    inside, rows = sum(item.inputs * item.outputs for item in linears), sum(item.outputs for item in linears)
    if setting.experts_are_linears:
        inside += architecture.parameters.experts
        rows += architecture.parameters.experts // max(architecture.hidden_size, 1)
    return inside, rows


def weight_figures(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Base weights, quantisation state, adapter and modules saved whole, before any sharding."""
    total = architecture.parameters.total
    figures: list[Figure] = []
    if setting.quantization == "none":
        figures.append(
            figure(
                "weights",
                total * setting.weight,
                f"{total:,} parameters x {setting.weight} B",
                "parameters from config.json",
            )
        )
    else:
        inside, rows = quantised_parameters(setting, architecture)
        each, rest = bytes_per_quantised(setting), total - inside
        figures.append(
            figure(
                "weights",
                inside * each + rest * setting.weight,
                f"{inside:,} quantised x {each} B + {rest:,} others x {setting.weight} B",
                "bitsandbytes: embeddings, head and norms are never quantised",
            )
        )
        scales = scale_bytes(setting, inside, rows)
        figures.append(
            figure(
                "quantisation state",
                scales,
                f"{rows:,} rows x 4 B"
                if setting.quantization == "int8"
                else f"{inside:,} x (1/64 + 4/16384) B"
                if setting.double_quantization
                else f"{inside:,} x 4/64 B",
                "bitsandbytes functional.py: one scale per 64 weights (per row for int8)",
            )
        )
    what = setting.adapted
    if what.adapter_trainable:
        figures.append(
            figure(
                "adapter",
                what.adapter_trainable * setting.adapter,
                f"{what.adapter_trainable:,} adapter parameters x {setting.adapter} B",
                "PEFT: rank x (inputs + outputs) per target",
            )
        )
    if what.saved_whole:
        figures.append(
            figure(
                "adapter",
                what.saved_whole * setting.saved,
                f"{what.saved_whole:,} parameters of modules_to_save x {setting.saved} B",
                "PEFT keeps the original beside the trained copy, which keeps its type",
            )
        )
    return figures


def trainable_bytes(setting: Setting) -> tuple[tuple[int, int], ...]:
    """(parameters, bytes per parameter) of everything that trains."""
    what = setting.adapted
    groups = [
        (what.adapter_trainable, setting.adapter),
        (what.saved_whole, setting.saved),
        (what.base_trainable, setting.weight),
    ]
    return tuple((count, size) for count, size in groups if count)
