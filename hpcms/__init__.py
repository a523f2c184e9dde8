"""hpcms: a multiscale solver. A coarse PETSc model and many fine models, solved side by side.

``hpcms.run(job)``, ``hpcms.open_run(rundir)``, ``hpcms.homogenize(image, ...)``; the rest is in the rooms.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_HOME = {
    "run": "hpcms.api",
    "resume": "hpcms.api",
    "open_run": "hpcms.store.run",
    "homogenize": "hpcms.homogenize",
    "plan": "hpcms.engine",
    "zoom": "hpcms.engine",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Load a function when it is first used: `import hpcms` and the command line's errors stay quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'hpcms' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
