"""Rows by number from every kind of file; what is damaged is a problem of its row alone."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.rows import read_rows
from core.data.sources.csv_file import CsvFile
from core.data.sources.json_array import JsonArrayFile, element_bounds
from core.data.sources.lines import LineFile
from core.data.sources.record import record_from_json
from core.errors import UsageError
from core.recipe import DataSection

ROWS = [{"text": "one"}, {"text": 'two, "quoted"\nand a new line'}, {"text": "drei äöü 🤖 \\"}]


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def raws(path: Path, **section: str) -> list:
    return [row.raw for row in read_rows(str(path), None, DataSection(source=str(path), **section))]


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.json").write_text(json.dumps(ROWS, indent=2), encoding="utf-8")
    with (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([row["text"]] for row in ROWS)])
    with (tmp_path / "d.tsv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows([["text"], *([row["text"]] for row in ROWS)])
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "e.parquet")
    with pa.OSFile(str(tmp_path / "f.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / "g.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    plain = (tmp_path / "a.jsonl").read_bytes()
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(plain, mtime=0))
    (tmp_path / "i.jsonl.bz2").write_bytes(bz2.compress(plain))
    (tmp_path / "j.jsonl.xz").write_bytes(lzma.compress(plain))
    with pa.output_stream(str(tmp_path / "k.jsonl.zst"), compression="zstd") as sink:
        sink.write(plain)
    (tmp_path / "l.json").write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")
    (tmp_path / "m.json").write_bytes(plain)
    for path in sorted(tmp_path.iterdir()):
        assert raws(path) == ROWS, path.name


def test_rows_keep_number_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "1"}\n\n  \n{"text": "2"}\nbroken\n{"text": "3"}')
    (tmp_path / "b.jsonl").write_text('{"text": "4"}\n')
    rows = read_rows(str(tmp_path))
    assert [(row.number, row.file, row.line) for row in rows] == [
        (0, "a.jsonl", 1), (1, "a.jsonl", 4), (2, "a.jsonl", 5), (3, "a.jsonl", 6), (4, "b.jsonl", 1),
    ]  # fmt: skip
    assert rows[2].problem == "not JSON: expecting value at character 1" and rows[2].raw is None
    assert rows[4].raw == {"text": "4"}
    assert [row.number for batch in rows.batches(2) for row in batch] == [0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        rows[5]


def test_a_damaged_row_never_stops_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    deep = "[" * 200_000 + "]" * 200_000
    path.write_bytes(
        b'{"text": "good"}\n{"text": "\xff"}\n' + deep.encode() + b'\n{"text": NaN}\n{"text": "a\\u0000b"}\n{"text": "x\ny"}\n'
        + b"9" * 5000 + b'\n{"text": "good"}\n'
    )  # fmt: skip
    rows = read_rows(str(path))
    problems = [row.problem for row in rows]
    assert len(rows) == 9
    assert problems[0] == problems[3] == problems[4] == problems[8] == ""
    assert problems[1] == "not UTF-8: byte 11 of the record is 0xff"
    assert problems[2] == "nested too deeply to be read"
    assert problems[5].startswith("not JSON: unterminated string starting at character 10") and problems[
        6
    ].startswith("not JSON")
    assert problems[7].startswith("not JSON: Exceeds the limit")


def test_a_huge_row_is_refused_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("lines", "json_array", "csv_file", "record"):
        monkeypatch.setattr(f"core.data.sources.{module}.LARGEST_RECORD_BYTES", 1024**2)
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"text": "a"}, {"text": "x" * 2_000_000}, {"text": "b"}])
    problems = [row.problem for row in read_rows(str(path))]
    assert problems == ["", "the record has 2 MiB; the limit is 1 MiB", ""]


def test_tables_keep_text_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfq;a\r\n"two\r\nlines";nan\r\n5" pipe;"said ""yes"""\r\nonly one\r\n')
    rows = read_rows(str(path))
    assert [(row.line, row.raw) for row in rows] == [
        (2, {"q": "two\r\nlines", "a": "nan"}), (4, {"q": '5" pipe', "a": 'said "yes"'}), (5, None),
    ]  # fmt: skip
    assert rows[2].problem == "1 fields, but the header names 2"


