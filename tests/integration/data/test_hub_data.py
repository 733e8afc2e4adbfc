"""Data sets of a Hub on this machine, through the real huggingface_hub and datasets clients."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from core.data.check import check
from core.data.glance import glances
from core.data.lookup import cached_report
from core.data.prepare import prepare
from core.data.rows import Rows, read_rows
from core.data.view import show_row
from core.errors import MissingError, TunedeckError, UsageError
from core.recipe import DataSection, Recipe, with_changes
from tests.hub_server import TOKEN, HubServer
from tui.commands.all import app

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"


def chats(first: int, count: int, pad: str = "") -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": f"Say {n}.{pad}"}, {"role": "assistant", "content": f"{n}, it is."}]}
        for n in range(first, first + count)
    ]  # fmt: skip


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows: list[Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The libraries read their environment once, at import; in this process their constants are set instead."""
    import datasets
    from huggingface_hub import HfFileSystem, constants

    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        url = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
        HfFileSystem.clear_instance_cache()
        yield server
        HfFileSystem.clear_instance_cache()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Switches the Hub off, as HF_HUB_OFFLINE does."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def opened(source: str, reach: Any = "whole", **section: str) -> Rows:
    return read_rows(source, None, DataSection(source=source, **section), reach=reach)


def recipe(source: str, **data: Any) -> Recipe:
    return with_changes(
        Recipe(), {"data.source": source} | {f"data.{key}": value for key, value in data.items()}
    )


@pytest.mark.parametrize("name", ["acme/chats", "hub:acme/chats"])
def test_json_lines_and_parquet_give_the_same_rows(hub: HubServer, name: str) -> None:
    hub.add("datasets/acme/chats", {"train.jsonl": lines(chats(0, 5)), "test.jsonl": lines(chats(5, 2))})
    hub.add("datasets/acme/columns", {"data/train-00000-of-00001.parquet": parquet(chats(0, 5))})
    rows = opened(name)
    assert [row.raw for row in rows] == chats(0, 5) == [row.raw for row in opened("acme/columns")]
    assert (rows[3].file, rows[3].line) == ("acme/chats/train", 4)
    assert rows.notes == ("Hub data set acme/chats, split train, revision main",)
    assert [row.raw for row in opened(name, split="test")] == chats(5, 2)


def test_configuration_and_revision(hub: HubServer) -> None:
    card = b"---\nconfigs:\n- config_name: long\n  data_files: long.jsonl\n- config_name: short\n  data_files: short.jsonl\n---\n"
    files = {"README.md": card, "long.jsonl": lines(chats(0, 4)), "short.jsonl": lines(chats(4, 1))}
    hub.add("datasets/acme/two", files, branches={"old": {**files, "short.jsonl": lines(chats(7, 2))}})
    assert [row.raw for row in opened("acme/two", config="short")] == chats(4, 1)
    assert [row.raw for row in opened("acme/two", config="short", revision="old")] == chats(7, 2)
    assert [row.raw for row in opened("acme/two", config="short", revision="old", reach="look")] == chats(
        7, 2
    )
    with pytest.raises(UsageError, match="several configurations") as several:
        opened("acme/two")
    assert several.value.fix == "set data.config to one of: long, short"
    with pytest.raises(UsageError, match='no configuration "medium"'):
        opened("acme/two", config="medium")
    with pytest.raises(UsageError, match='no split "night"') as split:
        opened("acme/two", config="long", split="night")
    assert split.value.fix == "set data.split to one of: train"
    with pytest.raises(UsageError, match="no revision older"):
        opened("acme/two", config="long", revision="older")


