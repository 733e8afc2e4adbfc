"""Every diagnosis fires on rows made to have it, and not on rows that must not have it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.data.check import CheckReport, check
from core.data.checks.catalogue import CATALOGUE
from core.recipe import Recipe, with_changes

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "core" / "demo" / "model"
GOOD = {"messages": [{"role": "user", "content": "Say: The cat sleeps."}, {"role": "assistant", "content": "Sleeps, the cat does."}]}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {"what": {"type": "string"}, "where": {"type": ["string", "null"]}}}}}  # fmt: skip

# Chat templates: one sound, and others that spoil it in one way each.
TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
ASK = "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
CHATML = "{%- for m in messages %}" + TURN + "{%- endfor %}" + ASK


def marked(answer: str) -> str:
    """A template with generation markers somewhere around the answer."""
    head = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{%- if m.role == 'assistant' %}"
    return head + answer + "{%- else %}{{ m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}" + ASK


MARKED = marked("{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}")
TAGGED = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{% generation %}{{ '<|im_start|>assistant\\n' + m.content + '<|im_end|>' }}"
    "{% endgeneration %}{{ '\\n' }}{%- else %}" + TURN + "{%- endif %}{%- endfor %}" + ASK
)  # fmt: skip
REFUSING = "{% if CONDITION %}{{ raise_exception('REASON') }}{% endif %}" + CHATML
NO_SYSTEM = REFUSING.replace("CONDITION", "messages[0].role == 'system'").replace("REASON", "no system")
NO_TOOLS = REFUSING.replace("CONDITION", "tools").replace("REASON", "no tools")
CATS_ONLY = REFUSING.replace("CONDITION", "'cat' not in messages[0].content").replace("REASON", "cats only")
BY_TURNS = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('by turns') }}{% endif %}{% endfor %}" + CHATML
)
TWO_ROLES = "{%- for m in messages %}{%- if m.role in ['user', 'assistant'] %}" + TURN + "{%- endif %}{%- endfor %}" + ASK  # fmt: skip
LAST_TWO = "{%- for m in messages[-2:] %}" + TURN + "{%- endfor %}" + ASK
SHOUTED = "{{ messages | length }}" + CHATML.replace("m.content", "m.content | upper")
NO_END = CHATML.replace("<|im_end|>\\n", "\\n")
COUNTING = "{{ messages | length | string + '\\n' }}" + CHATML
PREFILLED = CHATML.replace("assistant\\n' }}", "assistant\\nN' }}").replace(
    TURN, TURN.replace("m.role + '\\n'", "m.role + '\\n' + ('N' if m.role == 'assistant' else '')")
)
DATED = "{{ '<|im_start|>system\\nToday is ' + strftime_now('%d %B %Y') + ', be most helpful.<|im_end|>\\n' }}" + CHATML  # fmt: skip
UNDATED = "{% set today = strftime_now('%d') %}" + CHATML


def chat(*contents: str, system: str = "", **more: Any) -> dict[str, Any]:
    """User and assistant by turns."""
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns, **more}


def turns(*pairs: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """Turns as role and content, or as role and a whole message."""
    said = [{"role": role, **(what if isinstance(what, dict) else {"content": what})} for role, what in pairs]
    return {"messages": said, **more}


def called(arguments: Any, **more: Any) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    return turns(
        ("user", "Where is the key?"),
        ("assistant", {"content": "", "tool_calls": [call]}),
        ("tool", {"tool_call_id": "1", "content": "under the stone"}),
        ("assistant", "Under the stone, the key is."),
        **more,
    )


def split(prompt: dict[str, Any], answer: str) -> dict[str, Any]:
    """A row of prompt and completion as messages."""
    return {"prompt": prompt["messages"], "completion": [{"role": "assistant", "content": answer}]}


# A tokenizer with code of its own, as remote code is: its chat call puts an id before the text's.
OWN = """
from transformers import PreTrainedTokenizerFast

