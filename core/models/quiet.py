"""What libraries say at every import and nobody can act on."""

from __future__ import annotations

import logging


def hush_slow_kernels() -> None:
    """Not a word of a faster 4-bit kernel for some CPUs that is not installed; the slower one is as right.

    To be called before the first import of trl, peft or bitsandbytes in a process.
    """
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
