"""Small pure functions, and some that are not: what the workers of the tests run."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hpcms.errors import StorageFailure


def add(a: Any, b: Any) -> Any:
    return a + b


def total(values: Any) -> Any:
    return sum(values.values()) if isinstance(values, dict) else sum(values)


def draw(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def fail(text: str) -> None:
    raise ValueError(text)


def fail_to_store() -> None:
    raise StorageFailure("disk full: /here", hint="make room")


def note(folder: str, name: str) -> int:
    """Leaves a mark for each run and says how many there are."""
    with (Path(folder) / name).open("a") as file:
        file.write("x")
    return len((Path(folder) / name).read_text())


def slow(value: Any, seconds: float) -> Any:
    time.sleep(seconds)
    return value


def pid() -> int:
    return os.getpid()


def environment() -> dict[str, str]:
    return dict(os.environ)


def die_once(folder: str, value: Any, how: str = "kill") -> Any:
    """Kills its worker the first time."""
    mark = Path(folder) / f"died-{how}-{value}"
    if not mark.exists():
        mark.touch()
        die(how)
    return value


def die(how: str = "kill") -> None:
    if how == "exit":
        raise SystemExit(0)
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "segfault": signal.SIGSEGV, "stop": signal.SIGSTOP}[how])
    time.sleep(600.0)  # the signal may take a moment to arrive in another thread


@dataclass(frozen=True)
class Solved:
    """A result of which the driver gets a part."""

    state: np.ndarray
    answer: float

    def to_driver(self) -> float:
        return self.answer


def solve(seed: int, before: Solved | None = None) -> Solved:
    state = draw(seed, 100) + (before.state if before else 0.0)
    return Solved(state, float(state.sum()))


def worker_processes(hub: int) -> list[int]:
    """The worker processes below the process ``hub``."""
    found = []
    for process in psutil.Process(hub).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def grind(seconds: float) -> int:
    """Computes without ever giving up the interpreter lock."""
    start, n = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        n += (3**3_000_000) & 1
    return min(n, 1)


def step(state: np.ndarray, seed: int, seconds: float) -> np.ndarray:
    """One step of a chain: the state with a history."""
    time.sleep(seconds)
    return np.sin(state) + draw(seed, len(state))