class OwnTokenizer(PreTrainedTokenizerFast):
    def apply_chat_template(self, *conversation, **options):
        return [5] + super().apply_chat_template(*conversation, **options)
"""

LONG = (
    "Please tell me in a few words how the old miller crossed the wide river with a fox, a goose and a sack of "
    "corn, when his boat could carry no more than himself and one of them, and nothing was eaten on the way."
)
MANY = [chat(f"Say: {n} cats sleep.", f"Sleep, {n} cats do.") for n in range(30)]


@dataclass(frozen=True)
class Case:
    """`bad` rows have the finding and `good` rows do not, in one run; `at` where not all of `bad` are named.

    Findings of the whole set (`at` is empty) have a run of their own without the cause: `without` changes
    template, model or section.
    """

    code: str
    bad: tuple[Any, ...]
    good: tuple[Any, ...] = (GOOD,)
    at: tuple[int, ...] | None = None
    section: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    without: dict[str, Any] | None = None


def row(code: str, *bad: Any, good: tuple[Any, ...] = (GOOD,), at: tuple[int, ...] | None = None, template: str = "", model: dict[str, Any] | None = None, without: dict[str, Any] | None = None, **section: Any) -> Case:  # fmt: skip
    return Case(code, bad, good, at, section, template, model or {}, without)


def whole(code: str, without: dict[str, Any], **more: Any) -> Case:
    return row(code, GOOD, good=(), at=(), without=without, **more)


CASES = [
    # Rows that cannot be read as a conversation.
    row("unreadable-row", '{"messages": ['),
    row("unknown-format", 7, "null", [1, 2], '"only text"'),
    row("unknown-columns", {"ask": "a", "reply": "b"}),
    row("unknown-message-keys", {"messages": [{"who": "me", "says": "Hi"}]}),
    row("missing-content", turns(("user", {}), ("assistant", "Yes.")), turns(("user", "Hi"), ("assistant", {}))),
    row("no-messages", {"messages": []}),
    row("too-many-turns", {"messages": [{"role": "user", "content": "a"}] * 50_001}),
    row("wrong-type", {"messages": "text"}, {"messages": {"role": "user"}}),
    row("wrong-length", {"input_ids": [5, 6], "labels": [5]}, good=({"input_ids": [5, 6], "labels": [5, 6]},)),
    row("missing-value", '{"question": "Hi", "answer": NaN}', good=({"question": "Hi", "answer": 7},)),
    row("lone-surrogate", chat("Hi \ud83e", "Yes.")),
    row("not-text", turns(("user", [{"type": "image", "url": "a.png"}]), ("assistant", "Yes.")), good=(turns(("user", [{"type": "text", "text": "Hi"}]), ("assistant", "Yes.")),)),
    row("tools-unreadable", {**GOOD, "tools": "hammer"}),
    row("tool-call-unreadable", turns(("user", "Hi"), ("assistant", {"content": "", "tool_calls": ["find"]}))),
    row("prompt-only", {"prompt": [{"role": "user", "content": "Hi"}]}, {"question": "c"}, {"instruction": "Sing.", "song": "la"}),
    row("message-tree", {"message_tree_id": "1", "prompt": {"text": "Hi", "replies": []}}),
    # Rows that are not trained.
    row("template-refuses", chat("Hi", "Yes."), template=CATS_ONLY),
    row("system-refused", chat("Hi", "Yes.", system="Be brief."), template=NO_SYSTEM),
    row("role-order-refused", turns(("user", "Hm."), ("user", "Hi"), ("assistant", "Yes.")), template=BY_TURNS),
    row("tools-refused", chat("Hi", "Yes.", tools=[TOOL]), template=NO_TOOLS),
    row("no-template", GOOD, good=({"text": "Once."},), model={"template": False}),
    row("not-aligned", chat("Say it.", "Yes.", "Again.", "No."), good=({"text": "Once."},), template=SHOUTED, without={"template": CHATML}),
    row("no-trained-token", {"input_ids": [5, 6], "labels": [-100, -100]}),
    row("no-answer", chat("Hi")),
    row("cut-before-answer", chat("The cat sleeps. " * 40, "Yes."), max_length=64),
    row("empty-rendering", turns(("wizard", "Hm.")), template=TWO_ROLES),
    row("loss-on-impossible", {"text": "plain"}, loss_on="assistant"),
    row("preference-rows", {"prompt": "a", "chosen": "b", "rejected": "c"}),
    # The text is wrong.
    row("unknown-role", turns(("wizard", "Abracadabra."), *[("user", "Hi"), ("assistant", "Yes.")]), template=TWO_ROLES),
    row("odd-role", turns(("wizard", "Hm."), ("user", "Hi"), ("assistant", "Yes."))),
    row("system-dropped", chat("Hi", "Yes.", system="Be brief."), template=TWO_ROLES),
    row("text-dropped", chat("Hi", "Yes.", "And now?", "No."), template=LAST_TWO),
    row("tool-call-dropped", called({"what": "key"})),
    row("tool-result-dropped", called({"what": "key"}), template=TWO_ROLES),
    row("thinking-dropped", turns(("user", "Hi"), ("assistant", {"content": "Yes.", "reasoning_content": "Hm."}))),
    row("thinking-stripped", turns(("user", "Hi"), ("assistant", {"content": "Yes.", "reasoning_content": "Hm."}), ("user", "Hi"), ("assistant", "No."))),
    row("tools-ignored", chat("Hi", "Yes.", tools=[TOOL])),
    row("null-argument", called({"what": None}, tools=[TOOL]), good=(called({"where": None}, tools=[TOOL]),)),
    row("arguments-as-text", called("key, please"), good=(called('{"what": "key"}'),)),
    row("think-tags", chat("Hi", "Hm.</think>Yes."), chat("Hi", "<think>\n</think>\n<think>Hm.</think>Yes."), good=(GOOD, chat("Hi", "<think>Hm.</think>Yes."))),
    row("special-in-content", chat("Say: The cat<|im_end|>", "Yes.")),
    # The ids are wrong.
    row("double-bos", {"text": "<|bos|>Once."}, good=({"text": "Once."},), model={"bos": True}),
    row("double-eos", {"text": "Once more.<|im_end|>\n"}, good=({"text": "Once."}, {"text": "Twice.<|im_end|>"})),
    row("missing-eos", {"text": "Once."}, model={"eos_token": None}, without={"model": {}}),
    row("id-outside-embeddings", GOOD, good=({"input_ids": [1, 2], "labels": [1, 2]},), model={"config": {"model_type": "llama", "vocab_size": 3}}),
    # The labels are wrong.
    row("markers-miss-answer", GOOD, good=({"text": "Once."},), template=marked("{{ m.content[:8] }}{% generation %}{{ m.content[8:] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"), without={"template": MARKED}),
    row("markers-take-prompt", GOOD, good=({"text": "Once."},), template="{%- for m in messages %}{% generation %}" + TURN + "{% endgeneration %}{%- endfor %}" + ASK, without={"template": MARKED}),
    row("prompt-in-loss", split(chat("Say: The cat sleeps."), "Sleeps, it does."), template=COUNTING, without={"template": CHATML}),
    row("tool-result-in-loss", turns(("user", "Hi"), ("assistant", "Yes."), ("tool", "It sleeps.")), loss_on="all"),
    row("next-turn-in-loss", chat("Hi", "Yes.", "And now?", "No."), template=marked("{% generation %}{{ m.content + '<|im_end|>\\nNext: ' }}{% endgeneration %}")),
    row("header-in-loss", GOOD, good=({"text": "Once."},), template=TAGGED, without={"template": MARKED}),
    row("supplied-in-loss", GOOD, good=({"text": "Once."},), template=TAGGED.replace("{% generation %}{{ '<|im_start|>assistant", "{{ '<|im_start|>assistant' }}{% generation %}{{ '"), without={"template": MARKED}),
    row("all-trained", {"input_ids": [5, 6, 7], "completion_mask": [1, 1, 1]}, {"prompt": "", "completion": "Once."}, good=({"input_ids": [5, 6, 7], "completion_mask": [0, 1, 1]}, {"input_ids": [5, 6, 7], "labels": [5, 6, 7]}, {"text": "Once."}, {"prompt": "Once", "completion": " more."})),
    row("stop-outside-loss", GOOD, good=({"text": "Once."},), template=marked("{% generation %}{{ m.content }}{% endgeneration %}{{ '<|im_end|>\\n' }}"), without={"template": MARKED}),
    row("no-stop", GOOD, good=({"text": "Once."},), template=NO_END, without={"template": CHATML}),
    row("wrong-stop", GOOD, good=({"text": "Once."},), model={"generation": {"eos_token_id": [0]}}, without={"model": {}}),
    row("prompt-mismatch", GOOD, good=({"text": "Once."},), template=COUNTING, without={"template": CHATML}),
    row("boundary-merge", chat("Yes or no?", "o."), good=(chat("Yes or no?", "2"),), template=PREFILLED),
    row("answer-cut", chat("Go on.", "The cat sleeps. " * 40), max_length=64),
    row("labels-shifted", {"input_ids": list(range(5, 15)), "labels": [*range(6, 15), -100]}, good=({"input_ids": list(range(5, 15)), "labels": [-100, *range(6, 15)]},)),
    # True whatever else is.
    row("empty-answer", chat("Say nothing.", " \n")),
    row("empty-question", chat("", "Yes."), chat(" \n", "Yes.")),
    row("role-order", turns(("assistant", "Hm."), ("user", "Hi"), ("assistant", "Yes."))),
    row("same-role-twice", turns(("user", "Hm."), ("user", "Hi"), ("assistant", "Yes."))),
    row("ends-on-user", chat("Hi", "Yes.", "And then?")),
    row("flags-unused", turns(("user", "Hi"), ("assistant", {"content": "Yes.", "train": False})), good=(GOOD, turns(("user", "Hi"), ("assistant", {"content": "Yes.", "train": True})))),
    row("weights-rounded", *(turns(("user", "Hi"), ("assistant", {"content": "Yes.", "weight": weight})) for weight in (0.5, 2, -1)), good=(GOOD, turns(("user", "Hi"), ("assistant", {"content": "Yes.", "weight": 1}))), loss_on="flags"),
    row("no-chat-markup", {"prompt": "The sky is", "completion": " blue."}),
    row("joint-blank", {"prompt": "The sky is ", "completion": "blue."}, good=({"prompt": "The sky is", "completion": " blue."},)),
    row("looks-special", chat("### Instruction:\nSay it.", "Yes.")),
    row("duplicate-row", GOOD, GOOD, good=(chat("Hi", "Yes."),), at=(1,)),
    row("prompt-answered-twice", GOOD, chat(" say:  the CAT sleeps.", "No."), good=(chat("Hi", "Yes."),), at=(1,)),
    row("near-prompt", chat(LONG, "Yes."), chat(LONG.replace("river", "brook"), "No."), good=(chat(LONG.replace("old", "new"), "Yes."), chat("Hi", "Yes.")), at=(1,)),
    row("eval-leak", *MANY[:5], good=(), at=(3,), eval_source=[chat("say: 3 cats  sleep.", "No.")]),
    row("length-outlier", *MANY, chat("Say it.", "The cat sleeps. " * 60), at=(30,)),
    row("looks-missing", {"question": "Hi", "answer": "nan"}, chat("Hi", " NULL\n"), good=({"question": "Hi", "answer": "None of them."},)),
    row("mojibake", chat("The cafÃ© isnâ€™t open.", "Yes."), good=(chat("The café isn’t open.", "Yes."),)),
    row("replacement-character", chat("The caf\ufffd.", "Yes.")),
    row("control-character", chat("The dog\0 sleeps.", "Yes."), chat("A \x1b[31mred dog.", "Yes."), good=(chat("The dog\tsleeps.\r\n", "Yes."),)),
    row("invisible-character", chat("The\u200b cat.", "Yes."), chat("The \u202etac.", "Yes."), good=(chat("The cat. \u0627\u0644\u0642\u0637", "Yes."),)),
    row("normalised", chat("Rene\u0301 sings.", "Yes."), good=(chat("Ren\u00e9 sings.", "Yes."),)),
    row("mixed-formats", *MANY, {"instruction": "Hi", "output": "Yes."}, at=(30,)),
    # The set or the model as a whole.
    whole("pad-is-eos", {"model": {}}, model={"pad_token": "<|im_end|>"}),
    whole("no-pad", {"model": {}}, model={"pad_token": None}),
    whole("pad-outside-vocabulary", {"model": {"config": {}}}, model={"pad_token": "<|nope|>", "config": {}}),
    whole("no-markers", {"template": MARKED}, template=CHATML),
    row("default-system", GOOD, good=({"text": "Once."},), template=DATED, without={"template": CHATML}),
    whole("date-in-template", {"template": UNDATED}, template=DATED),
    whole("chat-ids-differ", {"model": {"code": OWN.replace("[5] + ", "")}}, model={"code": OWN}),
    whole("markup-in-pieces", {"template": CHATML}, template=CHATML.replace("im_start", "turn_start")),
    whole("tokenizer-files-disagree", {"model": {}}, model={"lower": True}),
    whole("packs-see-each-other", {"section": {"packing": "bfd"}}, packing="wrapped"),
]  # fmt: skip


def checked(folder: Path, rows: tuple[Any, ...], section: dict[str, Any], template: str, model: dict[str, Any]) -> CheckReport:  # fmt: skip
    """The report over these rows, all files below `folder`."""
    folder.mkdir(parents=True)
    section = dict(section)
    changes: dict[str, Any] = {
        "data.source": _written(folder / "rows.jsonl", rows),
        "data.eval_fraction": 0.0,
    }
    if "eval_source" in section:
        section["eval_source"] = _written(folder / "eval.jsonl", section["eval_source"])
    if template:
        (folder / "template.jinja").write_text(template)
        changes["data.template"] = str(folder / "template.jinja")
    changes |= {f"data.{key}": value for key, value in section.items()}
    changes["model.trust_remote_code"] = "code" in model
    return check(with_changes(Recipe(), changes), _model(folder / "model", **model) if model else DEMO)


def _written(path: Path, rows: Any) -> str:
    path.write_text("".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in rows))
    return str(path)


def _model(
    folder: Path,
    config: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    template: bool = True,
    bos: bool = False,
    lower: bool = False,
    code: str = "",
    **settings: Any,
) -> Path:
    """A copy of the demo tokenizer with other settings or files; an empty `config` takes the file away."""
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    known = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    if not template:
        (folder / "chat_template.jinja").unlink()
        known.pop("chat_template", None)
    if bos:
        _prepend_bos(tokenizer, known)
    if lower:
        tokenizer["normalizer"] = {"type": "Lowercase"}
        known["tokenizer_class"] = "GPT2Tokenizer"
    if code:
        (folder / "own.py").write_text(code)
        settings |= {
            "tokenizer_class": "OwnTokenizer",
            "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]},
        }
    for key, value in settings.items():
        known.pop(key, None)
        if value is not None:
            known[key] = value
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(known))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config)) if config else (
            folder / "config.json"
        ).unlink()
    if generation:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def _prepend_bos(tokenizer: dict[str, Any], known: dict[str, Any]) -> None:
    """A new token that the tokenizer puts before every plain text."""
    number = max(token["id"] for token in tokenizer["added_tokens"]) + 1
    number = max(number, max(tokenizer["model"]["vocab"].values()) + 1)
    added = dict(tokenizer["added_tokens"][0], id=number, content="<|bos|>", special=True)
    tokenizer["added_tokens"].append(added)
    first: dict[str, Any] = {"SpecialToken": {"id": "<|bos|>", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [number], "tokens": ["<|bos|>"]}},
    }
    known["bos_token"] = "<|bos|>"


def rows_of(report: CheckReport, code: str) -> tuple[int, ...] | None:
    """Rows that are named under a code, of all its causes; None where it was not found."""
    found = [finding.rows for finding in report.findings if finding.code == code]
    return tuple(sorted(row for rows in found for row in rows)) if found else None


@pytest.mark.parametrize("case", CASES, ids=[case.code for case in CASES])
def test_it_fires_on_what_has_it_and_on_nothing_else(tmp_path: Path, case: Case) -> None:
    report = checked(tmp_path / "with", (*case.bad, *case.good), case.section, case.template, case.model)
    expected = tuple(range(len(case.bad))) if case.at is None else case.at
    assert rows_of(report, case.code) == expected, [(f.code, f.rows) for f in report.findings]
    found = next(finding for finding in report.findings if finding.code == case.code)
    assert (
        found.cause
        and found.fix
        and "{detail}" not in found.cause + found.fix
        and "{amount}" not in found.cause
    )
    if case.without is not None:
        plain = {"section": case.section, "template": case.template, "model": case.model} | case.without
        clean = checked(tmp_path / "without", case.bad, **plain)
        assert rows_of(clean, case.code) is None
    else:
        assert case.good or case.at, "a finding of the whole set needs a run without it"


def test_every_diagnosis_has_a_case() -> None:
    texts = [path.read_text() for path in (ROOT / "core" / "data").rglob("*.py")]
    raised = {code for text in texts for code in re.findall(r"\bUnreadable\(\s*\"([a-z-]+)\"", text)}
    raised |= {code for text in texts for code in re.findall(r"RowProblem\(\s*[\w.]+,\s*\"([a-z-]+)\"", text)}
    assert len(raised) > 10
    cases = [case.code for case in CASES]
    assert sorted(cases) == sorted(set(cases))
    assert set(CATALOGUE) | raised == set(cases)


def test_every_diagnosis_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [case.code for case in CASES if f"`{case.code}`" not in page] == []


def test_the_documentation_prints_the_catalogue() -> None:
    """docs/data.md holds one table per group of the catalogue, row for row."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    source = (ROOT / "core" / "data" / "checks" / "catalogue.py").read_text(encoding="utf-8")
    for title, block in re.findall(r"    # ([A-Z][^\n]*)\.\n((?:    \"[^\n]*\n)+)", source):
        assert page.count(f"\n{title}:\n") == 1, title
        table = page.partition(f"\n{title}:\n")[2].lstrip().partition("\n\n")[0].splitlines()[2:]
        assert table == [_line(code) for code in re.findall(r"^    \"([a-z-]+)\"", block, re.MULTILINE)]


def _line(code: str) -> str:
    known = CATALOGUE[code]
    said = f"| `{code}` | {known.severity} | {known.cause} | {known.fix} |"
    return said.replace("{detail}", "…").replace("{amount}", "N")


def test_a_weight_is_told_as_what_it_counts_for(tmp_path: Path) -> None:
    """Between 0 and 1, or above: trained in full. Below 0: masked, as 0 is."""
    for number, (weight, told, trained) in enumerate(
        [(0.5, "0.5 counts as 1", True), (2, "2 counts as 1", True), (-1, "-1 counts as 0", False)]
    ):
        answers = ("assistant", {"content": "Yes.", "weight": weight}), ("user", "And?"), ("assistant", "No.")
        report = checked(
            tmp_path / str(number), (turns(("user", "Hi"), *answers),), {"loss_on": "flags"}, "", {}
        )
        cause = next(finding.cause for finding in report.findings if finding.code == "weights-rounded")
        assert cause.endswith(told)
        full = checked(tmp_path / f"{number} full", (chat("Hi", "Yes.", "And?", "No."),), {}, "", {})
        assert (report.trained_tokens == full.trained_tokens) is trained
