"""What claims measure: one file a theme, ``QUANTITIES = {"name": function}`` at its end is the registration.

A quantity is ``function(context, **args) -> float | list[float]``. It computes; it never reads what is wanted.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from hpcms.errors import BadInput

Quantity = Callable[..., "float | list[float]"]
Q = TypeVar("Q", bound=Quantity)
FURTHER = "_further_runs"


def further_runs(quantity: Q) -> Q:
    """Marks a quantity that needs more than the run of its job (variants, clusters, minutes): left to ``verify``."""
    setattr(quantity, FURTHER, True)
    return quantity


def needs_further_runs(quantity: Quantity) -> bool:
    """Is the quantity left to ``verify``?"""
    return bool(getattr(quantity, FURTHER, False))


def names() -> dict[str, str]:
    """Every quantity and the file that it lives in."""
    found: dict[str, str] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        for name in _table(module):
            if name in found:
                raise BadInput(f"quantity {name!r} is in {found[name]}.py and in {module}.py", "rename one of them")
            found[name] = module
    return found


def find(name: str) -> Quantity:
    """The quantity called ``name``."""
    known = names()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise BadInput(f"unknown quantity {name!r}", f"did you mean {near[0]!r}?" if near else "see verify/quantities")
    return _table(known[name])[name]


def _table(module: str) -> dict[str, Quantity]:
    table: dict[str, Any] = importlib.import_module(f"{__name__}.{module}").QUANTITIES
    return table