def test_folders_named_after_splits_give_only_the_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    write_jsonl(tmp_path / "test.jsonl", ROWS[:1])
    (tmp_path / ".hidden.jsonl").write_text("{}")
    (tmp_path / "README.md").write_text("# words")
    rows = read_rows(str(tmp_path))
    assert len(rows) == 3 and rows.notes == ('split "train" by file name; left out: test.jsonl',)
    assert raws(tmp_path, split="test") == ROWS[:1]


def test_saved_datasets_folder(tmp_path: Path) -> None:
    import datasets

    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": saved, "test": saved.select([1])}).save_to_disk(tmp_path / "two")
    assert raws(tmp_path / "one") == ROWS and raws(tmp_path / "two") == ROWS
    assert raws(tmp_path / "two", split="test") == ROWS[1:2]
    with pytest.raises(UsageError, match='no split "dev"'):
        raws(tmp_path / "two", split="dev")


def test_parquet_by_number_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(3000))}), path, row_group_size=1000)
    rows = read_rows(str(path))
    for number in (2999, 0, 255, 256, 1500, 1499, 999, 1000):
        assert rows[number].raw == {"n": number} and rows[number].line == number + 1
    assert [row.raw["n"] for row in rows.read(990, 1010)] == list(range(990, 1010))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", bytes(range(256)) * 40, "a binary file"),
        ("a.jsonl", "text".encode("utf-16"), "UTF-16"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "gzip archive under another name"),
        ("a.parquet", b"not parquet", "not a parquet file"),
        ("a.arrow", b"not arrow", "not an Arrow file"),
        ("a.jsonl.gz", b"not gzip", "cannot be unpacked"),
    ],
)
def test_files_without_rows_are_one_clear_error(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_rows(str(tmp_path / name))


def test_rows_that_hold_a_text_are_found_in_every_kind_of_file(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "a.jsonl", [{"text": "Rabbit"}, {"text": "x"}, {"rabbit": "y"}, {"text": "a rabbit"}]
    )
    (tmp_path / "b.json").write_text(json.dumps([{"text": "no"}, {"text": "RABBIT"}]))
    rows = read_rows(str(tmp_path))
    likely = [row.number for batch in rows.that_may_hold("rabbit") for row in batch]
    assert likely == [0, 2, 3, 4, 5]
    assert [row.number for batch in rows.that_may_hold('a "b"') for row in batch] == [0, 1, 2, 3, 4, 5]


def test_a_first_line_of_any_length_is_a_row(tmp_path: Path) -> None:
    long = [{"text": "x" * 200_000}, {"text": "b"}]
    assert raws(write_jsonl(tmp_path / "a.jsonl", long)) == long
    (tmp_path / "b.json").write_text(json.dumps(long))
    assert raws(tmp_path / "b.json") == long
    assert raws(write_jsonl(tmp_path / "c.json", long)) == long


def test_no_such_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such data source"):
        read_rows("missing.jsonl", tmp_path)
    with pytest.raises(UsageError, match="no data files"):
        read_rows(str(tmp_path))


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.json", "c.csv", "d.txt"):
        (tmp_path / name).write_bytes(b"")
        assert len(read_rows(str(tmp_path / name))) == 0
    (tmp_path / "e.json").write_text(" [ ] ")
    assert len(read_rows(str(tmp_path / "e.json"))) == 0


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    first = read_rows(str(path)).fingerprint
    assert read_rows(str(path)).fingerprint == first
    write_jsonl(path, [*ROWS[:2], {"text": "other"}])
    assert read_rows(str(path)).fingerprint != first


@given(st.binary(max_size=400))
def test_random_bytes_never_raise_and_every_line_is_a_row(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("random") / "a.jsonl"
    path.write_bytes(content)
    expected = [number for number, line in enumerate(content.split(b"\n"), 1) if line.strip(b" \t\r\n\v\f")]
    records = LineFile(path).read(0, len(LineFile(path)))
    assert [record.line for record in records] == expected


@given(
    st.lists(
        st.recursive(
            st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
    )
)
def test_json_arrays_are_cut_where_the_parser_would(
    tmp_path_factory: pytest.TempPathFactory, values: list
) -> None:
    path = tmp_path_factory.mktemp("array") / "a.json"
    for content in (json.dumps(values), json.dumps(values, indent=1, ensure_ascii=False)):
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
        file = JsonArrayFile(path)
        if any(0xD800 <= ord(c) <= 0xDFFF for c in content):
            continue
        assert [record.raw for record in file.read(0, len(file))] == values


@given(st.text(alphabet='"\\,[]{}a', max_size=60), st.integers(1, 7))
def test_the_array_scan_does_not_depend_on_where_chunks_end(text: str, chunk_bytes: int) -> None:
    data = json.dumps([text, {"k": text}, [text]]).encode()
    from core.data.sources import json_array

    whole = element_bounds(data)
    before = json_array._SCAN_BYTES
    json_array._SCAN_BYTES = chunk_bytes
    try:
        assert (element_bounds(data) == whole).all()
    finally:
        json_array._SCAN_BYTES = before


@given(
    st.lists(
        st.lists(st.text(alphabet='",;\n\r a', max_size=8), min_size=2, max_size=2), min_size=1, max_size=6
    )
)
def test_csv_records_are_cut_where_the_csv_module_would(
    tmp_path_factory: pytest.TempPathFactory, rows: list
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = CsvFile(path)
    assert [list(record.raw.values()) for record in table.read(0, len(table))] == rows


def test_shared_files_have_the_documented_number_of_rows(shared_data: Path) -> None:
    folder = shared_data / "datasets"
    table = (folder / "README.md").read_text(encoding="utf-8").split("## What TRL")[0]
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    expected = {cell[1].strip().strip("`"): cell[2].strip() for cell in cells}
    counted = {name: len(read_rows(str(folder / name))) for name, rows in expected.items() if rows.isdigit()}
    assert len(counted) >= 45
    assert counted == {name: int(expected[name]) for name in counted}


numbers = (
    st.integers().map(str) | st.floats(allow_nan=False).map(repr)
    | st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)  # fmt: skip
pieces = st.sampled_from(
    [
        "a",
        "é",
        "🤖",
        "\\n",
        "\\u00e9",
        "\\ud83e\\udd16",
        "\\ud83e",
        "\\udd16",
        "\\x",
        "\x00",
        "\x7f",
        "\u2028",
        "\\/",
    ]
)
strings = st.lists(pieces, max_size=5).map(lambda found: f'"{"".join(found)}"')
words = st.sampled_from(
    ["true", "null", "NaN", "-Infinity", "nan", "+1", "01", ".5", "1.", "", "'a'", "[" * 300 + "]" * 300]
)
blanks = st.sampled_from(["", "", " ", "\t", "\u00a0", "\ufeff"])
values = st.recursive(
    numbers | strings | words,
    lambda inner: st.lists(st.tuples(blanks, inner).map("".join), max_size=4).map(lambda items: f"[{','.join(items)}]")
    | st.lists(st.tuples(strings, inner), max_size=4).map(
        lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items) + "}"
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.tuples(blanks, values, blanks).map("".join) | st.text(max_size=20))
def test_a_record_is_what_the_standard_library_reads(text: str) -> None:
    record = record_from_json(1, text.encode("utf-8", "surrogatepass"))
    try:
        assert repr(record.raw) == repr(json.loads(text.encode("utf-8", "surrogatepass").decode("utf-8")))
    except ValueError:
        assert record.raw is None and record.problem
    else:
        assert not record.problem
