"""How the scales talk: one file per scheme, ask/tell within one step. No I/O, no clock, no Dask in here.

A scheme file ends with ``SCHEME = TheClass``; the job names the file.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from hpcms.errors import BadInput


def names() -> list[str]:
    """All schemes, by file name."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def find(name: str) -> type[Any]:
    """The scheme class of file ``name``."""
    if name not in names():
        raise BadInput(f"unknown scheme {name!r}", hint=f"known schemes: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").SCHEME
