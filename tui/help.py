"""`?`: what the focused widget or panel does, and every key that works there now."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.panel import Panel
from tui.widgets.text import fit

if TYPE_CHECKING:
    from tui.app import DeckApp


# What the library binds and people need, in our words.
EVERYWHERE = [
    ("tab, shift+tab", "the next part, the one before"),
    ("^p", "every action by its name"),
    ("^q", "quit, from a field too"),
]


class HelpScreen(ModalScreen[None]):
    """A page of plain text; any of esc, q and ? closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 76; max-width: 100%; height: auto; max-height: 90%;
        border: round $border; background: $surface; padding: 0 2;
    }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "dismiss", "close", show=False),
    ]

    def __init__(self, title: str, about: str, keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self.heading = title
        self.about_text = about
        self.keys = keys

    @classmethod
    def about(cls, app: DeckApp) -> HelpScreen:
        """The help of what is focused now, else of the panel in view."""
        screen = app.screen
        focused = screen.focused
        nodes = [node for node in (focused.ancestors_with_self if focused else ()) if node.HELP]
        node = nodes[0] if nodes else app.panel
        title = next((spec.title for spec in app.specs if spec.name == app.current), "tunedeck")
        if node is not None and not isinstance(node, Panel):
            title = getattr(node, "TITLE", None) or title
        about = inspect.cleandoc(getattr(node, "HELP", None) or "")
        keys: dict[str, list[str]] = {}
        for where, binding, enabled, _tooltip in screen.active_bindings.values():
            if enabled and binding.description and _is_ours(where, binding):
                keys.setdefault(binding.description, []).append(app.get_key_display(binding))
        ours = [(", ".join(dict.fromkeys(names)), what) for what, names in keys.items()]
        panels = ", ".join(spec.title for spec in app.specs)
        return cls(title, about, [*ours, *EVERYWHERE, (f"1 to {len(app.specs)}", panels)])

    def compose(self) -> ComposeResult:
        rows = "\n".join(f"{fit(key, 18)} {what}" for key, what in self.keys)
        about = f"{self.about_text}\n\n" if self.about_text else ""
        text = Content.assemble((self.heading, "bold"), "\n\n", about, rows)
        with VerticalScroll():
            yield Static(text)


def _is_ours(node: DOMNode, binding: Binding) -> bool:
    """Whether tunedeck declared a key, rather than the library for its own widgets."""
    for kind in type(node).__mro__:
        for declared in kind.__dict__.get("BINDINGS", ()):
            if isinstance(declared, Binding) and binding.key in declared.key.split(","):
                return not kind.__module__.startswith("textual.")
    return False  # the palette and the digits, which EVERYWHERE and the panels name
