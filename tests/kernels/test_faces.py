"""Kernels have a face for Python and one for kernels, and processes that share a cache compile each of them once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hpcms.kernels import _turns, jit, krylov

HOLD = """
import sys, time; from pathlib import Path; from hpcms.kernels._turns import turn
with turn(Path(sys.argv[1])): print("held", flush=True); time.sleep(60)
"""
DOT = """
import numpy as np; from hpcms.kernels.krylov import dot
dot(np.ones(3), np.ones(3)); print(sum(dot._cache_misses.values()))
"""


@jit
def outer(a: np.ndarray, b: np.ndarray) -> float:
    """A kernel that takes another one in."""
    return 2.0 * krylov.dot(a, b)


def process(code: str, *args: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock."""
    other = process(HOLD, str(path))
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    try:
        yield other
    finally:
        other.kill()
        other.communicate()


def look() -> None:
    """In a process without a cache: with one, nothing would be compiled and nothing taken in."""
    a, b = np.arange(3, dtype=np.float32), np.ones(3, np.float32)
    before, bricks = len(krylov.dot.overloads), krylov.dot.brick  # type: ignore[attr-defined]
    assert outer(a, b) == 6.0
    assert len(krylov.dot.overloads) == before  # type: ignore[attr-defined]
    (brick,) = (c for c in bricks.overloads.values() if c.signature.args[0].dtype.name == "float32")
    assert brick.library.get_pointer_to_function(brick.fndesc.llvm_func_name) == 0
    assert "wrapper" not in brick.fndesc.llvm_func_name
    print("seen")


def test_a_kernel_takes_in_the_brick_and_leaves_the_face_for_python_alone(tmp_path: Path) -> None:
    here = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    for code in ("look()", "assert outer(np.ones(3, np.float32), np.ones(3, np.float32)) == 6.0; print('seen')"):
        one = process(f"import numpy as np; from tests.kernels.test_faces import *; {code}", **here)
        assert one.communicate(timeout=120)[0] == "seen\n"


def test_processes_that_need_the_same_kernel_compile_it_once(tmp_path: Path) -> None:
    both = [process(DOT, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    misses = sorted(int(one.communicate(timeout=120)[0].split()[-1]) for one in both)
    assert misses == [0, 1]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with held(path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with _turns.turn(path):
            pass


def test_a_lock_that_is_held_is_waited_for_until_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    pauses: list[float] = []
    clock = iter(range(100))
    monkeypatch.setattr(_turns, "DEADLINE", 5.0)
    with held(path):
        monkeypatch.setattr(time, "sleep", pauses.append)
        monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
        with _turns.turn(path):
            pass
    assert len(pauses) == 4


def test_without_a_folder_to_write_the_body_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with _turns.turn(tmp_path / "file" / "a.lock"):
        pass


def test_a_lock_is_entered_again_by_its_holder(tmp_path: Path) -> None:
    with _turns.turn(tmp_path / "a.lock"), _turns.turn(tmp_path / "a.lock"):
        pass


def test_without_compilation_a_kernel_is_plain_python():
    code = "from hpcms.kernels.krylov import dot; print(type(dot).__name__)"
    with_it, without = process(code), process(code, NUMBA_DISABLE_JIT="1")
    assert with_it.communicate(timeout=60)[0].strip() == "Kernel"
    assert without.communicate(timeout=60)[0].strip() == "function"
