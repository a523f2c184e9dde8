"""The two faces of a kernel: what Python calls, and what other kernels take in.

A kernel that calls another one takes its lines in (``forceinline``): a call that is left may reach, in the process that
compiles, another copy of the inner kernel than in a process that loads the cache, and the two copies round differently.
A function that is always taken in would be taken in by the wrapper for calls from Python and by the one for calls from C
too, and be optimised and turned into machine code three times. So each kernel is two dispatchers of the same lines, each
compiled only when it is called: this one for Python, whose wrapper calls it, and ``brick``, without wrappers, for kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.registry import CPUDispatcher


class _BrickFiles(CompileResultCacheImpl):
    """Cache files beside those of the face for Python, which has the same name."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"brick-{super().get_filename_base(fullname, abiflags)}"


class _BrickCache(FunctionCache):
    _impl_class = _BrickFiles


class _Brick(CPUDispatcher):
    """A kernel as other kernels see it."""

    def enable_caching(self) -> None:
        self._cache = _BrickCache(self.py_func)


class Kernel(CPUDispatcher):
    """A kernel as Python sees it; kernels that name it find ``brick``."""

    def __init__(self, py_func: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(py_func, targetoptions={**options, "no_cfunc_wrapper": True})
        wrapped = {"forceinline": True, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
        self.brick = _Brick(py_func, targetoptions={**options, **wrapped})
        self.enable_caching()
        self.brick.enable_caching()

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.brick)
