"""Events: appended whole, read from any offset, torn or foreign lines survive."""

from __future__ import annotations

from pathlib import Path

from core.runs.events import FILE_NAME, append_event, read_events


def test_events_are_read_from_where_the_last_read_ended(tmp_path: Path) -> None:
    append_event(tmp_path, "status", state="starting")
    first, offset = read_events(tmp_path)
    append_event(tmp_path, "step", step=1, loss=2.5)
    second, end = read_events(tmp_path, offset)
    assert [event["kind"] for event in first] == ["status"]
    assert (second[0]["step"], second[0]["loss"]) == (1, 2.5)
    assert end == (tmp_path / FILE_NAME).stat().st_size


def test_a_torn_last_line_is_left_for_the_next_read(tmp_path: Path) -> None:
    append_event(tmp_path, "step", step=1)
    file = tmp_path / FILE_NAME
    whole = file.stat().st_size
    with file.open("a") as stream:
        stream.write('{"kind": "step", "st')
    events, offset = read_events(tmp_path)
    assert (len(events), offset) == (1, whole)
    with file.open("a") as stream:
        stream.write('ep": 2}\n')
    assert read_events(tmp_path, offset)[0] == [{"kind": "step", "step": 2}]


def test_a_broken_line_does_not_hide_the_rest(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"kind": "step", "step": 1}\n\x00\x00\n[1]\n{"kind": "end"}\n')
    assert [event["kind"] for event in read_events(tmp_path)[0]] == ["step", "end"]


def test_no_file_yet_is_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path) == ([], 0)
