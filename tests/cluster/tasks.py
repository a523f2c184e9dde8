"""Small pure functions, and some that are not: what the workers of the tests run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

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
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "exit":
        raise SystemExit(0)
    elif how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
