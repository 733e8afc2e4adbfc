"""A growing log by line number."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.runs.log_file import LONGEST_LINE_BYTES, LogFile


def test_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    log = LogFile(path)
    assert not log.grow() and log.count == 0 and log.lines(0, 5) == []
    path.write_text("one\ntwo\nthr")
    assert log.grow() and log.count == 3
    assert log.lines(1, 5) == ["two", "thr"]
    with path.open("a") as file:
        file.write("ee\nfour\n")
    assert log.grow() and not log.grow()
    assert log.lines(2, 9) == ["three", "four"] and log.count == 4


def test_a_progress_bar_shows_its_last_state(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"0%\r50%\r100%\r\nnext\r\n")
    log = LogFile(path)
    log.grow()
    assert log.lines(0, 2) == ["100%", "next"]


def test_a_file_that_shrank_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("a\nb\nc\n")
    log = LogFile(path)
    log.grow()
    path.write_text("d\n")
    log.grow()
    assert log.lines(0, 9) == ["d"]


def test_long_lines_are_cut_and_bad_bytes_shown(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"\xff\n" + b"x" * 100_000 + b"\n")
    log = LogFile(path)
    log.grow()
    assert log.lines(0, 1) == ["\ufffd"]
    assert len(log.lines(1, 1)[0]) == LONGEST_LINE_BYTES


def test_searching_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"line {number}\n" for number in range(3000)) + "Error here\n")
    log = LogFile(path)
    log.grow()
    assert log.find("error", 0) == 3000
    assert log.find("line 7", 2999, -1) == 799
    assert log.find("line 7", 8) == 70
    assert log.find("absent", 0) is None
    assert log.find("line", 5000) is None


@given(
    st.lists(st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=30))
)
def test_lines_are_those_of_the_file(tmp_path_factory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    log = LogFile(path)
    log.grow()
    assert log.lines(0, len(lines) + 1) == lines
