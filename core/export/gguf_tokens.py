"""The tokenizer of a model, from its tokenizer.json to the arrays that GGUF holds."""

from __future__ import annotations

import json
import re
from typing import Any

from core.errors import TunedeckError

UNUSED = "[PAD{}]"  # llama.cpp's name for rows of the embedding that no token has
BYTE = re.compile(r"<0x[0-9A-F]{2}>")

# The regular expression that splits text before merging, as llama.cpp names it.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA3: "llama-bpe", _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"): "qwen2"}


def add_tokenizer(writer: Any, tokenizer: Any, rows: int) -> None:
    """Write vocabulary, merges, special tokens and template. `rows` is the height of the embedding.

    Raises TunedeckError for a tokenizer that llama.cpp would split in another way.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unknown("it has no tokenizer.json")
    described = json.loads(backend.to_str())
    model = described["model"]
    if model["type"] != "BPE":
        raise _unknown(f"its model is {model['type']}")
    tokens, types = _tokens(described, rows, byte_level=not model.get("byte_fallback"))
    if model.get("byte_fallback"):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        _require_pieces(described)
        writer.add_token_scores(piece_scores(model, rows))
        writer.add_add_space_prefix(_puts_a_blank_first(described))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre_tokenizer_name(described))
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for add, id in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, _end(tokenizer)),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if id is not None:
            add(id)
    plain = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and plain[:1] == [tokenizer.bos_token_id])
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, str):
        writer.add_chat_template(template)


def piece_scores(model: dict[str, Any], rows: int) -> list[float]:
    """Scores by which llama.cpp merges pieces in the order of the tokenizer's own merges.

    llama.cpp joins the two neighbours whose piece has the highest score; the tokenizer joins those whose merge stands
    first in its list. So a piece scores by the first merge that makes it. (Its number would not do: pieces of
    several blanks are made by merges that stand elsewhere.)
    """
    scores = [float(-rows - len(model["merges"]))] * rows  # what no merge makes
    for rank, merge in enumerate(model["merges"]):
        id = model["vocab"].get("".join(merge if isinstance(merge, list) else merge.split(" ", 1)))
        if id is not None and id < rows:
            scores[id] = max(scores[id], -float(rank))
    return scores


def _require_pieces(described: dict[str, Any]) -> None:
    """Raise TunedeckError for a tokenizer with byte fallback that does more to its text than SentencePiece does."""
    normalizer = described.get("normalizer") or {}
    for step in normalizer.get("normalizers", [normalizer] if normalizer else []):
        plain = step["type"] == "Prepend" or (
            step["type"] == "Replace" and step.get("pattern") == {"String": " "} and step["content"] == "▁"
        )
        if not plain:
            raise _unknown(f"it normalises by {step['type']}")
    pre = described.get("pre_tokenizer") or {}
    for step in pre.get("pretokenizers", [pre] if pre else []):
        at_blanks = step["type"] == "Split" and step.get("pattern") == {"String": " "}
        if step["type"] != "Metaspace" and not at_blanks:
            raise _unknown(f"its pieces are split by {step['type']} first")


def pre_tokenizer_name(described: dict[str, Any]) -> str:
    """llama.cpp's name for the way a byte-level tokenizer splits text. Raises TunedeckError if it has none."""
    pre = described.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    normalizer = (described.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise _unknown(f"it normalises by {normalizer}")
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True) and not steps[0].get("add_prefix_space"):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        name = _SPLITS.get(steps[0].get("pattern", {}).get("Regex", ""))
        if name == "llama-bpe" and not described["model"].get("ignore_merges"):
            return "dbrx"  # the same split; whole words in the vocabulary do not skip the merges
        if name is not None:
            return name
    raise _unknown(f"its text is split by {', '.join(map(str, kinds))} in a way that is not known here")


def _tokens(described: dict[str, Any], rows: int, *, byte_level: bool) -> tuple[list[str], list[int]]:
    from gguf import TokenType

    tokens = [UNUSED.format(index) for index in range(rows)]
    types = [int(TokenType.UNUSED)] * rows
    for text, id in described["model"]["vocab"].items():
        if id < rows:
            tokens[id] = text
            is_byte = not byte_level and BYTE.fullmatch(text)
            types[id] = int(TokenType.BYTE if is_byte else TokenType.NORMAL)
    for added in described.get("added_tokens", []):
        if added["id"] < rows:
            tokens[added["id"]] = added["content"]
            types[added["id"]] = int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    return tokens, types


def _end(tokenizer: Any) -> int | None:
    """What ends a turn where the template says so, else the tokenizer's end: llama.cpp stops on it."""
    from core.chat.stops import turn_end_id

    end = turn_end_id(tokenizer)
    return end if end is not None else tokenizer.eos_token_id


def _puts_a_blank_first(described: dict[str, Any]) -> bool:
    text = json.dumps([described.get("normalizer"), described.get("pre_tokenizer")])
    return '"Prepend"' in text or '"prepend_scheme": "first"' in text or '"prepend_scheme": "always"' in text


def _unknown(why: str) -> TunedeckError:
    from core.export.gguf_families import ELSEWHERE

    return TunedeckError(f"GGUF is not written for this tokenizer: {why}", where="export", fix=ELSEWHERE)
