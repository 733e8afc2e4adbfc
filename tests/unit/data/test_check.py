"""A test per finding: a row made to have it, and one that must not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.data.check import CheckReport, check
from core.data.checks.catalogue import CATALOGUE
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


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """A copy of the demo tokenizer with other settings or files."""

    def model(
        config: dict[str, Any] | None = None, generation: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(DEMO, folder)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        for key, value in changes.items():
            settings.pop(key, None)
            if value is not None:
                settings[key] = value
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        if config:
            (folder / "config.json").write_text(json.dumps(config))
        if generation:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        return folder

    return model


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


# One row that has the finding, and the data section it shows under. GOOD is row 0 and never has it.
ROWS: list[tuple[str, Any, dict[str, Any]]] = [
    ("unreadable-row", '{"messages": [', {}),
    ("unknown-columns", {"ask": "a", "reply": "b"}, {}),
    ("wrong-type", {"messages": "text"}, {}),
    ("lone-surrogate", chat("Hi \ud83e", "Yes."), {}),
    ("preference-rows", {"prompt": "a", "chosen": "b", "rejected": "c"}, {}),
    ("no-answer", chat("Hi"), {}),
    ("no-trained-token", {"input_ids": [5, 6], "labels": [-100, -100]}, {}),
    ("loss-on-impossible", {"text": "plain"}, {"loss_on": "assistant"}),
    ("cut-before-answer", chat("The cat sleeps. " * 40, "Yes."), {"max_length": 64}),
    ("answer-cut", chat("Go on.", "The cat sleeps. " * 40), {"max_length": 64}),
    ("odd-role", {"messages": [{"role": "wizard", "content": "Hm."}, *GOOD["messages"]]}, {}),
    ("thinking-dropped", {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}]}, {}),
    ("thinking-stripped", {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No."}]}, {}),
    ("tools-ignored", chat("Hi", "Yes.", tools=[TOOL]), {}),
    ("tool-call-dropped", called({"what": "key"}, tools=[TOOL]), {}),
    ("null-argument", called({"what": None}, tools=[TOOL]), {}),
    ("arguments-as-text", called("key, please", tools=[TOOL]), {}),
    ("special-in-content", chat("Say: The cat<|im_end|>", "Yes."), {}),
    ("looks-special", chat("### Instruction:\nSay it.", "Yes."), {}),
    ("tool-result-in-loss", {"messages": [*GOOD["messages"], {"role": "tool", "content": "It sleeps."}]}, {"loss_on": "all"}),
    ("labels-shifted", {"input_ids": list(range(5, 15)), "labels": [*range(6, 15), -100]}, {}),
    ("empty-answer", chat("Say nothing.", " \n"), {}),
    ("role-order", {"messages": [{"role": "assistant", "content": "Hm."}, *GOOD["messages"]]}, {}),
    ("same-role-twice", {"messages": [{"role": "user", "content": "Hm."}, *GOOD["messages"]]}, {}),
    ("ends-on-user", chat("Hi", "Yes.", "And then?"), {}),
    ("flags-unused", {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "train": False}]}, {}),
    ("weights-rounded", {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "weight": 0.5}]}, {"loss_on": "flags"}),
    ("no-chat-markup", {"prompt": "The sky is", "completion": " blue."}, {}),
    ("joint-blank", {"prompt": "The sky is ", "completion": "blue."}, {}),
    ("duplicate-row", GOOD, {}),
    ("prompt-answered-twice", chat(" say:  the CAT sleeps.", "No."), {}),
    ("control-character", chat("The dog\0 sleeps.", "Yes."), {}),
    ("replacement-character", chat("The caf\ufffd.", "Yes."), {}),
    ("mojibake", chat("The cafÃ© isnâ€™t open.", "Yes."), {}),
    ("invisible-character", chat("The\u200b cat.", "Yes."), {}),
    ("normalised", chat("Rene\u0301 sings.", "Yes."), {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "row", "section"), ROWS, ids=[code for code, _, _ in ROWS])
def test_a_row_made_to_have_it(run: Any, code: str, row: Any, section: dict[str, Any]) -> None:
    report = run(GOOD, row, **section)
    assert rows_of(report, code) == [1]
    finding = found(report, code)
    assert (
        finding is not None
        and finding.cause
        and finding.fix
        and "{" not in finding.cause.replace("{prompt", "").replace("{role", "")
    )


def test_signs_of_one_cause_are_told_once(run: Any) -> None:
    """A row whose tool call is lost has no end token after it either; only the loss is told."""
    report = run(called({"what": "key"}, tools=[TOOL]))
    codes = {finding.code for finding in report.findings if 0 in finding.rows}
    assert codes == {"tool-call-dropped", "tools-ignored"}


def test_a_null_that_the_schema_allows_is_fine(run: Any) -> None:
    assert rows_of(run(called({"where": None}, tools=[TOOL])), "null-argument") is None


def test_a_refusal_names_the_part_that_is_refused(run: Any) -> None:
    no_system = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    assert rows_of(
        run(GOOD, chat("Hi", "Yes.", system="Be brief."), template=no_system), "system-refused"
    ) == [1]
    by_turns = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('by turns') }}{% endif %}{% endfor %}" + CHATML
    )
    twice = {"messages": [{"role": "user", "content": "Hm."}, *GOOD["messages"]]}
    assert rows_of(run(GOOD, twice, template=by_turns), "role-order-refused") == [1]
    no_tools = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + CHATML
    assert rows_of(run(GOOD, chat("Hi", "Yes.", tools=[TOOL]), template=no_tools), "tools-refused") == [1]
    never = "{% if 'cat' not in messages[0].content %}{{ raise_exception('cats only') }}{% endif %}" + CHATML
    refused = found(run(GOOD, chat("Hi", "Yes."), template=never), "template-refuses")
    assert refused is not None and refused.rows == (1,) and "cats only" in refused.cause


def test_what_a_template_drops(run: Any) -> None:
    dropping = (
        "{%- for m in messages %}{%- if m.role in ['user', 'assistant'] %}"
        "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    report = run(GOOD, chat("Hi", "Yes.", system="Be brief."), called({"what": "key"}), template=dropping)
    assert rows_of(report, "system-dropped") == [1] and rows_of(report, "tool-result-dropped") == [2]
    wizard = {"messages": [{"role": "wizard", "content": "Abracadabra."}, *GOOD["messages"]]}
    assert rows_of(run(GOOD, wizard, template=dropping), "unknown-role") == [1]
    lone = {"messages": [{"role": "wizard", "content": "Abracadabra."}]}
    empty = found(run(GOOD, lone, template=dropping), "empty-rendering")
    assert empty is not None and empty.rows == (1,) and "wizard" in empty.cause


def test_a_template_that_prints_tools_is_not_blamed(run: Any) -> None:
    printing = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML
    assert rows_of(run(chat("Hi", "Yes.", tools=[TOOL]), template=printing), "tools-ignored") is None


def test_turn_ends(run: Any, model: Any) -> None:
    no_end = CHATML.replace("<|im_end|>\\n", "\\n")
    assert rows_of(run(GOOD, template=no_end), "no-stop") == [0]
    marked = (
        "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{%- if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{{ '<|im_end|>\\n' }}{%- else %}"
        "{{ m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    report = run(GOOD, template=marked)
    assert rows_of(report, "stop-outside-loss") == [0] and rows_of(report, "no-markers") is None
    whole = marked.replace(
        "{% generation %}{{ m.content }}{% endgeneration %}{{ '<|im_end|>\\n' }}",
        "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}",
    )
    assert run(GOOD, template=whole).findings == ()
    other = run(GOOD, model=model(generation={"eos_token_id": [0]}))
    assert rows_of(other, "wrong-stop") == [0]


def test_markers_that_disagree_with_the_spans(run: Any) -> None:
    half = (
        "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{%- if m.role == 'assistant' %}"
        "{{ m.content[:8] }}{% generation %}{{ m.content[8:] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{%- else %}"
        "{{ m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    wide = (
        "{%- for m in messages %}{% generation %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}"
        "{% endgeneration %}{{ '\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    assert rows_of(run(GOOD, template=wide), "markers-take-prompt") == [0]
    assert [finding.code for finding in run(GOOD, template=half).findings] == ["markers-miss-answer"]


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


def test_end_tokens_and_markup_in_plain_text(run: Any, model: Any) -> None:
    report = run({"text": "Once."}, {"text": "Once more.<|im_end|>\n"})
    assert rows_of(report, "double-eos") == [1]
    assert rows_of(run({"text": "Once."}, model=model(eos_token=None)), "missing-eos") == [0]


def test_the_model_itself(run: Any, model: Any, tmp_path: Path) -> None:
    assert found(run(GOOD, model=model(pad_token="<|im_end|>")), "pad-is-eos") is not None
    shutil.rmtree(tmp_path / "model")
    assert found(run(GOOD, model=model(pad_token=None)), "no-pad") is not None
    shutil.rmtree(tmp_path / "model")
    small = run(GOOD, model=model(config={"model_type": "llama", "vocab_size": 3}))
    assert rows_of(small, "id-outside-embeddings") == [0]
    assert found(small, "pad-outside-vocabulary") is None
    shutil.rmtree(tmp_path / "model")
    folder = model()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    pad = next(token for token in tokenizer["added_tokens"] if token["content"] == "<|pad|>")
    none = run(GOOD, model=_with_config(folder, {"model_type": "llama", "vocab_size": pad["id"]}))
    assert found(none, "pad-outside-vocabulary") is not None
    assert {"pad-is-eos", "no-pad", "tokenizer-files-disagree"}.isdisjoint(f.code for f in none.findings)


def _with_config(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_templates_that_add_or_change_text(run: Any) -> None:
    dated = "{{ '<|im_start|>system\\nToday is ' + strftime_now('%d %B %Y') + ', and you are most helpful.<|im_end|>\\n' }}"
    report = run(GOOD, template=dated + CHATML)
    assert found(report, "date-in-template") is not None and rows_of(report, "default-system") == [0]
    unused = "{% set today = strftime_now('%d') %}" + CHATML
    assert found(run(GOOD, template=unused), "date-in-template") is None


def test_the_set_as_a_whole(run: Any, tmp_path: Path) -> None:
    rows = [chat(f"Say: {n} cats sleep.", f"Sleep, {n} cats do.") for n in range(30)]
    report = run(*rows, chat("Say it.", "The cat sleeps. " * 60), {"instruction": "Hi", "output": "Yes."})
    assert rows_of(report, "length-outlier") == [30]
    assert rows_of(report, "mixed-formats") == [31]
    (tmp_path / "eval.jsonl").write_text(json.dumps(chat("say: 3 cats  sleep.", "No.")) + "\n")
    leak = run(*rows, eval_source=str(tmp_path / "eval.jsonl"))
    assert rows_of(leak, "eval-leak") == [3]
    assert found(run(GOOD, packing="wrapped", loss_on="all"), "packs-see-each-other") is not None


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
    report = check(with_changes(Recipe(), changes), DEMO)
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
    assert report.to_json()["findings"][0]["severity"] == "error"


def test_every_diagnosis_is_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [code for code in CATALOGUE if f"`{code}`" not in page] == []
