"""Copying over a link: OSC 52, wrapped for tmux, and always a file as well, because a terminal may drop the rest."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from core.workspace import state_folder, write_atomically

if TYPE_CHECKING:
    from textual.app import App

# Terminals cut or refuse longer sequences; 74,994 bytes of text make 100,000 of base64.
MOST_BYTES = 74_994
FILE_NAME = "copied.txt"


def copy(app: App[None], text: str) -> str:
    """Put the text on the terminal's clipboard and into a file; what to tell the person about it."""
    path = state_folder() / FILE_NAME
    try:
        write_atomically(path, text)
        kept = f"also in {path}"
    except OSError as error:
        kept = f"{path} cannot be written: {error.strerror}"
    if len(text.encode()) > MOST_BYTES:
        return f"too long for the clipboard; {kept}"
    sequence = osc52(text)
    driver = app._driver
    if driver is not None:
        if os.environ.get("TMUX"):
            driver.write(through_tmux(sequence))
        driver.write(sequence)
    return f"copied, if the terminal lets it (tmux: set -s set-clipboard on); {kept}"


def osc52(text: str) -> str:
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"


def through_tmux(sequence: str) -> str:
    """tmux hands the sequence on to the outer terminal if allow-passthrough is on."""
    escaped = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{escaped}\x1b\\"
