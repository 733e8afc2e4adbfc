"""A model as one GGUF file for llama.cpp, Ollama and LM Studio; read back and compared before it gets its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.chat.load import load, load_tokenizer
from core.chat.subject import Subject
from core.errors import TunedeckError, UsageError
from core.export.aside import gib, made_aside, require_space
from core.export.compare import Comparison, compared, logits_of, release, sample_prompts
from core.export.gguf_families import add_metadata, family_of
from core.export.gguf_tokens import add_tokenizer
from core.export.llama_quantize import BITS, PROGRAM, find_program, predicted_bytes, quantize
from core.export.merge import merge, merged_subject
from core.export.shards import Checkpoint

OUT_TYPES = ("f32", "f16", "bf16", "q8_0")
DECIDING_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "sliding_window",
    "layer_types",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "hidden_act",
    "hidden_activation",
)
# Share of positions where file and model must find the same token most likely. Few bits move many in
# a small model, which is shown and the person's choice; a file whose weights lie wrongly finds next to none.
LEAST_SAME_CHOICE = {"f32": 0.99, "f16": 0.95, "bf16": 0.9, "q8_0": 0.9, **dict.fromkeys(BITS, 0.2)}
ROUNDTRIP = (
    "The cat sees the dog.",
    "  two  blanks\nand a line",
    "naïve café, 3.14 × 2024",
    "def f(x):\n\treturn x",
)


@dataclass(frozen=True, slots=True)
class ExportedGguf:
    """The file, its size and how it compares with the model it was made of."""

    file: Path
    bytes: int
    predicted_bytes: int
    out_type: str
    arch: str
    checks: tuple[Comparison, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "file": str(self.file)}


def export_gguf(
    subject: Subject,
    out: Path,
    *,
    out_type: str = "f16",
    progress: Callable[[Any], None] = lambda value: None,
) -> ExportedGguf:
    """Write a model as GGUF in f32, f16, bf16 or q8_0, or in a smaller type by llama-quantize. An adapter is merged first.

    The file is loaded back by transformers' GGUF reader and its logits are compared. Raises UsageError for
    an unknown type, MissingError for a type that needs llama-quantize where that is not installed, TunedeckError for a
    family or tokenizer that is not known here; nothing is left then.
    """
    out_type = out_type.lower()
    if out_type not in (*OUT_TYPES, *BITS):
        raise UsageError(
            f"{out_type} is no type that is known here",
            where="--type",
            fix=f"use {', '.join(OUT_TYPES)}, or with {PROGRAM} of llama.cpp on PATH: {', '.join(BITS)}",
        )
    program = find_program() if out_type in BITS else ""
    config = _config(subject)
    family_of(config)  # an unknown family is refused before anything is merged
    shapes = [place.shape for place in Checkpoint(subject.model_folder).places.values()]
    predicted = (
        predicted_bytes(shapes, out_type)
        if program
        else sum(_bytes_of(_tensor_type(out_type, shape), shape) for shape in shapes)
    )
    made_of = ", made of an f16 file" if program else ""
    progress(f"about {gib(predicted)} as {out_type}{made_of}")
    with _plain(subject, out, progress) as plain, made_aside(out, predicted) as aside:
        tokenizer = load_tokenizer(plain)
        config = _config(plain)
        if program:
            whole = aside.with_name(f"{aside.name}.f16")
            try:
                _, arch = _write(plain, config, tokenizer, whole, "f16", out.stem, progress)
                quantize(program, whole, aside, out_type, progress)
            finally:
                whole.unlink(missing_ok=True)
        else:
            predicted, arch = _write(plain, config, tokenizer, aside, out_type, out.stem, progress)
        progress("reading it back and comparing")
        checks, notes = _check(plain, config, tokenizer, aside, out_type)
    return ExportedGguf(out, out.stat().st_size, predicted, out_type, arch, tuple(checks), tuple(notes))


@contextmanager
def _plain(subject: Subject, out: Path, progress: Callable[[Any], None]) -> Iterator[Subject]:
    """The subject as a model without adapter; a merge lies in a hidden folder that is removed afterwards."""
    if subject.adapter is None:
        yield subject
        return
    import shutil

    folder = out.with_name(f".{out.name}.merged")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        merge(subject, folder, progress=progress)
        yield merged_subject(subject, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _config(subject: Subject) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(subject.model_folder))
    return config.get_text_config(decoder=True)


def _write(
    subject: Subject,
    config: Any,
    tokenizer: Any,
    path: Path,
    out_type: str,
    name: str,
    progress: Callable[[Any], None],
) -> tuple[int, str]:
    """Write the file tensor by tensor, so that no more than one is in memory. Returns (bytes of all tensors, architecture)."""
    import numpy as np
    from gguf import MODEL_ARCH, GGUFWriter, LlamaFileType, get_tensor_name_map
    from gguf import quantize as pack

    family = family_of(config)
    arch = next(arch for arch in MODEL_ARCH if arch.name.lower() == family.arch)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    tensors = list(_tensors(subject.model_folder, bool(config.tie_word_embeddings)))
    writer = GGUFWriter(path, family.arch)
    add_metadata(writer, config, family, name)
    file_types = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_file_type(LlamaFileType[file_types[out_type]])
    writer.add_quantization_version(2)
    add_tokenizer(writer, tokenizer, _embedding_rows(tensors))
    total = 0
    for extra, values in family.extra.items():
        writer.add_tensor_info(extra, values.shape, values.dtype, values.nbytes)
        total += values.nbytes
    for tensor, shape, _ in tensors:
        stem, _, suffix = tensor.rpartition(".")
        theirs = names.get_name(stem)
        if theirs is None:
            raise TunedeckError(
                f"no GGUF name for {tensor}", where=str(subject.model_folder), fix="merge it first"
            )
        kind = _tensor_type(out_type, shape)
        size = _bytes_of(kind, shape)
        total += size
        writer.add_tensor_info(f"{theirs}.{suffix}", shape, np.dtype(np.float32), size, raw_dtype=kind)
    progress(f"writing {gib(total)} as {out_type}")
    require_space(path.parent, total)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    try:
        for values in family.extra.values():
            writer.write_tensor_data(values)
        for tensor, shape, read in tensors:
            values = np.ascontiguousarray(family.lay_out(tensor, read()))
            writer.write_tensor_data(pack(values, _tensor_type(out_type, shape)))
    finally:
        writer.close()
    return total, family.arch


def _tensors(folder: Path, tied: bool) -> Iterator[tuple[str, tuple[int, ...], Callable[[], Any]]]:
    """(name, shape, reader of the float32 values) of every weight, in the order of the files."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise TunedeckError("no safetensors weights", where=str(folder), fix="convert the weights first")
    for file in files:
        with safe_open(file, framework="pt") as weights:
            for name in sorted(weights.keys()):
                if (tied and name == "lm_head.weight") or name.endswith(".rotary_emb.inv_freq"):
                    continue

                def read(file: Path = file, name: str = name) -> Any:
                    with safe_open(file, framework="pt") as weights:
                        return weights.get_tensor(name).float().numpy()

                yield name, tuple(weights.get_slice(name).get_shape()), read


