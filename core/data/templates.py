"""Which chat template is used, and where it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from core.data.tokenizer import Tokenizer, load_tokenizer
from core.errors import MissingError, TunedeckError, UsageError

MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")  # the tag transformers looks for
_CLOCK = re.compile(r"\bstrftime_now\b")
_LARGEST_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template. `tool_text` is the variant used when a row has tools, where the model ships one."""

    text: str
    name: str  # in words: "the model's own", "trl-training", a path
    tool_text: str = ""

    def text_for(self, tools: bool) -> str:
        return self.tool_text if tools and self.tool_text else self.text

    @property
    def markers(self) -> bool:
        """Whether it says itself which text the assistant generates."""
        return bool(MARKER.search(self.text))

    @property
    def reads_clock(self) -> bool:
        return bool(_CLOCK.search(self.text) or _CLOCK.search(self.tool_text))


def choose_template(wanted: str, tokenizer: Tokenizer, folder: Path | None = None) -> Template | None:
    """The template `data.template` asks for; None where the model has none of its own.

    `wanted` is "model", "trl-training", the path of a Jinja file (relative to `folder`), or the folder or
    cached Hub id of another model. Raises TunedeckError in words where it cannot be had.
    """
    if wanted == "model":
        return _own(tokenizer, "the model's own")
    if wanted == "trl-training":
        return _training(tokenizer)
    path = Path(wanted).expanduser() if folder is None else folder / Path(wanted).expanduser()
    if path.is_file():
        return Template(_read(path), wanted)
    return _of_model(wanted, path)


def _own(tokenizer: Tokenizer, name: str) -> Template | None:
    template = tokenizer.facts.chat_template
    if not template:
        return None
    if isinstance(template, dict):
        if "default" not in template:
            raise TunedeckError(
                f"the model ships the templates {', '.join(template)} and none is the default",
                where="data.template",
                fix="save the one you want as a .jinja file and name it in data.template",
            )
        return Template(template["default"], name, template.get("tool_use", ""))
    return Template(template, name)


def _training(tokenizer: Tokenizer) -> Template | None:
    """TRL's training variant, chosen as SFTTrainer chooses it; the model's own where it has markers."""
    own = _own(tokenizer, "the model's own (it has generation markers)")
    if own is None or own.markers:
        return own
    from trl.chat_template_utils import get_training_chat_template

    try:
        text = get_training_chat_template(tokenizer.hf)
    except ValueError:
        raise TunedeckError(
            "TRL ships no training variant of this model's chat template",
            where="data.template",
            fix='use data.template = "model": the spans are found without markers',
        ) from None
    return own if text is None else Template(text, "trl-training")


def _of_model(wanted: str, path: Path) -> Template:
    folder = path
    if not path.is_dir():
        if wanted.endswith((".jinja", ".j2", ".txt")) or wanted.startswith((".", "/", "~")):
            raise UsageError(
                "no such template file", where=str(path), fix="see data.template in docs/recipe.md"
            )
        from core.models.sources import locate

        try:
            folder = locate(wanted).folder
        except MissingError as error:
            raise UsageError(
                f'"{wanted}" is neither a file nor a model here: {error.what}',
                where="data.template",
                fix='use "model", "trl-training", a .jinja file or a model that is here',
            ) from None
    template = _own(load_tokenizer(folder), f"that of {wanted}")
    if template is None:
        raise UsageError(f"{wanted} has no chat template", where="data.template", fix="name another")
    return template


def _read(path: Path) -> str:
    if path.stat().st_size > _LARGEST_TEMPLATE_BYTES:
        raise UsageError("the template file is over 1 MiB", where=str(path), fix="name a Jinja template")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            "the template file is not UTF-8 text", where=str(path), fix="save it as UTF-8"
        ) from None
