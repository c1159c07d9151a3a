"""NumPy, imported when something of it is first used: that takes longer than all the rest of ``import frostbert``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import numpy

    return getattr(numpy, name)
