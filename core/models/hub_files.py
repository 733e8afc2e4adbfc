"""What a model's repository holds, and which of its files tunedeck would fetch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from core.errors import UsageError
from core.models.hub import api, check_reachable, hub_errors
from core.models.licence import Licence, licence_of
from core.models.sources import is_hub_id
from core.workspace import cache_folder

# Small files a card needs; also fetched first, so that weights are the last to arrive.
SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "model.safetensors.index.json",
    "README.md",
    "LICENSE*",
    "USE_POLICY*",
)
_CODE = ("*.py",)
_PICKLED = re.compile(r"\.(bin|pt|pth|ckpt|pkl)$")


@dataclass(frozen=True, slots=True)
class HubFile:
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository at one commit. `wanted` are the files a download takes, small ones first."""

    id: str
    commit: str
    gated: str  # "" | auto | manual
    licence: Licence
    files: tuple[HubFile, ...]
    wanted: tuple[HubFile, ...]
    pickles: tuple[str, ...]
    code_files: tuple[str, ...]
    parameters: int  # as the Hub counts them from safetensors headers; 0 if it does not
    downloads: int
    likes: int

    @property
    def download_bytes(self) -> int:
        return sum(file.bytes for file in self.wanted)


def read_hub_model(model: str, revision: str = "main", *, allow_pickle: str = "") -> HubModel:
    """Ask the Hub about a model. Raises UsageError for a name with tricks, else what `hub_errors` says."""
    if not is_hub_id(model):
        raise UsageError("this cannot be the name of a model", where=model, fix="write owner/name")
    check_reachable()
    with hub_errors(model, revision):
        info = api().model_info(model, revision=revision, files_metadata=True)
    files = tuple(
        HubFile(one.rfilename, one.size or 0) for one in info.siblings or () if _is_tame(one.rfilename)
    )
    matter = info.card_data.to_dict() if info.card_data else {}
    wanted = wanted_files(files, allow_pickle)
    return HubModel(
        id=info.id,
        commit=info.sha,
        gated=info.gated or "",
        licence=licence_of(matter),
        files=files,
        wanted=wanted,
        pickles=tuple(file.path for file in files if _PICKLED.search(file.path) and "/" not in file.path),
        code_files=tuple(file.path for file in files if fnmatch(file.path, "*.py")),
        parameters=info.safetensors.total if info.safetensors else 0,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
    )


def may_download(model: str, revision: str = "main") -> str:
    """What a download would take, in words. Raises MissingError for a gated model this machine has no access to."""
    found = read_hub_model(model, revision)
    with hub_errors(model, revision):
        api().auth_check(model)
    access = "gated, and this machine has access; " if found.gated else ""
    return f"{access}{found.download_bytes / 2**30:.2f} GiB to download"


def wanted_files(files: tuple[HubFile, ...], allow_pickle: str = "") -> tuple[HubFile, ...]:
    """Small files, code to read, then safetensors of the top folder. Pickles only by name.

    Other copies of the same weights (original/, onnx/, GGUF, consolidated) are left out.
    """
    top = [file for file in files if "/" not in file.path]
    small = [file for file in top if any(fnmatch(file.path, pattern) for pattern in (*SMALL, *_CODE))]
    weights = [
        file
        for file in top
        if file.path.endswith(".safetensors") and not file.path.startswith("consolidated")
    ]
    if not weights:
        weights = [file for file in top if allow_pickle and file.path == allow_pickle]
    return (*small, *sorted(weights, key=lambda file: file.path))


def fetch_small(found: HubModel, names: tuple[str, ...], largest: int) -> Path | None:
    """Fetch files of the top folder by name or pattern into tunedeck's own cache, up to `largest` bytes each.

    The person's cache holds no half models that way. Returns their folder, None if there are none. Raises what
    `hub_errors` says.
    """
    from huggingface_hub import hf_hub_download

    folder: Path | None = None
    for file in found.files:
        wanted = "/" not in file.path and any(fnmatch(file.path, name) for name in names)
        if wanted and file.bytes <= largest:
            with hub_errors(found.id):
                path = hf_hub_download(
                    found.id, file.path, revision=found.commit, cache_dir=str(cache_folder() / "cards")
                )
            folder = Path(path).parent
    return folder


def _is_tame(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/") and "\\" not in path
