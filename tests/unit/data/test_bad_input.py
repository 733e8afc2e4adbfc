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
from typer.testing import CliRunner

from core.data.check import CheckReport, check
from core.data.convert import to_conversation
from core.data.prepare import prepare
from core.data.rows import read_rows
from core.data.types import Row, RowProblem
from core.data.view import show_row
from core.errors import TunedeckError, UsageError
from core.recipe import Recipe, with_changes
from core.workshop import Workshop
from tui.commands.all import app

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


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    recipe = with_changes(Recipe(), {"data.source": str(tmp_path / "a.jsonl")})
    with pytest.raises(UsageError, match="it holds no rows"):
        check(recipe, DEMO)
    with pytest.raises(UsageError, match="it holds no rows"):
        prepare(recipe, DEMO, None)
    with pytest.raises(UsageError, match="it holds no rows"):
        show_row(recipe, DEMO, 0)


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
    ("text", "problem"),
    [
        ('[{"text": "a"}, {"text": "b"', "not JSON"),
        ('[{"text": "a"}, {"text": "b"}', "the file ends inside the array"),
        ('[{"text": "a"}, {"text": "b"},', "not JSON"),
        ('[{"text": "a"}, {"text": "b"}] [{"text": "c"}]', "more stands after the end of the array"),
        ('[{"text": "a"}, {"text": "b"}]\n', ""),
    ],
)
def test_an_array_that_is_cut_off_is_a_finding_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    rows = list(read_rows(str(path)))
    assert rows[0].raw == {"text": "a"}
    assert rows[-1].problem.startswith(problem) if problem else [row.problem for row in rows] == ["", ""]
    unread = next((item for item in checked(path).findings if item.code == "unreadable-row"), None)
    if problem:
        assert unread is not None and unread.rows == (len(rows) - 1,)
        assert f"a.json, line {rows[-1].line}: " in unread.cause
    else:
        assert unread is None


def test_texts_among_objects_are_findings(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": "Once."}, "only text", {"text": "Twice."}]))
    assert codes(checked(tmp_path / "a.json"))["unknown-format"] == (1,)
    (tmp_path / "b.jsonl").write_text('"one"\n"two"\n')
    assert checked(tmp_path / "b.jsonl", format="text").examples == 2


TURN: dict[str, Any] = {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    "raw",
    [
        {"messages": [{"role": "user", "content": 5}, TURN]},
        {"messages": [{"role": "user", "content": True}, TURN]},
        {"messages": [{"role": "user", "content": "Hi"}, {**TURN, "train": "yes"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {**TURN, "weight": "0.5"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {**TURN, "masked": "no"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {**TURN, "name": ["a"]}]},
        {"messages": [{"role": "user", "content": "Hi"}, {**TURN, "reasoning_content": {"a": 1}}]},
        {"messages": [{"role": "user", "content": "Hi"}, TURN], "chat_template_kwargs": [1]},
        {"messages": [{"role": "user", "content": "Hi"}, TURN], "system": 7},
        {"messages": {"role": "user"}},
        {"text": 7},
        {"prompt": "Hi", "completion": 7},
        {"question": ["a"], "answer": "b"},
        {"question": "a", "answer": {"b": 1}},
        {"question": "a", "answer": "b", "history": "c"},
        {"input_ids": [1, 2.5]},
        {"input_ids": [1, True]},
        {"input_ids": [1, -2]},
        {"input_ids": [1, 2], "labels": [1, -1]},
        {"input_ids": [1, 2], "completion_mask": [1, 2]},
        {"input_ids": "1 2"},
    ],
    ids=str,
)
def test_a_wrong_type_in_any_field_is_a_finding(raw: dict[str, Any]) -> None:
    found = to_conversation(Row(0, "a.jsonl", 1, raw), Recipe().data)
    assert isinstance(found, RowProblem) and found.code in ("wrong-type", "unknown-columns"), found
    assert found.cause and found.fix


@pytest.mark.parametrize("tools", [[1], ["hammer"], [None], 5])
def test_wrong_types_among_tools(tools: Any) -> None:
    found = to_conversation(Row(0, "a.jsonl", 1, {**GOOD, "tools": tools}), Recipe().data)
    assert isinstance(found, RowProblem) and found.code == "tools-unreadable"


def test_numbers_of_a_table_are_written_out() -> None:
    found = to_conversation(Row(0, "a.jsonl", 1, {"question": "2+2?", "answer": 4}), Recipe().data)
    assert not isinstance(found, RowProblem) and found.messages[1].content == "4"


def test_a_format_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(
        TunedeckError, match="messages.*prompt-completion.*pair.*text.*tokens.*preference"
    ) as told:
        with_changes(Recipe(), {"data.format": "mesages"})
    assert told.value.exit_code == 2


def test_deep_json_is_a_finding(tmp_path: Path) -> None:
    deep = '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / "a.jsonl").write_text(deep + "\n" + json.dumps(GOOD) + "\n")
    assert codes(checked(tmp_path / "a.jsonl"))["unreadable-row"] == (0,)


def test_markup_and_escape_codes_are_shown_never_obeyed(tmp_path: Path) -> None:
    """Brackets, colours, a title sequence, right-to-left override and zero width in every field that is printed."""
    nasty = "[red]x[/red] \x1b[31m\x1b]0;owned\x07 \u202eabc \u200b"
    row = {
        "messages": [{"role": "user", "content": nasty}, {"role": "assistant", "content": nasty}],
        "tools": nasty,
    }
    good = {"messages": row["messages"]}
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps(item) + "\n" for item in (row, good, {nasty: nasty}))
    )
    found = codes(checked(tmp_path / "a.jsonl"))
    assert found["control-character"] == found["invisible-character"] == (1,)
    for command in (
        ["check"],
        ["show", "--row", "1"],
        ["show", "--row", "1", "--ids"],
        ["show", "--row", "2"],
    ):
        shown = CliRunner().invoke(app, [*command, "--data", str(tmp_path / "a.jsonl")])
        assert not set(shown.stdout) & set("\x1b\x07\u202e\u200b")
        assert "red" in shown.stdout


@pytest.mark.parametrize(
    "template",
    [
        "{% set ns = namespace(x='0123456789') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x='0123456789') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% macro grow(x, n) %}{% if n %}{{ grow(x + x, n - 1) }}{% endif %}{% endmacro %}{{ grow('0123456789', 50) }}",
        "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}",
        "{{ '%9999999999s' | format('x') }}",
    ],
    ids=["plus", "tilde", "macro", "replace", "format"],
)
def test_a_template_that_grows_without_end_is_stopped(
    tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.data import render

    monkeypatch.setattr(render, "MOST_BYTES", 300 << 20)
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "t.jinja").write_text(template)
    report = checked(tmp_path / "a.jsonl", template=str(tmp_path / "t.jinja"))
    assert codes(report)["template-refuses"] == (0,)
    assert "memory" in report.findings[0].cause or "characters" in report.findings[0].cause


def test_the_limits_hold_in_the_workshop_too(tmp_path: Path) -> None:
    """The process that works for the screen renders in its main thread, where both limits hold."""
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "t.jinja").write_text("{{ '%999999999999999s' | format('x') }}")
    recipe = with_changes(Recipe(), {"data.source": "a.jsonl", "data.template": "t.jinja"})
    workshop = Workshop()
    try:
        shown = workshop.wait(
            workshop.submit("core.data.glance:row", recipe=recipe, number=0, workspace=tmp_path)
        )
        assert "ran out of memory" in shown.problem
    finally:
        workshop.close()


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
        min_size=1,
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
