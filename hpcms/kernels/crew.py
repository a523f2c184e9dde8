"""Threads that share the tasks of a kernel. A kernel lasts milliseconds, and to wake a sleeping thread may take one: between two
kernels of a solve the threads stay awake for ``AWAKE`` seconds before they go to sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

AWAKE = 2e-3  # s


class Crew:
    """``size`` threads, the caller's own among them, while it is entered; else the caller works alone."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._helpers: list[_Helper] = []

    def __enter__(self) -> Crew:
        self._helpers = [_Helper() for _ in range(self.size - 1)]
        for helper in self._helpers:
            helper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        helpers, self._helpers = self._helpers, []
        for helper in helpers:
            helper.give(None)
        for helper in helpers:
            helper.join()

    def run(self, work: Callable[[Any], None], parts: Sequence[Any]) -> None:
        """``work`` on all parts, of which there are at most ``size``; an error is raised when all have ended."""
        own, others = (parts[:1], parts[1:]) if self._helpers else (parts, [])
        helped = list(zip(self._helpers[: len(others)], others, strict=True))
        for helper, part in helped:
            helper.give((work, part))
        try:
            for part in own:
                work(part)
        finally:
            errors = [helper.taken() for helper, _ in helped]
        for error in errors:
            if error is not None:
                raise error


class _Helper(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._job: Any = _NOTHING
        self._called = threading.Event()
        self._error: BaseException | None = None

    def give(self, job: Any) -> None:
        self._job = job
        self._called.set()

    def taken(self) -> BaseException | None:
        """Waits until the job is done; what it failed with."""
        while self._job is not _NOTHING:
            time.sleep(0)
        error, self._error = self._error, None
        return error

    def run(self) -> None:
        since = time.perf_counter()
        while True:
            if self._job is _NOTHING:
                if time.perf_counter() - since < AWAKE:
                    time.sleep(0)
                else:
                    self._called.wait()
                    self._called.clear()
                continue
            if self._job is None:
                return
            work, part = self._job
            try:
                work(part)
            except BaseException as error:  # the caller raises it
                self._error = error
            self._job, since = _NOTHING, time.perf_counter()


_NOTHING = object()
