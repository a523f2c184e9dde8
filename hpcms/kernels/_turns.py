"""Processes that need the same kernel take turns: one compiles it, the others wait and load what it has cached."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

DEADLINE = 300.0  # seconds; then the kernel is compiled here too, which costs time and nothing else
PAUSE = 0.02  # seconds between two attempts

_held: set[Path] = set()


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``. The system frees it when its holder dies, however it dies.

    Where there is no locking or no writing, and after ``DEADLINE``, the body runs all the same: numba replaces its files in
    one step, so processes that write the same ones do each other no harm. To be entered by one thread at a time.
    """
    if path in _held:
        yield
        return
    file = -1
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _wait(file)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        if file >= 0:
            os.close(file)


def _wait(file: int) -> None:
    """Until the lock is ours or the deadline has passed."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return
