"""Which reader a file needs: by its name, and by its first bytes where the name does not decide."""

from __future__ import annotations

import json
from pathlib import Path

from core.data.sources.arrow_file import ArrowFile, ParquetFile
from core.data.sources.compressed import is_compressed, unpacked
from core.data.sources.csv_file import CsvFile
from core.data.sources.json_array import JsonArrayFile, JsonDocumentFile
from core.data.sources.lines import LineFile, map_bytes
from core.data.sources.record import RecordFile
from core.errors import UsageError

# Extensions a folder is searched for; compressed forms of them count too.
DATA_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".txt")
_LOOK_BYTES = 64 * 1024
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})
_LINE_BYTES = 4 * 1024**2  # a first line up to this length is tried as one value
_PACKED_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


def open_file(path: Path) -> RecordFile:
    """The file's records. Raises UsageError for a file that holds no records at all (binary, unknown archive)."""
    if is_compressed(path):
        return open_file(unpacked(path))
    with path.open("rb") as file:
        head = file.read(_LOOK_BYTES)
    if path.suffix == ".parquet" or head.startswith(b"PAR1"):
        return ParquetFile(path)
    if path.suffix in (".arrow", ".feather") or head.startswith(b"ARROW1"):
        return ArrowFile(path)
    _refuse_binary(path, head)
    if path.suffix in (".csv", ".tsv"):
        return CsvFile(path)
    if path.suffix == ".txt":
        return LineFile(path, text=True)
    named_lines = path.suffix in (".jsonl", ".ndjson")
    looks_like_json = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    if named_lines and (_first_line_is_json(path) or not looks_like_json):
        return LineFile(path)
    if looks_like_json:
        return LineFile(path) if not named_lines and _has_json_lines(path) else _json_document(path)
    if path.suffix == ".json":
        return LineFile(path)
    return LineFile(path, text=True)


def _refuse_binary(path: Path, head: bytes) -> None:
    for magic, name in _PACKED_MAGIC.items():
        if head.startswith(magic):
            raise UsageError(
                f"a {name} archive under another name",
                where=str(path),
                fix="rename it (.gz, .bz2, .xz, .zst), or unpack it first",
            )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(
            "text in UTF-16",
            where=str(path),
            fix=f"convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8_{path.name}",
        )
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > len(head) * 0.02 and controls > 8:
        raise UsageError(
            "a binary file, not rows",
            where=str(path),
            fix="rows come as jsonl, json, csv, parquet, arrow or text",
        )


def _first_line_is_json(path: Path) -> bool:
    """Whether the first line that holds something is a whole value; a very long line is taken for one."""
    with path.open("rb") as file:
        while line := file.readline(_LOOK_BYTES):
            if line.strip():
                return len(line) == _LOOK_BYTES or _is_json(line)
    return True


def _has_json_lines(path: Path) -> bool:
    """Whether a .json file holds one value per line: its first two lines are whole values."""
    with path.open("rb") as file:
        lines = [line for line in (file.readline(_LINE_BYTES) for _ in range(8)) if line.strip()]
    return len(lines) > 1 and _is_json(lines[0]) and _is_json(lines[1])


def _json_document(path: Path) -> JsonArrayFile | JsonDocumentFile:
    head = bytes(map_bytes(path)[:_LOOK_BYTES])
    begin = len(head) - len(head.removeprefix(b"\xef\xbb\xbf").lstrip())
    return JsonArrayFile(path, begin) if head[begin : begin + 1] == b"[" else JsonDocumentFile(path)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return True
