"""One model on one card: what it is, whether it may be used, and what to know before training it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import TunedeckError
from core.models.architecture import Architecture
from core.models.architecture_of import read_architecture, read_config
from core.models.licence import Licence, front_matter, licence_of
from core.models.sources import ModelFiles
from core.models.tokenizer_facts import TokenizerFacts, tokenizer_facts
from core.models.weight_files import WeightFiles, read_weights

GATED_WORDS = {
    "": "open to everyone",
    "auto": "gated: accept its terms on its page, access comes at once",
    "manual": "gated: its authors decide on each request",
}


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model. A part that could not be read is None, and `problems` says why."""

    id: str
    revision: str
    folder: str
    architecture: Architecture | None
    tokenizer: TokenizerFacts | None
    weights: WeightFiles | None
    licence: Licence
    gated: str = ""  # "" | auto | manual
    download_bytes: int = 0
    code_files: tuple[str, ...] = ()  # Python files the model wants to run (trust_remote_code)
    problems: tuple[str, ...] = ()  # what stands in the way
    notes: tuple[str, ...] = ()  # what to know

    @property
    def usable(self) -> bool:
        """Whether it can be trained as it lies here."""
        return not self.problems


def read_card(files: ModelFiles, *, gated: str = "", download_bytes: int = 0) -> ModelCard:
    """The card of a model at hand, from its small files and weight headers. Never raises for a bad file."""
    if files.kind == "config":
        return _config_card(files)
    folder, problems = files.folder, list[str]()
    config = or_problem(problems, lambda: read_config(folder)) or {}
    architecture = or_problem(problems, lambda: read_architecture(config)) if config else None
    tokenizer = or_problem(problems, lambda: tokenizer_facts(folder))
    weights = read_weights(folder)
    if weights.problem:
        problems.append(weights.problem)
    if tokenizer is not None and not tokenizer.vocabulary:
        problems.append(tokenizer.notes[0])
    matter = front_matter(folder)
    return ModelCard(
        files.source,
        files.revision,
        str(folder),
        architecture,
        tokenizer,
        weights,
        _own_licence(files, matter),
        gated,
        download_bytes or weights.bytes,
        code_files(folder, config),
        tuple(problems),
        tuple(notes_of(architecture, tokenizer, weights)),
    )


def card_job(files: ModelFiles, progress: Any = None) -> ModelCard:
    """`read_card` for the workshop: large tokenizer files are parsed away from the screen's process."""
    return read_card(files)


def code_files(folder: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Python files the config's `auto_map` would run if trusted, and every other Python file beside them."""
    if not config.get("auto_map"):
        return ()
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))) or ("(elsewhere)",)


def card_json(card: ModelCard) -> dict[str, Any]:
    """The shape of `tunedeck models show --json`."""
    architecture, tokenizer = card.architecture, card.tokenizer
    shape: dict[str, Any] = dict.fromkeys(
        ("family", "parameters", "layers", "hidden_size", "heads", "kv_heads", "head_dim", "context_length",
         "vocab_size", "attention", "experts")
    )  # fmt: skip
    if architecture is not None:
        shape = _architecture_json(architecture)
    return {
        "id": card.id,
        "revision": card.revision,
        "folder": card.folder,
        **shape,
        "dtype": (card.weights.dtype if card.weights else "") or (architecture.dtype if architecture else ""),
        "licence": asdict(card.licence),
        "gated": card.gated,
        "template": asdict(tokenizer.template) if tokenizer and tokenizer.template else None,
        "tokenizer": {**_tokenizer_json(tokenizer), "free_rows": free_rows(card)} if tokenizer else None,
        "weights": asdict(card.weights) if card.weights else None,
        "download_bytes": card.download_bytes,
        "code_files": list(card.code_files),
        "problems": list(card.problems),
        "notes": list(card.notes),
    }


def free_rows(card: ModelCard) -> int | None:
    """Rows of the embedding that no token uses: room for new tokens without resizing. None if not known."""
    if card.architecture is None or card.tokenizer is None or not card.tokenizer.tokens:
        return None
    return max(card.architecture.vocab_size - card.tokenizer.tokens, 0)


