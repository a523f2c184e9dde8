"""Compiled bricks that several fine models share: plain loops on arrays, sizes as arguments.

Each kernel has a readable NumPy twin (``..._plain``) beside it, and a test that compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hpcms import cachedir

cachedir.use()
from numba import config  # noqa: E402  (numba reads its cache folder when it is imported)

from hpcms.kernels._faces import Kernel  # noqa: E402

F = TypeVar("F", bound=Callable[..., Any])

# Only such freedoms as keep isnan and isfinite alive; division by zero gives inf as in NumPy, not an exception.
JIT: dict[str, Any] = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


def jit(function: F) -> F:
    """Compile with the options of this room; the type checker keeps the function's signature.

    ``NUMBA_DISABLE_JIT=1`` leaves plain Python, to look into a kernel and to compare with.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    compiled: Any = Kernel(function, JIT)
    return compiled