def test_what_cannot_be_had_is_one_clear_line(
    hub: HubServer, offline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("datasets/acme/closed", {"train.jsonl": lines(chats(0, 1))}, gated="manual")
    hub.add("datasets/acme/bare", {"notes.unknown": b"."})
    hub.add("datasets/acme/broken", {"train.jsonl": b'{"a": 1}\n{"a": \n'})
    for reach in ("whole", "look"):
        with pytest.raises(MissingError, match="this data set is gated") as gated:
            opened("acme/closed", reach)
        assert "\n" not in gated.value.what and f"{hub.url}/datasets/acme/closed" in gated.value.fix
        with pytest.raises(MissingError, match="there is no such data set on the Hub, or it is private"):
            opened("acme/nothing", reach)
        with pytest.raises(TunedeckError, match="no data files of a known kind"):
            opened("acme/bare", reach)
        with pytest.raises(TunedeckError, match="cannot read its files") as broken:
            opened("acme/broken", reach)
        assert "\n" not in broken.value.what
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(opened("acme/closed")) == 1
    offline()
    with pytest.raises(MissingError, match="switched off by HF_HUB_OFFLINE"):
        opened("acme/bare")


def test_a_set_that_was_downloaded_needs_no_network_again(hub: HubServer, offline: Any) -> None:
    hub.add("datasets/acme/chats", {"train.jsonl": lines(chats(0, 5))})
    with pytest.raises(MissingError, match="not on this machine"):
        opened("acme/chats", "here")
    first = opened("acme/chats")
    hub.requests.clear()
    again = opened("acme/chats")
    assert again.fingerprint == first.fingerprint
    assert not hub.ranges_of("train.jsonl"), "the same commit is not fetched twice"
    hub.requests.clear()
    assert [row.raw for row in opened("acme/chats", "here")] == chats(0, 5) and not hub.requests
    offline()
    without = opened("acme/chats")
    assert [row.raw for row in without] == chats(0, 5)
    assert without.notes[1] == "the Hub cannot be reached: the copy on this machine is used"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_look_streams_the_first_rows_and_fetches_only_a_part(
    hub: HubServer, kind: str, tmp_path: Path
) -> None:
    rows = chats(0, 5000, pad=" Please do it slowly." * 250)
    data = (
        lines(rows)
        if kind == "jsonl"
        else parquet(rows, row_group_size=100, compression="none", use_dictionary=False)
    )
    hub.add("datasets/acme/big", {f"train.{kind}": data})
    shown = show_row(recipe("acme/big"), DEMO, 7, workspace=tmp_path)
    assert shown.raw == rows[7] and shown.where == "acme/big/train:8" and shown.trained
    listed = glances(recipe("acme/big"), [0, 99, 100], tmp_path)
    assert (listed.total, len(listed.rows), listed.whole) == (100, 2, False)
    assert listed.notes[1].startswith("only the first 100 rows are here")
    sent = sum(int(end) - int(start) + 1 for start, end in map(bounds, hub.ranges_of(f"train.{kind}")))
    assert 0 < sent < len(data) // 4
    assert cached_report(recipe("acme/big"), DEMO, workspace=tmp_path) is None, "a plan downloads nothing"


def bounds(ranges: str) -> list[str]:
    assert ranges.startswith("bytes="), "a request without a range asks for the whole file"
    return ranges.removeprefix("bytes=").split("-")


def test_a_small_set_is_looked_at_whole(hub: HubServer, tmp_path: Path) -> None:
    hub.add("datasets/acme/chats", {"train.jsonl": lines(chats(0, 5))})
    listed = glances(recipe("acme/chats"), range(9), tmp_path)
    assert (listed.total, listed.whole) == (5, True)


def test_check_and_prepare_download_the_whole(hub: HubServer, tmp_path: Path) -> None:
    hub.add("datasets/acme/chats", {"train.jsonl": lines(chats(0, 120))})
    chosen = recipe("acme/chats", eval_fraction=0.0)
    assert show_row(chosen, DEMO, 3, workspace=tmp_path).raw == chats(3, 1)[0]
    assert show_row(chosen, DEMO, 110, workspace=tmp_path).raw == chats(110, 1)[0], (
        "beyond the look: downloaded"
    )
    assert (check(chosen, DEMO).rows, prepare(chosen, DEMO, tmp_path / "out").rows) == (120, 120)
    assert glances(chosen, [0], tmp_path).total == 120, "what was downloaded is no longer a look"
    assert cached_report(chosen, DEMO, workspace=tmp_path) is not None


def test_show_from_the_command_line(hub: HubServer) -> None:
    hub.add("datasets/acme/chats", {"train.jsonl": lines(chats(0, 2)), "test.jsonl": lines(chats(8, 2))})
    asked = ["show", "--data", "hub:acme/chats", "--set", "data.split=test", "--row", "1", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exception is None, result.exception
    assert json.loads(result.stdout)["where"] == "acme/chats/test:2"
