"""The sandbox that chat templates run in: what transformers gives a template, without importing transformers.

Same globals, filters and refusals as `transformers.utils.chat_template_utils` 5.23 (equality is tested over
every shared template). Two things differ, and neither can be seen from a template: attributes of the usual
objects are looked up without asking again whether they are safe, and the tracker of generation markers
belongs to one environment and counts characters instead of joining all text for every marker.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import Extension, LoopControlExtension
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

Spans = tuple[tuple[int, int], ...]

_OF_A_DICT = frozenset(dir(dict))
_OF_A_LOOP = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth"}
)
_PLAIN = (str, bool, int, type(None), list, dict)


class Sandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment for one template. One thread at a time."""

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Marked, LoopControlExtension])
        self.marked: list[tuple[int, int]] | None = None  # spans found by the rendering in hand
        self.written = 0  # characters the rendering in hand has put out
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _raise
        self.globals["strftime_now"] = _now
        self.globals["dict"] = _Dict()
        self.globals["namespace"] = _Namespace

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As the sandbox's own. The shortcuts hold where it would find nothing to refuse."""
        kind = type(obj)
        if kind is dict:
            if attribute not in _OF_A_DICT:
                try:
                    return obj[attribute]
                except KeyError:
                    return self.undefined(obj=obj, name=attribute)
        elif kind is LoopContext:
            if attribute in _OF_A_LOOP:
                return getattr(obj, attribute)
        elif kind is _Namespace and attribute[:1] != "_":
            value = getattr(obj, attribute, self)
            if type(value) in _PLAIN:
                return value
        return super().getattr(obj, attribute)

    def render_marked(self, template: jinja2.Template, context: dict[str, Any]) -> tuple[str, Spans]:
        """The text and the character spans that its generation markers enclose.

        A span begins where the text put out so far ends: markers inside a variable or a filter block are
        placed before it, exactly as transformers places them.
        """
        spans: list[tuple[int, int]] = []
        self.marked, self.written = spans, 0
        pieces: list[str] = []
        try:
            for piece in template.root_render_func(template.new_context(context)):
                pieces.append(piece)
                self.written += len(piece)
        finally:
            self.marked = None
        return "".join(pieces), tuple(spans)


class _Marked(Extension):
    """The `{% generation %}` block: what the assistant generates."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Any) -> str:
        text: str = caller()
        environment: Any = self.environment
        if environment.marked is not None:
            environment.marked.append((environment.written, environment.written + len(text)))
        return text


class _Dict:
    """`dict` for templates: it makes dictionaries and offers no way to the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _Namespace(Namespace):
    """A namespace that takes no name with a leading underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        Namespace.__setitem__(self, name, value)


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(
            f"Chat templates cannot store underscore-prefixed attributes on a namespace, but got {name!r}. "
            "Please rename the attribute."
        )


def _raise(message: Any) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
