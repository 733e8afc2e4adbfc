"""A finished export onto the Hub: private unless said otherwise, access checked first, every file checked afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import MissingError, TunedeckError, UsageError
from core.export.aside import gib
from core.models.hub import api, check_reachable, hub_errors

LEFT_OUT = ["*.pt", "*.pth", "*.bin.index.json.tmp", "training_args.bin", ".*", "events.jsonl"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where it is now. `files` and `bytes` are what the Hub says it holds."""

    name: str
    url: str
    commit: str
    private: bool
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def push(
    folder: Path, name: str, *, public: bool = False, progress: Callable[[Any], None] = lambda value: None
) -> Pushed:
    """Upload an exported folder as `owner/name`. The token is the machine's own and is never shown.

    Raises MissingError without a token that may write, UsageError for a repository that is open to all while
    `public` was not asked for, TunedeckError if the Hub does not hold every file afterwards.
    """
    if not (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UsageError("neither an adapter nor a model", where=str(folder), fix="export it first")
    check_reachable()
    client = api()
    with hub_errors(name):
        _require_write(client)
        progress(f"making {name}")
        client.create_repo(name, private=not public, exist_ok=True)
        there = client.model_info(name)
        if not there.private and not public:
            raise UsageError(
                "this repository is open to all", where=name, fix="add --public, or name another one"
            )
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and _goes(path))
        progress(f"uploading {gib(size)}")
        commit = client.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            ignore_patterns=LEFT_OUT,
            commit_message="Upload from tunedeck",
        )
        progress("checking what arrived")
        held = {file.rfilename: file.size for file in client.model_info(name, files_metadata=True).siblings}
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file() and _goes(path)}
    lost = [path for path, size in sizes.items() if held.get(path) != size]
    if lost:
        raise TunedeckError(
            f"{len(lost)} files did not arrive whole: {', '.join(sorted(lost)[:5])}",
            where=name,
            fix="push again",
        )
    return Pushed(name, f"{client.endpoint}/{name}", commit.oid, not public, len(sizes), sum(sizes.values()))


def _require_write(client: Any) -> None:
    from huggingface_hub import get_token

    fix = "make a token that may write, then set HF_TOKEN (or run: hf auth login)"
    if not get_token():
        raise MissingError("this machine has no token for the Hub", where="HF_TOKEN", fix=fix)
    role = client.whoami().get("auth", {}).get("accessToken", {}).get("role", "")
    if role == "read":  # a fine-grained token says so; whether it covers this repository the Hub decides
        raise MissingError("this token may only read", where="HF_TOKEN", fix=fix)


def _goes(path: Path) -> bool:
    from fnmatch import fnmatch

    return not any(fnmatch(path.name, pattern) for pattern in LEFT_OUT)
