"""A recipe file for a person to edit: every key, its default, and the reason beside it."""

from __future__ import annotations

import textwrap
from typing import Any

import tomlkit

from core.recipe import Recipe, Section

_HEADING = """\
# A tunedeck recipe: everything one run needs. Keys left out take the values below.
# A key that starts with "# " is off, or follows from others; take the mark away to set it.
"""


def commented_text(recipe: Recipe | None = None) -> str:
    """A recipe as TOML with every key, each below its description. Reading it back gives an equal recipe."""
    sections = [_section_text(name, section) for name, section in (recipe or Recipe())]
    return "\n".join([_HEADING, *sections])


def _section_text(name: str, section: Section) -> str:
    title = textwrap.fill(str(section.__doc__), 98, initial_indent="# ", subsequent_indent="# ")
    lines = [title, f"[{name}]"]
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if name == "training" and key == "extra":
            continue
        lines.append(f"# {field.description}")
        lines.append(f"{key} = {_toml(value)}" if value is not None else f"# {key} = {_usual(key)}")
    if name == "training":
        lines += ["", f"# {type(section).model_fields['extra'].description}", "[training.extra]"]
        lines += [f"{key} = {_toml(value)}" for key, value in getattr(section, "extra", {}).items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return tomlkit.item(value).as_string()


def _usual(key: str) -> str:
    """What a key that follows from others comes to in the default recipe."""
    recipe = Recipe()
    return {"alpha": str(recipe.alpha), "learning_rate": str(recipe.learning_rate), "max_steps": "100"}[key]
