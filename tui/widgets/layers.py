"""Component styles laid over one another: background and colour blend, text styles add up."""

from __future__ import annotations

from rich.style import Style
from textual.widget import Widget


def layered(widget: Widget, *names: str) -> Style:
    """The widget's own style with the component classes `names` on it, in that order.

    Unlike adding styles up, a class that sets only a colour keeps the ground of the one before it, and
    shares of a colour (`$foreground 60%`) are mixed with that ground.
    """
    _, _, background, color = widget.colors
    text = Style()
    for name in names:
        styles = widget.get_component_styles(name)
        if styles.has_rule("background"):
            background = background + styles.background
        if styles.has_rule("color"):
            color = styles.color
        text += styles.text_style
    return Style(color=(background + color).rich_color, bgcolor=background.rich_color) + text
