"""Compiled bricks that several fine models share: plain loops on arrays, sizes as arguments.

Each kernel has a readable NumPy twin (``..._plain``) beside it, and a test that compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hpcms import cachedir

cachedir.use()
import numba  # noqa: E402  (numba reads its cache folder when it is imported)

F = TypeVar("F", bound=Callable[..., Any])

# Only such freedoms as keep isnan and isfinite alive; division by zero gives inf as in NumPy, not an exception.
# A kernel that calls another one takes its lines in: a call that is left may reach, in the process that compiles, another
# copy of the inner kernel than in a process that loads the cache, and the two copies round differently.
JIT: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "forceinline": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def jit(function: F) -> F:
    """Compile with the options of this room; the type checker keeps the function's signature."""
    compiled: F = numba.njit(**JIT)(function)
    return compiled
