"""The report over a set: what is told, what is folded, and figures that agree with preparation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.check import CheckReport, check
from core.data.types import Finding
from core.recipe import Recipe, with_changes

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"
GOOD = {"messages": [{"role": "user", "content": "Say: The cat sleeps."}, {"role": "assistant", "content": "Sleeps, the cat does."}]}  # fmt: skip
CHATML = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {"what": {"type": "string"}, "where": {"type": ["string", "null"]}}}}}  # fmt: skip


def chat(*contents: str, system: str = "", **more: Any) -> dict[str, Any]:
    """User and assistant by turns."""
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns, **more}


def called(arguments: Any, **more: Any) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": "Where is the key?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "under the stone"},
            {"role": "assistant", "content": "Under the stone, the key is."},
        ],
        **more,
    }


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Checks rows and gives the report."""

    def run(
        *rows: Any,
        model: Path = DEMO,
        template: str = "",
        training: dict[str, Any] | None = None,
        **section: Any,
    ) -> CheckReport:
        source = tmp_path / "rows.jsonl"
        source.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        changes: dict[str, Any] = {"data.source": str(source), "data.eval_fraction": 0.0}
        if template:
            (tmp_path / "template.jinja").write_text(template)
            changes["data.template"] = str(tmp_path / "template.jinja")
        changes |= {f"data.{key}": value for key, value in section.items()}
        return check(with_changes(Recipe(), changes), model)

    return run


def found(report: CheckReport, code: str) -> Finding | None:
    return next((finding for finding in report.findings if finding.code == code), None)


def rows_of(report: CheckReport, code: str) -> list[int] | None:
    finding = found(report, code)
    return None if finding is None else list(finding.rows)


def test_a_clean_set_has_no_finding_but_the_missing_markers(run: Any) -> None:
    report = run(GOOD, chat("Say: The dog runs.", "Runs, the dog does."))
    assert [finding.code for finding in report.findings] == ["no-markers"]
    assert (report.rows, report.examples, report.worst()) == (2, 2, "note")
    assert report.tokens == int(report.lengths.tokens.sum()) and report.trained_tokens < report.tokens


def test_signs_of_one_cause_are_told_once(run: Any) -> None:
    """A row whose tool call is lost has no end token after it either; only the loss is told."""
    report = run(called({"what": "key"}, tools=[TOOL]))
    codes = {finding.code for finding in report.findings if 0 in finding.rows}
    assert codes == {"tool-call-dropped", "tools-ignored"}


def test_a_template_that_prints_tools_is_not_blamed(run: Any) -> None:
    printing = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML
    assert rows_of(run(chat("Hi", "Yes.", tools=[TOOL]), template=printing), "tools-ignored") is None


def test_prompts_that_are_no_prefix(run: Any) -> None:
    """A template that prints the system text only when the last message is the user's."""
    shifting = (
        "{%- for m in messages %}{%- if m.role != 'system' or messages[-1].role == 'user' %}"
        "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    report = run(GOOD, chat("Hi", "Yes.", system="Be brief."), template=shifting)
    assert rows_of(report, "system-dropped") == [1]
    counting = "{{ messages | length | string + '\\n' }}" + CHATML
    mismatch = found(run(GOOD, template=counting), "prompt-mismatch")
    assert (
        mismatch is not None and mismatch.rows == (0,) and '"2' in mismatch.cause and '"1' in mismatch.cause
    )


def test_figures_agree_with_preparation(tmp_path: Path, run: Any) -> None:
    from core.data.prepare import prepare

    rows = [chat(f"Say: {n} cats sleep.", f"Sleep, {n} cats do.") for n in range(40)]
    rows.append(chat("The cat sleeps. " * 40, "Yes."))
    report = run(*rows, eval_fraction=0.2, max_length=64)
    recipe = with_changes(
        Recipe(),
        {"data.source": str(tmp_path / "rows.jsonl"), "data.eval_fraction": 0.2, "data.max_length": 64},
    )
    prepared = prepare(recipe, DEMO, tmp_path / "out")
    assert (report.rows, report.examples, report.tokens, report.trained_tokens) == (
        prepared.rows, prepared.examples, prepared.tokens, prepared.trained_tokens,
    )  # fmt: skip


def test_the_troubled_demo_set_has_its_troubles() -> None:
    changes = {
        "data.source": "demo/troubled.jsonl",
        "data.max_length": 256,
        "data.eval_source": "demo/yoda_held_out.jsonl",
    }
    recipe = with_changes(Recipe(), changes)
    report = check(recipe, DEMO)
    codes = {finding.code for finding in report.findings}
    assert codes >= {
        "unreadable-row", "unknown-format", "no-messages", "wrong-type", "no-answer", "empty-answer", "answer-cut",
        "cut-before-answer", "system-refused", "role-order", "same-role-twice", "odd-role", "special-in-content",
        "looks-special", "mojibake", "replacement-character", "lone-surrogate", "control-character", "normalised",
        "invisible-character", "tools-ignored", "tool-call-dropped", "null-argument", "thinking-dropped", "flags-unused",
        "duplicate-row", "prompt-answered-twice", "eval-leak", "mixed-formats", "unknown-columns",
    }  # fmt: skip
    assert all(row >= 6 for finding in report.findings for row in finding.rows), (
        "the first six rows are clean"
    )
    assert report.to_json(recipe)["findings"][0]["severity"] == "error"
