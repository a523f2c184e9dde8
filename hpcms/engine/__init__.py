"""The run loop: builds a job's problem, opens the executor and the store once, steps, commits, resumes."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"Summary": "summary", "zoom": "zooming", "Plan": "planning", "plan": "planning", "simulate": "simulating",
         "here": "measuring"}  # fmt: skip
_HOME |= dict.fromkeys(("resume", "run", "status"), "running")


def __getattr__(name: str) -> Any:
    """Load a verb when it is first used: workers import ``engine.tasks`` only and start quickly."""
    if name not in _HOME:
        raise AttributeError(f"module 'hpcms.engine' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hpcms.engine.{_HOME[name]}"), name)
