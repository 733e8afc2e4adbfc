"""Search, cards and downloads through the real huggingface_hub client against a Hub on this machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from core.errors import MissingError, TunedeckError, UsageError
from core.models.complete import missing_from
from core.models.download import PART, DownloadProgress, fetch
from core.models.hub import HubUnreachable
from core.models.hub_card import read_hub_card
from core.models.hub_files import read_hub_model
from core.models.hub_search import HubQuery, HubSearch
from core.models.remove import plan_removal, remove
from core.models.sources import locate
from core.workshop import Failure, Progress, Result, Workshop
from tests.hub_server import COMMIT, TOKEN, HubServer
from tests.unit.models.model_folders import safetensors_bytes, write_model


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """A model in two shards of 300 kB, with copies that nobody needs."""
    folder = write_model(tmp_path / "made")
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".safetensors"}
    for number in (1, 2):
        size = 300_000 + number
        found[f"model-0000{number}-of-00002.safetensors"] = safetensors_bytes(
            {f"t{number}": ("U8", [size], size)}
        )
    index = {"weight_map": {f"t{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    found["model.safetensors.index.json"] = json.dumps(index).encode()
    return {
        **found,
        "pytorch_model.bin": b"p" * 99,
        "original/weights.pth": b"o" * 99,
        "model.gguf": b"g" * 99,
    }


def test_search_pages_filters_and_sorts(hub: HubServer) -> None:
    for number in range(45):
        hub.add(f"acme/llama-{number:02}", {}, downloads=number, likes=-number, parameters=number)
    hub.add("other/llama", {}, gated="manual", licence="mit", downloads=1000)
    hub.add("acme/bert", {}, downloads=500)
    search = HubSearch(HubQuery("llama"))
    pages = [search.page(20), search.page(20), search.page(20), search.page(20)]
    assert [len(page) for page in pages] == [20, 20, 6, 0]
    first = pages[0][0]
    assert (first.id, first.gated, first.licence, first.downloads) == ("other/llama", "manual", "mit", 1000)
    assert [one.downloads for page in pages for one in page][1:] == list(range(44, -1, -1))
    assert HubSearch(HubQuery("llama", sort="likes", author="acme")).page(1)[0].id == "acme/llama-00"
    assert [one.id for one in HubSearch(HubQuery("llama", gated=True)).page()] == ["other/llama"]
    assert [one.id for one in HubSearch(HubQuery("", licence="mit")).page()] == ["other/llama"]
    assert HubSearch(HubQuery("no such thing")).page() == []


def test_equal_files_are_fetched_once(hub: HubServer, files: dict[str, bytes]) -> None:
    twin = files["model-00001-of-00002.safetensors"]
    hub.add("acme/twins", {**files, "model-00002-of-00002.safetensors": twin})
    folder = Path(fetch("acme/twins"))
    assert (folder / "model-00002-of-00002.safetensors").read_bytes() == twin
    got = [name for n in (1, 2) for name in hub.ranges_of(f"model-0000{n}-of-00002.safetensors")]
    assert len(got) == 1


def test_only_the_files_of_one_copy_are_wanted(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files, gated="auto")
    found = read_hub_model("acme/tiny")
    names = [file.path for file in found.wanted]
    assert names[-2:] == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert not {"pytorch_model.bin", "original/weights.pth", "model.gguf"} & set(names)
    assert found.download_bytes == sum(len(files[name]) for name in names)
    assert (found.gated, found.licence.id, found.commit) == ("auto", "apache-2.0", COMMIT)
    assert found.pickles == ("pytorch_model.bin",)


def test_a_download_is_a_model_afterwards(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files)
    told: list[DownloadProgress] = []
    folder = Path(fetch("acme/tiny", progress=told.append))
    assert missing_from(folder) == ""
    assert locate("acme/tiny").folder == folder
    for file in read_hub_model("acme/tiny").wanted:
        assert (folder / file.path).read_bytes() == files[file.path]
    assert told[-1].done_bytes == told[-1].total_bytes == read_hub_model("acme/tiny").download_bytes
    assert [one.done_bytes for one in told] == sorted(one.done_bytes for one in told)
    assert not list(folder.parent.parent.rglob(f"*{PART}"))
    # Everything is here: a second download fetches nothing.
    before = len(hub.ranges_of("model-00001-of-00002.safetensors"))
    fetch("acme/tiny")
    assert len(hub.ranges_of("model-00001-of-00002.safetensors")) == before


def test_a_cut_connection_goes_on_where_it_stopped(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files)
    hub.cut_after, hub.cuts_left = 100_000, 2
    folder = Path(fetch("acme/tiny"))
    assert missing_from(folder) == ""
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        assert (folder / name).read_bytes() == files[name]
    ranges = [one for n in (1, 2) for one in hub.ranges_of(f"model-0000{n}-of-00002.safetensors")]
    assert any(one.startswith("bytes=") and one != "bytes=0-" for one in ranges)


def test_cancel_then_resume_fetches_only_the_rest(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files)
    hub.slow_seconds = 0.15
    workshop = Workshop()
    workshop.submit("core.models.download:fetch", model="acme/tiny")
    parts: list[Path] = []
    cache = Path(os.environ["HF_HUB_CACHE"])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(path.stat().st_size > 100_000 for path in parts):
        messages = workshop.poll(0.05)
        assert not [one for one in messages if isinstance(one, (Result, Failure))]
        parts = list(cache.rglob(f"*{PART}"))
    workshop.cancel()
    kept = max(path.stat().st_size for path in cache.rglob(f"*{PART}"))
    assert kept > 100_000
    with pytest.raises(MissingError):
        locate("acme/tiny")
    hub.slow_seconds = 0
    hub.requests.clear()
    folder = Path(fetch("acme/tiny"))
    assert missing_from(folder) == ""
    ranges = [one for n in (1, 2) for one in hub.ranges_of(f"model-0000{n}-of-00002.safetensors")]
    assert any(int(one.removeprefix("bytes=").rstrip("-")) >= 60_000 for one in ranges if one)


def test_two_downloads_at_once_each_report(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/one", files)
    hub.add("acme/two", files)
    workshops = [Workshop(), Workshop()]
    for workshop, name in zip(workshops, ("one", "two"), strict=True):
        workshop.submit("core.models.download:fetch", model=f"acme/{name}")
    ended: dict[int, list[object]] = {0: [], 1: []}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not all(
        any(isinstance(m, Result) for m in got) for got in ended.values()
    ):
        for number, workshop in enumerate(workshops):
            ended[number] += workshop.poll(0.05)
    for got in ended.values():
        assert any(isinstance(message, Progress) for message in got)
    assert locate("acme/one").folder != locate("acme/two").folder
    for workshop in workshops:
        workshop.cancel()


@pytest.mark.parametrize(
    ("name", "revision", "kind", "words"),
    [
        ("acme/none", "main", MissingError, "no such model on the Hub"),
        ("acme/tiny", "v9", UsageError, "no revision v9"),
        ("acme/gated", "main", MissingError, "is gated"),
        ("../../etc", "main", UsageError, "cannot be the name"),
        ("acme/..%2f..", "main", UsageError, "cannot be the name"),
        ("a/b/c", "main", UsageError, "cannot be the name"),
    ],
)
def test_what_cannot_be_fetched_is_said(
    hub: HubServer, files: dict[str, bytes], name: str, revision: str, kind: type[TunedeckError], words: str
) -> None:
    hub.add("acme/tiny", files)
    hub.add("acme/gated", files, gated="manual")
    with pytest.raises(kind, match=words):
        fetch(name, revision)
    assert not list(Path(os.environ["HF_HUB_CACHE"]).rglob("*.safetensors"))


def test_a_token_opens_a_gated_model_and_is_never_told(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("acme/gated", files, gated="auto")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_token_of_mine")
    with pytest.raises(MissingError) as told:
        fetch("acme/gated")
    assert "hf_wrong" not in str(told.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = Path(fetch("acme/gated"))
    assert TOKEN in hub.tokens_seen
    for path in Path(os.environ["HF_HUB_CACHE"]).rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert missing_from(folder) == ""


def test_a_rate_limit_is_said(hub: HubServer) -> None:
    hub.limited = True
    with pytest.raises(TunedeckError, match="slow down"):
        HubSearch(HubQuery("x")).page()


def test_offline_by_choice_and_by_chance(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        HubSearch(HubQuery("x")).page()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match="switched off"):
        HubSearch(HubQuery("x")).page()


def test_pickles_are_refused_unless_named(hub: HubServer, files: dict[str, bytes]) -> None:
    pickled = {
        name: data for name, data in files.items() if not name.endswith((".safetensors", "index.json"))
    }
    hub.add("acme/pickled", pickled)
    with pytest.raises(TunedeckError, match="loading them runs code") as told:
        fetch("acme/pickled")
    assert "--allow-pickle pytorch_model.bin" in told.value.fix
    folder = Path(fetch("acme/pickled", allow_pickle="pytorch_model.bin"))
    assert missing_from(folder, "pytorch_model.bin") == ""
    assert missing_from(folder) == "no weights"


def test_a_full_disk_is_said_before_it_starts(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    hub.add("acme/tiny", files)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(TunedeckError, match="0.00 GiB are still to come and the disk has 0.00 GiB free"):
        fetch("acme/tiny")
    assert not hub.ranges_of("model-00001-of-00002.safetensors")


def test_bytes_that_do_not_match_their_hash_are_thrown_away(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("acme/tiny", files)
    monkeypatch.setattr("tests.hub_server.etag_of", lambda data: f"{len(data):064}")
    with pytest.raises(TunedeckError, match="do not match their hash"):
        fetch("acme/tiny")
    cache = Path(os.environ["HF_HUB_CACHE"])
    assert not [path for path in cache.rglob("*") if path.is_file() and "blobs" in path.parts]


def test_an_older_whole_revision_stays_while_a_new_one_arrives(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("acme/tiny", files)
    old = Path(fetch("acme/tiny"))
    hub.repositories["acme/tiny"].files = {**files, "model-00001-of-00002.safetensors": b"x" * 400_000}
    monkeypatch.setattr("tests.hub_server.COMMIT", "beef" + "0" * 36)
    hub.slow_seconds = 0.2
    workshop = Workshop()
    workshop.submit("core.models.download:fetch", model="acme/tiny")
    newer = old.with_name("beef" + "0" * 36)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not newer.exists():
        workshop.poll(0.05)
    workshop.cancel()
    assert newer.exists() and missing_from(newer)
    assert locate("acme/tiny").folder == old


def test_the_card_of_a_model_that_is_not_here(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files, gated="auto")
    card = read_hub_card("acme/tiny")
    assert any("gated" in problem for problem in card.problems)
    assert (card.gated, card.architecture) == ("auto", None)
    hub.repositories["acme/tiny"].gated = False
    card = read_hub_card("acme/tiny")
    assert card.architecture is not None and card.architecture.parameters.total == 4_944
    assert card.weights is not None and card.weights.parameters == 600_003
    assert card.tokenizer is not None and card.tokenizer.instruct
    assert card.download_bytes == read_hub_model("acme/tiny").download_bytes
    # Only headers were read of the weights, and nothing lies in the person's cache.
    assert all(one for n in (1, 2) for one in hub.ranges_of(f"model-0000{n}-of-00002.safetensors"))
    assert not Path(os.environ["HF_HUB_CACHE"]).exists()


def test_removal_names_what_it_frees(hub: HubServer, files: dict[str, bytes]) -> None:
    hub.add("acme/tiny", files)
    folder = Path(fetch("acme/tiny"))
    removal = plan_removal("acme/tiny")
    assert removal.freed_bytes == sum(len(files[path.name]) for path in folder.iterdir())
    remove(removal)
    with pytest.raises(MissingError):
        locate("acme/tiny")
    with pytest.raises(MissingError, match="not in the cache"):
        plan_removal("acme/tiny")


def test_the_command_line_gets_shows_and_removes(
    hub: HubServer, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.tui.test_cli import call

    hub.add("acme/tiny", files, downloads=7)
    assert call("models", "tiny", "--source", "hub", "--json") == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["acme/tiny"]
    assert call("models", "show", "acme/tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"] == ""
    assert call("models", "targets", "acme/tiny", "--rank", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"] > 4_944
    assert call("models", "get", "acme/tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["revision"] == COMMIT
    assert call("models", "show", "acme/tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"].endswith(COMMIT)
    assert call("models", "remove", "acme/tiny", "--yes") == 0
    assert "free again" in capsys.readouterr().err
    assert call("models", "get", "acme/tiny") == 0
    capsys.readouterr()
    assert call("models", "remove", "acme/tiny", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "id": "acme/tiny",
        "revisions": [COMMIT],
        "freed_bytes": read_hub_model("acme/tiny").download_bytes,
    }
    assert call("models", "get", "acme/none") == 4
    assert "no such model" in capsys.readouterr().err


def test_a_disk_that_fills_up_on_the_way_keeps_what_arrived(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from core.models import download

    whole = download._append

    def full(url: str, location: str, part: Path, have: int, meter: object) -> int:
        if "00002-of" in url:
            part.write_bytes(files["model-00002-of-00002.safetensors"][:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(url, location, part, have, meter)  # type: ignore[arg-type]

    hub.add("acme/tiny", files)
    monkeypatch.setattr(download, "_append", full)
    with pytest.raises(TunedeckError, match="the disk is full"):
        fetch("acme/tiny")
    monkeypatch.setattr(download, "_append", whole)
    hub.requests.clear()
    fetch("acme/tiny")
    assert hub.ranges_of("model-00002-of-00002.safetensors") == ["bytes=1000-"]
    assert hub.ranges_of("model-00001-of-00002.safetensors") == []
