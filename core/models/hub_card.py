"""The card of a model that is not here: from its small files and range requests, before any weights come."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.errors import MissingError, TunedeckError
from core.models.architecture_of import read_architecture, read_config
from core.models.card import ModelCard, notes_of, or_problem
from core.models.hub import api, hub_errors
from core.models.hub_files import HubFile, HubModel, fetch_small, read_hub_model
from core.models.tokenizer_facts import tokenizer_facts
from core.models.tokenizer_files import VOCABULARIES
from core.models.weight_files import DTYPE_NAMES, WeightFiles

LARGEST_SMALL_FILE = 4 << 20  # bytes; larger ones (a vocabulary of 17 MB) wait for the download
AT_ONCE = 8  # headers
_CARD_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)


def read_hub_card(model: str, revision: str = "main") -> ModelCard:
    """Ask the Hub for everything the card shows. A gated model without access still has a card, with less on it.

    Raises MissingError or UsageError for a model or revision that is not there, HubUnreachable offline.
    """
    found = read_hub_model(model, revision)
    problems = list[str]()
    folder = or_problem(problems, lambda: _small_files(found))
    config = (or_problem(problems, lambda: read_config(folder)) or {}) if folder else {}
    architecture = or_problem(problems, lambda: read_architecture(config)) if config else None
    names = {file.path for file in found.files}
    vocabulary = next((name for name in VOCABULARIES if name in names), "")
    tokenizer = or_problem(problems, lambda: tokenizer_facts(folder, vocabulary)) if folder else None
    weights = _weights(found) if folder else None
    if weights is not None and weights.problem:
        problems.append(weights.problem)
    return ModelCard(
        found.id,
        found.commit,
        "",
        architecture,
        tokenizer,
        weights,
        found.licence,
        found.gated,
        found.download_bytes,
        found.code_files if config.get("auto_map") else (),
        tuple(problems),
        tuple(notes_of(architecture, tokenizer, weights)),
    )


def _small_files(found: HubModel) -> Path:
    """Fetch what the card reads."""
    folder = fetch_small(found, _CARD_FILES, LARGEST_SMALL_FILE)
    if folder is None:
        raise MissingError(
            "this repository has no config.json: it is not a transformers model", where=found.id
        )
    return folder


def _weights(found: HubModel) -> WeightFiles:
    """What the safetensors headers say, by range request."""
    files = tuple(file for file in found.wanted if file.path.endswith(".safetensors"))
    size = sum(file.bytes for file in files)
    if not files:
        pickled = (
            f"the weights are pickled ({found.pickles[0]}): loading them runs code" if found.pickles else ""
        )
        return WeightFiles((), 0, 0, {}, found.pickles, pickled or "there are no weights in this repository")
    counts: Counter[str] = Counter()
    try:
        with hub_errors(found.id), ThreadPoolExecutor(AT_ONCE) as pool:
            for header in pool.map(lambda file: _header(found, file), files):
                counts.update({DTYPE_NAMES.get(name, name.lower()): count for name, count in header.items()})
    except TunedeckError as error:
        return WeightFiles((), size, found.parameters, {}, found.pickles, error.what)
    return WeightFiles(tuple(file.path for file in files), size, counts.total(), dict(counts), found.pickles)


def _header(found: HubModel, file: HubFile) -> dict[str, int]:
    """Elements by dtype of one remote file."""
    metadata = api().parse_safetensors_file_metadata(found.id, file.path, revision=found.commit)
    return dict(metadata.parameter_count)
