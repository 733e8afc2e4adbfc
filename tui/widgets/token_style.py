"""How a token looks: trained or not, special, cut off, padding, and whose words it belongs to."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.widget import Widget

from core.data.types import IGNORED, Token
from tui.widgets.layers import layered

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system", "tool": "tool"}


class TokenStyled(Widget):
    """Trained tokens are bold and underlined on a coloured ground, masked ones plain: readable without colour."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "trained", "masked", "special", "pad", "cut", "cursor", "ids", "muted", "user", "assistant", "system", "tool",
    }  # fmt: skip
    DEFAULT_CSS = """
    TokenStyled .trained { background: $success-muted; color: $text-success; text-style: bold underline; }
    TokenStyled .masked { color: $foreground 75%; }
    TokenStyled .special { color: $text-accent; }
    TokenStyled .pad { color: $foreground 40%; text-style: dim; }
    TokenStyled .cut { color: $foreground 50%; text-style: strike; }
    TokenStyled .cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
    TokenStyled:nocolor .cursor { color: $foreground; background: $surface; text-style: reverse; }
    TokenStyled .ids { color: $foreground 60%; }
    TokenStyled .muted { color: $foreground 60%; text-style: italic; }
    TokenStyled .user { color: $primary; }
    TokenStyled .assistant { color: $text-success; }
    TokenStyled .system { color: $warning; }
    TokenStyled .tool { color: $secondary; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ready_styles: dict[tuple[str, ...], Style] = {}

    def notify_style_update(self) -> None:
        self._ready_styles.clear()
        super().notify_style_update()

    def style_of(self, *classes: str) -> Style:
        """The styles laid over one another, kept until the theme changes."""
        if classes not in self._ready_styles:
            self._ready_styles[classes] = layered(self, *classes)
        return self._ready_styles[classes]


def token_classes(token: Token, *, special: bool, cut: bool, roles: bool = False) -> list[str]:
    """The style classes of a token, the gravest last."""
    names = ["masked" if token.label == IGNORED else "trained"]
    if roles and token.role in ROLES:
        names.append(ROLES[token.role])
    if special:
        names.append("special")
    if token.part == "pad":
        names.append("pad")
    if cut:
        names.append("cut")
    return names
