"""Arrow and parquet by row number, and how a file is recognised."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.sources import compressed
from core.data.sources.arrow_file import ArrowFile, ParquetFile
from core.data.sources.compressed import is_compressed, unpacked
from core.data.sources.csv_file import CsvFile
from core.data.sources.json_array import JsonArrayFile, JsonDocumentFile
from core.data.sources.lines import LineFile
from core.data.sources.open_file import open_file
from core.errors import TunedeckError, UsageError


def parquet(path: Path, rows: int, group: int) -> ParquetFile:
    pq.write_table(pa.table({"n": list(range(rows))}), path, row_group_size=group)
    return ParquetFile(path)


@pytest.mark.parametrize("group", [1, 7, 300, 2000])
def test_parquet_rows_in_any_order(tmp_path: Path, group: int) -> None:
    file = parquet(tmp_path / "a.parquet", 1000, group)
    assert len(file) == 1000
    for start, stop in ((0, 3), (999, 1000), (250, 520), (5, 6), (998, 1000), (0, 1000), (255, 257)):
        found = file.read(start, stop)
        assert [(record.line, record.raw) for record in found] == [
            (n + 1, {"n": n}) for n in range(start, stop)
        ]


def test_parquet_without_rows(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", 0, 10)
    assert len(file) == 0 and file.read(0, 0) == []


@pytest.mark.parametrize("make", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_file_and_stream(tmp_path: Path, make: object) -> None:
    table = pa.table({"text": ["a", None, "c"]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, make(sink, table.schema) as writer:  # type: ignore[operator]
        writer.write_table(table)
    file = ArrowFile(tmp_path / "a.arrow")
    assert [record.raw for record in file.read(1, 3)] == [{"text": None}, {"text": "c"}]
    assert [record.line for record in file.read(1, 3)] == [2, 3] and len(file) == 3


def test_text_that_is_not_utf8_is_a_problem_of_its_row_alone(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff", b"fine"], type=pa.binary())
    bad = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.schema({"text": pa.string()})) as writer:  # fmt: skip
        writer.write_table(pa.table({"text": bad}))
    records = ArrowFile(tmp_path / "a.arrow").read(0, 3)
    assert [record.raw for record in records] == [{"text": "good"}, None, {"text": "fine"}]
    assert [record.problem[:9] for record in records] == ["", "not UTF-8", ""] and records[1].line == 2


@pytest.mark.parametrize("reader", [ArrowFile, ParquetFile])
def test_what_is_no_such_file_is_one_error(tmp_path: Path, reader: type) -> None:
    (tmp_path / "a").write_bytes(b"PAR1 but not really")
    with pytest.raises(UsageError, match="not a"):
        reader(tmp_path / "a")


def test_a_compressed_file_is_unpacked_once(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"text": "one"}\n'))
    assert is_compressed(packed) and not is_compressed(tmp_path / "a.jsonl")
    first = unpacked(packed)
    assert first.name == "a.jsonl" and first.read_bytes() == b'{"text": "one"}\n'
    stamp = first.stat().st_mtime_ns
    assert unpacked(packed) == first and first.stat().st_mtime_ns == stamp
    packed.write_bytes(gzip.compress(b'{"text": "another"}\n'))
    assert unpacked(packed) != first, "a changed archive is unpacked again"


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b"x" * 100_000)[:60])
    with pytest.raises(UsageError, match="cannot be unpacked"):
        unpacked(packed)
    assert not list(compressed.cache_folder().rglob("*.partial"))


def test_a_full_disk_stops_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"text": "one"}\n'))
    monkeypatch.setattr(compressed, "_KEEP_FREE_BYTES", 1 << 62)
    with pytest.raises(TunedeckError, match="would fill the disk"):
        unpacked(packed)
    assert not list(compressed.cache_folder().rglob("*.partial"))


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [
        ("a.jsonl", b'{"a": 1}\n', LineFile),
        ("a.jsonl", b'[{"a": 1},\n{"a": 2}]', JsonArrayFile),
        ("a.jsonl", b'{\n "a": 1\n}', JsonDocumentFile),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', LineFile),
        ("a.json", b'\xef\xbb\xbf  [{"a": 1}]', JsonArrayFile),
        ("a.json", b'{"data": [{"a": 1}]}', JsonDocumentFile),
        ("a.csv", b"a,b\n1,2\n", CsvFile),
        ("a.tsv", b"a\tb\n1\t2\n", CsvFile),
        ("a.txt", b"[not json", LineFile),
        ("noname", b'[{"a": 1}]', JsonArrayFile),
        ("noname", b"plain words\n", LineFile),
    ],
)
def test_the_reader_a_file_gets(tmp_path: Path, name: str, content: bytes, reader: type) -> None:
    (tmp_path / name).write_bytes(content)
    assert type(open_file(tmp_path / name)) is reader


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"{}"), "a gzip archive under another name"),
        (b"PK\x03\x04" + b"\0" * 40, "a zip archive under another name"),
        ('{"a": "ä"}'.encode("utf-16"), "text in UTF-16"),
        (bytes(range(256)) * 4, "a binary file, not rows"),
    ],
    ids=["gzip", "zip", "utf-16", "binary"],  # a gzip archive holds the time: as a name it differs by worker
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        open_file(tmp_path / "a.jsonl")


def test_a_parquet_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", 3, 3)
    (tmp_path / "renamed").write_bytes((tmp_path / "a.parquet").read_bytes())
    assert (
        json.dumps([record.raw for record in open_file(tmp_path / "renamed").read(0, 3)])
        == '[{"n": 0}, {"n": 1}, {"n": 2}]'
    )
