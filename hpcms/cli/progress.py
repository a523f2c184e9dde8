"""How far a run is: a bar with the time left on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

PAUSE = 1.0  # seconds between plain lines, so that a log of many short steps stays readable


class Progress:
    """Told by the engine: ``step`` after each accepted step, ``note`` for anything unusual; ``close`` at the end."""

    def __init__(self, terminal: bool | None = None) -> None:
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self._bar: Any = None
        self._task: Any = None
        self._last = -math.inf

    def start(self, total: float) -> None:
        """``total``: what is to be done, in any unit. The first ``step`` does this as well."""
        if not self.terminal or self._bar is not None:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        text = TextColumn("{task.description}", markup=False)
        left = TextColumn("{task.fields[left]}")
        self._bar = Bar(BarColumn(), TaskProgressColumn(), left, text, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total, left="")
        self._bar.start()

    def step(self, done: float, total: float, text: str = "", eta: float | None = None) -> None:
        """``done`` of ``total`` is done; ``eta``: seconds left."""
        self.start(total)
        left = "" if eta is None or not math.isfinite(eta) else f"{_clock(eta)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=text, left=left)
            return
        now = time.monotonic()
        if done >= total or now - self._last >= PAUSE:
            self._last = now
            share = f"{done / total:4.0%}" if total else "100%"
            self._line("  ".join(part for part in (share, left, text) if part))

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._line(text)

    def close(self) -> None:
        """Leave the terminal as it was; may be called twice."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def _line(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"
