"""Jobs for a workshop that end badly."""

from __future__ import annotations

import os
import time
from typing import Any


def dies(progress: Any) -> None:
    os._exit(9)


def hangs(progress: Any) -> None:
    time.sleep(60)
