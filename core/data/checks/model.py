"""What is wrong with the tokenizer and template themselves, whatever the rows."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.checks.facts import ModelFacts, Note, shown
from core.data.drafting import Drafter
from core.data.fields import sentinel
from core.data.render import RenderError, template_messages
from core.data.types import Conversation
from core.recipe import Recipe

WHOLE_SET = -1  # the row of a note that is about the set
_TAG = re.compile(r"<\|[^|<>\s]{1,40}\|>|\[/?[A-Z][A-Z_]+\]")
_PROBES = (
    "12345 67",
    "\tindented",
    "  two blanks",
    "Café naïve",
    "e\u0301",
    "🤖 ok",
    "line\n\nline",
    "don't",
    "的",
    " a  b ",
)


def model_facts(recipe: Recipe, folder: Path, drafter: Drafter) -> ModelFacts:
    """Read once: stop ids of generation, embedding rows, and the texts that are control tokens."""
    tokenizer = drafter.tokenizer
    config = _json(folder / "config.json")
    inner = config.get("text_config")
    rows = (inner if isinstance(inner, dict) else config).get("vocab_size")
    control = sorted(
        (text for text in tokenizer.special_added if text.strip()),
        key=len,
        reverse=True,
    )
    return ModelFacts(
        drafter,
        recipe.data,
        _generation_stops(folder, config, tokenizer.facts.eos_id),
        rows if isinstance(rows, int) else None,
        tuple(control),
        frozenset(tokenizer.added[text] for text in drafter.stops.texts if text in tokenizer.added),
        tokenizer.facts.bos_id if tokenizer.facts.bos_id != tokenizer.facts.eos_id else None,
    )


def model_notes(model: ModelFacts, packing: str, probe: Conversation | None) -> Iterator[Note]:
    """Notes on pad token, files, template. `probe` is one conversation that the template renders."""
    yield from _pad(model)
    yield from _files(model)
    template = model.drafter.template
    if template is not None and probe is not None:
        if not template.markers:
            yield Note("no-markers", WHOLE_SET)
        yield from _clock(model, probe)
        yield from _chat_ids(model)
        yield from _markup(model)
    if packing == "wrapped":
        yield Note("packs-see-each-other", WHOLE_SET)


def _pad(model: ModelFacts) -> Iterator[Note]:
    facts, rows = model.tokenizer.facts, model.embedding_rows
    if facts.pad_id is None:
        yield Note("no-pad", WHOLE_SET)
        return
    if facts.pad_id == facts.eos_id:
        yield Note("pad-is-eos", WHOLE_SET)
    limit = rows if rows is not None else _size_in_file(model.tokenizer.folder / "tokenizer.json")
    if limit is not None and facts.pad_id >= limit:
        pad = facts.special_texts.get("pad_token")
        yield Note("pad-outside-vocabulary", WHOLE_SET, f"{pad} (id {facts.pad_id} of {limit})")


def _size_in_file(path: Path) -> int | None:
    """One more than the largest id of tokenizer.json: a pad token that is loaded beyond it was invented."""
    from tokenizers import Tokenizer as FileTokenizer

    try:
        return max(FileTokenizer.from_file(str(path)).get_vocab().values(), default=-1) + 1
    except Exception:  # the library raises bare Exception; no file, or none that can be read
        return None


def _files(model: ModelFacts) -> Iterator[Note]:
    """AutoTokenizer against tokenizer.json of the same folder, on texts that split differently by class."""
    path = model.tokenizer.folder / "tokenizer.json"
    if not path.exists():
        return
    from tokenizers import Tokenizer as FileTokenizer

    try:
        from_file = FileTokenizer.from_file(str(path))
    except Exception as error:
        yield Note(
            "tokenizer-files-disagree",
            WHOLE_SET,
            f"everything: tokenizer.json cannot be read ({shown(str(error))})",
        )
        return
    from_file.no_truncation()
    from_file.no_padding()
    for text in _PROBES:
        if from_file.encode(text, add_special_tokens=False).ids != model.tokenizer.encode(text):
            yield Note("tokenizer-files-disagree", WHOLE_SET, f'"{shown(text)}"')
            return


def _chat_ids(model: ModelFacts) -> Iterator[Note]:
    """The ids chat will use, from the tokenizer's own call, against the rendered text encoded; on two turns."""
    renderer, hf = model.drafter.renderer, model.tokenizer.hf
    if renderer is None or model.section.template != "model":
        return
    messages = [{"role": "user", "content": "".join(_PROBES)}, {"role": "assistant", "content": "Yes."}]
    try:
        ours = model.tokenizer.encode(renderer.render(messages, None, {}))
        theirs = hf.apply_chat_template(messages, tokenize=True, return_dict=False)
    except Exception:  # a tokenizer's own code raises whatever it likes; rows tell of refusals themselves
        return
    if list(theirs) != ours:
        yield Note(
            "chat-ids-differ", WHOLE_SET, f"{len(theirs)} ids against {len(ours)} for a chat of two turns"
        )


def _markup(model: ModelFacts) -> Iterator[Note]:
    """Tags in the template's own text, as a plain chat of two turns shows it."""
    renderer = model.drafter.renderer
    if renderer is None:
        return
    asked, answered = {"role": "user", "content": sentinel(0)}, {"role": "assistant", "content": sentinel(1)}
    try:
        text = renderer.render([asked, answered], None, {})
    except RenderError:
        return
    tags = dict.fromkeys(_TAG.findall(text))
    split = [tag for tag in tags if tag not in model.tokenizer.added and len(model.tokenizer.encode(tag)) > 1]
    if split:
        yield Note("markup-in-pieces", WHOLE_SET, ", ".join(split[:4]))


def _clock(model: ModelFacts, probe: Conversation) -> Iterator[Note]:
    """Render twice, on two dates, and compare."""
    renderer, template = model.drafter.renderer, model.drafter.template
    if renderer is None or template is None or not template.reads_clock:
        return
    messages, tools = template_messages(probe), list(probe.tools) or None
    renderings = []
    for day in (datetime.datetime(2001, 2, 3), datetime.datetime(2012, 11, 10)):
        try:
            renderings.append(
                renderer.render(messages, tools, {**probe.template_kwargs, "strftime_now": day.strftime})
            )
        except RenderError:
            return
    then, later = renderings
    if then != later:
        place = next((i for i, (a, b) in enumerate(zip(then, later, strict=False)) if a != b), 0)
        yield Note("date-in-template", WHOLE_SET, f'"{shown(then[max(place - 16, 0) : place + 16])}"')


def _generation_stops(folder: Path, config: dict[str, Any], eos: int | None) -> frozenset[int]:
    """What `generate` stops on: the generation config's end tokens, else the model config's, else the tokenizer's."""
    for source in (_json(folder / "generation_config.json"), config):
        value = source.get("eos_token_id")
        ids = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int)]
        if ids:
            return frozenset(ids)
    return frozenset() if eos is None else frozenset({eos})


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
