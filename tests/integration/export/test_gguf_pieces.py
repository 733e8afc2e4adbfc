"""SentencePiece tokenizers in a GGUF file: what llama.cpp makes of the file's own arrays is what the model's tokenizer makes."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader, GGUFWriter
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.chat.subject import Subject
from core.errors import TunedeckError
from core.export.gguf import export_gguf
from core.export.gguf_tokens import add_tokenizer
from tests.integration.export.test_gguf import saved

TEXTS = (
    "The cat sees the dog.",
    "naïve café, 3.14 × 2024",
    "def f(x):\n\treturn x\n    indented\n        more",
    "two  blanks,   three,    four",
    "日本語のテキスト 😀 and ﬁ",
    "internationalisation antidisestablishmentarianism",
    "a",
    "x\n\ny",
)
BLANKS_FIRST = ("  two blanks", "   ", "    indented\n        more")


def as_llama_cpp(text: str, fields: dict[str, Any]) -> list[int]:
    """llama.cpp's tokenizer "llama": join the two neighbours whose piece scores best until none is left, then bytes."""
    tokens = {token: id for id, token in reversed(list(enumerate(fields["tokenizer.ggml.tokens"])))}
    scores = fields["tokenizer.ggml.scores"]
    parts = list((" " if fields["tokenizer.ggml.add_space_prefix"] else "") + text)
    parts = [part.replace(" ", "▁") for part in parts]
    while True:
        joined = [
            (scores[tokens[one + other]], -place)
            for place, (one, other) in enumerate(pairwise(parts))
            if one + other in tokens
        ]
        if not joined:
            break
        place = -max(joined)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    ids: list[int] = []
    for part in parts:
        ids += [tokens[part]] if part in tokens else [tokens[f"<0x{byte:02X}>"] for byte in part.encode()]
    return ids


def fields_of(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


def tokens_only(tokenizer: Any, file: Path) -> dict[str, Any]:
    """The arrays of a file that holds nothing but this tokenizer."""
    writer = GGUFWriter(file, "llama")
    add_tokenizer(writer, tokenizer, len(tokenizer))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return fields_of(file)


@pytest.mark.parametrize("name", ["phi3_mini", "mistral_v3"])
def test_a_real_tokenizer_cuts_the_same_way(name: str, shared_data: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "tokenizers" / name)
    fields = tokens_only(tokenizer, tmp_path / "tokens.gguf")
    assert fields["tokenizer.ggml.model"] == "llama"
    # Mistral's fast tokenizer adds no blank before a text that begins with one; SentencePiece does.
    texts = TEXTS + (BLANKS_FIRST if name == "phi3_mini" else ())
    for text in texts:
        assert as_llama_cpp(text, fields) == tokenizer.encode(text, add_special_tokens=False), text


def gemma_like() -> PreTrainedTokenizerFast:
    """Blanks become ▁, none is put first, unknown characters become bytes: as Gemma's tokenizer is built."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    trained.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special)
    trained.train_from_iterator([text for text in TEXTS if text.isascii()] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def test_a_tokenizer_built_as_gemmas_is_exported_whole(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = gemma_like()
    folder = saved("gemma2", tiny_model, tmp_path / "model", vocab_size=len(tokenizer))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    done = export_gguf(Subject("gemma", folder, dtype="float32"), tmp_path / "out.gguf", out_type="f32")
    fields = fields_of(done.file)
    assert fields["tokenizer.ggml.add_space_prefix"] is False
    assert fields["general.architecture"] == "gemma2"
    for text in TEXTS + BLANKS_FIRST:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert as_llama_cpp(text, fields) == ids, text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "it normalises by Lowercase"),
        (
            {"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
            "its pieces are split by Digits first",
        ),
        (
            {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]], "byte_fallback": False}},
            "its model is Unigram",
        ),
    ],
)
def test_what_sentencepiece_would_not_do_is_refused(
    change: dict[str, Any], what: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    gemma_like().save_pretrained(folder)
    described = json.loads((folder / "tokenizer.json").read_text())
    if "model" in change:
        described["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps({**described, **change}))
    with pytest.raises(TunedeckError, match=f"{what}(.|\n)*convert_hf_to_gguf"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        writer = GGUFWriter(tmp_path / "x.gguf", "llama")
        add_tokenizer(writer, tokenizer, len(tokenizer))
