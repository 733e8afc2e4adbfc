"""Bad input through the whole check: each a finding or one clear error; memory stays bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.check import CheckReport, check
from core.errors import TunedeckError, UsageError
from core.recipe import Recipe, with_changes

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "core" / "demo" / "model"
GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]}


def checked(path: Path, **data: Any) -> CheckReport:
    changes = {"data.source": str(path), "data.eval_fraction": 0.0} | {
        f"data.{key}": value for key, value in data.items()
    }
    return check(with_changes(Recipe(), changes), DEMO)


def codes(report: CheckReport) -> dict[str, tuple[int, ...]]:
    return {finding.code: finding.rows for finding in report.findings}


def test_an_empty_file_is_a_report_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    report = checked(tmp_path / "a.jsonl")
    assert (report.rows, report.examples, report.tokens) == (0, 0, 0)
    assert report.to_json(Recipe())["lengths"]["longest"] == 0


def test_a_binary_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(UsageError, match="a binary file"):
        checked(tmp_path / "a.jsonl")


def test_a_very_long_conversation_is_checked_and_cut(tmp_path: Path) -> None:
    turns = [{"role": ("user", "assistant")[i % 2], "content": "The cat sleeps."} for i in range(20_000)]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n" + json.dumps(GOOD) + "\n")
    report = checked(tmp_path / "a.jsonl")
    assert codes(report)["answer-cut"] == (0,) and report.examples == 2


def test_missing_values_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nHi,Yes.\nHi there,\nHm,nan\n")
    report = checked(tmp_path / "a.csv")
    assert codes(report)["empty-answer"] == (1,) and report.examples == 3
    (tmp_path / "a.jsonl").write_text('{"question": "Hi", "answer": NaN}\n' + json.dumps(GOOD) + "\n")
    assert codes(checked(tmp_path / "a.jsonl"))["missing-value"] == (0,)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('never') }}",
        "{{ messages[0].nothing.at.all }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ 'x' * 200000000 }}",
    ],
)
def test_a_template_that_fails_is_a_finding(tmp_path: Path, template: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "t.jinja").write_text(template)
    report = checked(tmp_path / "a.jsonl", template=str(tmp_path / "t.jinja"))
    assert codes(report)["template-refuses"] == (0,) and report.examples == 0


def test_a_template_that_is_no_template_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "t.jinja").write_text("{% for %}")
    with pytest.raises(TunedeckError, match="the chat template has an error in line 1"):
        checked(tmp_path / "a.jsonl", template=str(tmp_path / "t.jinja"))


def test_memory_stays_bounded_with_a_row_of_300_mb(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "')
        for _ in range(300):
            file.write(b"x" * 1024**2)
        file.write(b'"}\n' + json.dumps(GOOD).encode() + b"\n")
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom core.data.convert import to_conversation\n"
        "from core.data.rows import read_rows\nfrom core.recipe import DataSection\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"rows = read_rows({str(path)!r})\n"
        "assert len(rows) == 2 and rows[0].problem == 'the record has 300 MiB; the limit is 64 MiB'\n"
        "assert to_conversation(rows[1], DataSection()).kind == 'messages'\n"
        "rows.fingerprint\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    # The mapped file counts as resident while it is scanned, but nothing is copied.
    assert int(ran.stdout) < 400


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "messages", "tool_calls", "function", "name", "arguments", "tools", "text", "train", "weight",
         "reasoning_content", "type", "prompt", "completion"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
roles = st.sampled_from(["user", "assistant", "system", "tool", "wizard"])
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles}, optional={"content": values, "tool_calls": values, "train": values}
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(values, st.fixed_dictionaries({"messages": messages}, optional={"tools": values})),
        max_size=6,
    )
)
def test_whatever_the_rows_hold_the_check_ends_with_a_report(tmp_path: Path, rows: list) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = checked(path)
    assert report.rows == len(rows)
    untold = set(range(len(rows))) - {row for finding in report.findings for row in finding.rows}
    assert len(untold) <= report.examples, "a row that is not trained has a finding"
