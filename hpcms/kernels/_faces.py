"""The two faces of a kernel: what Python calls, and what other kernels take in.

A kernel that calls another one takes its lines in (``forceinline``): a call that is left may reach, in the process that
compiles, another copy of the inner kernel than in a process that loads the cache, and the two copies round differently.
A function that is always taken in would be taken in by the wrapper for calls from Python and by the one for calls from C
too, and be optimised and turned into machine code three times. So each kernel is two dispatchers of the same lines, each
compiled only when it is called: this one for Python, whose wrapper calls it, and ``brick`` for kernels, which has no
wrappers and never becomes machine code of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]
from numba.core import sigutils, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult, compile_result
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from hpcms.kernels._turns import turn


class _NoEngine:
    """What a brick needs of an engine for machine code: nothing."""

    def set_env(self, name: str, env: Any) -> None: ...


class _Lines(JITCodeLibrary):
    """The lines of a brick, to be linked into kernels."""

    codegen = _NoEngine()

    def _optimize_final_module(self) -> None:
        """Lines are optimised where they are taken in, not before as well."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    def serialize_using_object_code(self) -> tuple[str, bytes]:
        return self.name, self._get_module_for_linking().as_bitcode()

    @classmethod
    def read(cls, engine: Any, saved: tuple[str, bytes]) -> _Lines:
        """The inverse of ``serialize_using_object_code``."""
        lines = cls(engine, saved[0])
        lines._final_module = binding.parse_bitcode(saved[1])
        lines._finalize_final_module()
        return lines


class _BrickCompiler(Compiler):
    def define_pipelines(self) -> list[Any]:
        self.state.library = _Lines(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return list(super().define_pipelines())


class _BrickFiles(CompileResultCacheImpl):
    """Cache files beside those of the face for Python, which has the same name."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"brick-{super().get_filename_base(fullname, abiflags)}"

    def rebuild(self, context: Any, payload: tuple[Any, ...]) -> CompileResult:
        saved, fndesc, env, signature, _, _, _, reload_init, referenced = payload
        for again in reload_init:
            again()
        lines = _Lines.read(context.codegen(), saved)
        return compile_result(
            target_context=context, typing_context=context.typing_context, library=lines, environment=env, fndesc=fndesc,
            entry_point=context.get_executable(lines, fndesc, env), signature=signature, objectmode=False, lifted=(),
            reload_init=reload_init, referenced_envs=referenced,
        )  # fmt: skip


class _BrickCache(FunctionCache):
    _impl_class = _BrickFiles


class _InTurn(CPUDispatcher):
    """Of all processes that share the cache, one compiles a kernel at a time and the others find it there.

    Locks are taken along calls, from kernel to brick, and calls have no cycles: nobody waits for somebody who waits for it.
    """

    _cache: Any

    def compile(self, sig: Any) -> Any:
        """Compile or load the overload for ``sig``."""
        known: Any = self.overloads.get(tuple(sigutils.normalize_signature(sig)[0]))
        if known is not None:
            return known.entry_point
        file = self._cache._cache_file
        # numba's own lock comes first: the other way round, two threads could wait for each other
        with global_compiler_lock, turn(Path(file._cache_path) / f"{Path(file._index_name).stem}.lock"):
            return super().compile(sig)


class _Brick(_InTurn):
    """A kernel as other kernels see it."""

    def enable_caching(self) -> None:
        self._cache = _BrickCache(self.py_func)


class Kernel(_InTurn):
    """A kernel as Python sees it; kernels that name it find ``brick``."""

    def __init__(self, py_func: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(py_func, targetoptions={**options, "no_cfunc_wrapper": True})
        taken = {**options, "forceinline": True, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
        self.brick = _Brick(py_func, targetoptions=taken, pipeline_class=_BrickCompiler)
        self.enable_caching()
        self.brick.enable_caching()

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.brick)

    def add_overload(self, cres: CompileResult) -> None:
        """Bricks could not tell the engine of their environments: a kernel that has taken them in does."""
        for env in cres._find_referenced_environments():
            cres.codegen.set_env(env.env_name, env)
        super().add_overload(cres)