def attention_in_words(architecture: Architecture) -> str:
    """For example "grouped query, 32 heads over 8; 5 sliding (4096) and 1 full layer in 6"."""
    heads, kv = architecture.heads, architecture.kv_heads
    if architecture.mla_kv_rank:
        shape = f"latent, {heads} heads over rank {architecture.mla_kv_rank}"
    elif kv == heads:
        shape = f"multi-head, {heads} heads"
    else:
        shape = f"multi-query, {heads} heads over 1" if kv == 1 else f"grouped query, {heads} heads over {kv}"
    kinds = Counter(architecture.layer_kinds)
    if set(kinds) <= {"full", "mla"}:
        return shape
    window = f" of {architecture.sliding_window:,}" if architecture.sliding_window else ""
    names = {"sliding": f"sliding{window}"}
    return f"{shape}; layers: " + ", ".join(
        f"{count} {names.get(kind, kind)}" for kind, count in kinds.items()
    )


def _architecture_json(architecture: Architecture) -> dict[str, Any]:
    counts = asdict(architecture.parameters)
    tied = counts.pop("tied")
    return {
        "family": architecture.family,
        "parameters": {
            "total": architecture.parameters.total,
            "active": architecture.active_parameters,
            **counts,
            "tied": tied,
        },
        "counted_by": architecture.counted_by,
        "layers": architecture.layers,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.intermediate_size,
        "heads": architecture.heads,
        "kv_heads": architecture.kv_heads,
        "head_dim": architecture.head_dim,
        "context_length": architecture.context_length,
        "rope_scaling": architecture.rope_scaling,
        "vocab_size": architecture.vocab_size,
        "attention": attention_in_words(architecture),
        "layer_kinds": dict(Counter(architecture.layer_kinds)),
        "experts": {"total": architecture.experts, "per_token": architecture.experts_per_token},
    }


def _tokenizer_json(tokenizer: TokenizerFacts) -> dict[str, Any]:
    return {
        "vocabulary": tokenizer.vocabulary,
        "tokens": tokenizer.tokens,
        "special": {name: {"text": one.text, "id": one.id} for name, one in tokenizer.special.items()},
        "stops": list(tokenizer.stops),
        "adds_bos": tokenizer.adds_bos,
        "template_file": tokenizer.template_file,
        "instruct": tokenizer.instruct,
        "notes": list(tokenizer.notes),
    }


def notes_of(
    architecture: Architecture | None, tokenizer: TokenizerFacts | None, weights: WeightFiles | None
) -> list[str]:
    """What to know before training, beyond what stands in the way."""
    found = list(tokenizer.notes) if tokenizer else []
    if architecture is None:
        return found
    if tokenizer and tokenizer.tokens > architecture.vocab_size:
        found.append(
            f"the tokenizer has {tokenizer.tokens:,} ids and the model {architecture.vocab_size:,} rows: "
            "the last ids have no embedding"
        )
    stored = weights.parameters if weights else 0
    expected = architecture.parameters.total
    copied_head = architecture.vocab_size * architecture.hidden_size if architecture.tied else 0
    if stored and stored not in (expected, expected + copied_head):
        found.append(
            f"the files hold {stored:,} numbers and the config describes {expected:,} parameters: extra heads, "
            "buffers, a quantised checkpoint, or not this model's config"
        )
    if architecture.experts:
        found.append(
            f"mixture of experts: memory needs all {expected:,} parameters, one token uses "
            f"{architecture.active_parameters:,}"
        )
    return found


def _own_licence(files: ModelFiles, matter: dict[str, Any]) -> Licence:
    if files.kind == "demo":
        return Licence("apache-2.0", "Apache-2.0", "", "made for tunedeck and shipped with it")
    return licence_of(matter)


def _config_card(files: ModelFiles) -> ModelCard:
    problems: list[str] = []
    architecture = or_problem(problems, lambda: read_architecture(read_config(files.folder)))
    problems.append("a bare config: it can be planned with, not trained")
    return ModelCard(
        files.source,
        "",
        str(files.folder),
        architecture,
        None,
        None,
        Licence("", "none", "", "a bare config carries none"),
        problems=tuple(problems),
    )


def or_problem(problems: list[str], read: Any) -> Any:
    """What `read` gives; None if it raises TunedeckError, whose words then join the problems."""
    try:
        return read()
    except TunedeckError as error:
        problems.append(f"{error.what}; {error.fix}" if error.fix else error.what)
        return None
