"""Colour themes from files: our own in `themes/`, and a person's in the configuration folder.

A file holds the fields of a Textual theme as TOML: `primary`, `background`, `dark`, a table `variables`, ...
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from textual.theme import Theme

import themes

FOLDER = Path(themes.__file__).parent
DARK = "tunedeck-dark"
LIGHT = "tunedeck-light"


def own_themes_folder() -> Path:
    """Where a person puts theme files. Follows XDG_CONFIG_HOME."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "tunedeck" / "themes"


def read_themes(name: str = "*") -> tuple[list[Theme], list[str]]:
    """The theme of that name, or every one that can be read, and one line for each file that cannot."""
    found, problems = [], []
    for file in [*sorted(FOLDER.glob(f"{name}.toml")), *sorted(own_themes_folder().glob(f"{name}.toml"))]:
        try:
            theme = Theme(name=file.stem, **tomllib.loads(file.read_text(encoding="utf-8")))
            theme.to_color_system().generate()
        except Exception as error:  # a person's file: any mistake in it is one line, never the end of the app
            problems.append(f"{file}: {error}")
        else:
            found.append(theme)
    return found, problems