def _embedding_rows(tensors: list[tuple[str, tuple[int, ...], Any]]) -> int:
    return next(shape[0] for name, shape, _ in tensors if name.endswith("embed_tokens.weight"))


def _tensor_type(out_type: str, shape: tuple[int, ...]) -> Any:
    """Vectors stay float32; a row that does not divide into blocks of 32 stays float16."""
    from gguf import GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    if out_type == "q8_0" and shape[-1] % 32:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType[out_type.upper()]


def _bytes_of(kind: Any, shape: tuple[int, ...]) -> int:
    from math import prod

    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    return prod(shape) // block * size


def _check(
    subject: Subject, config: Any, tokenizer: Any, path: Path, out_type: str
) -> tuple[list[Comparison], list[str]]:
    """Load the file back and compare logits, and the ids of a few texts. Raises TunedeckError if they are apart."""
    from transformers import AutoModelForCausalLM

    prompts = sample_prompts(subject, tokenizer)
    loaded = load(replace(subject, dtype="float32"), device="cpu", quantized=False)
    ours = logits_of(loaded.model, prompts)
    release(loaded)
    notes: list[str] = []
    options: dict[str, Any] = {}
    unread = unread_keys(path, config)
    if unread:
        # The tensors are then compared under the model's own config.
        options["config"] = config
        notes.append(
            f"transformers' reader does not take {', '.join(unread)} from a file, so these were not read back"
        )
    back = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype="float32", **options
    ).eval()
    check = compared(f"{out_type} file against the model", logits_of(back, prompts), ours)
    if check.same_choice < LEAST_SAME_CHOICE[out_type]:
        raise TunedeckError(
            f"the file read back does not answer as the model: {check}",
            where=path.name,
            fix="use another type",
        )
    difference = tokens_differ(path, tokenizer)
    if difference:
        notes.append(difference)
    return [check], notes


def unread_keys(path: Path, config: Any) -> list[str]:
    """Keys of the config that decide the answers and that transformers' reader does not find in the file."""
    from transformers import AutoConfig

    back = AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name)
    return [key for key in DECIDING_KEYS if not _equal(getattr(back, key, None), getattr(config, key, None))]


def _equal(one: Any, other: Any) -> bool:
    """Equal, with numbers as float32 holds them."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-6 * abs(other)
    return bool(one == other)


def tokens_differ(path: Path, tokenizer: Any) -> str:
    """The first text that the tokenizer in the file cuts in another way, in words; empty if none does."""
    from transformers import AutoTokenizer

    back = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    for text in ROUNDTRIP:
        ours = tokenizer.encode(text, add_special_tokens=False)
        theirs = back.encode(text, add_special_tokens=False)
        if ours != theirs:
            return f"transformers' reader cuts {json.dumps(text)} in another way than the model's tokenizer"
    return ""
