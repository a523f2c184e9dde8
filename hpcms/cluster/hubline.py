"""The driver's end of the line to the hub: starts it, hears its events, notices its death or silence."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcms.cluster import environment

SILENCE = 45.0  # s without a sign of life after which the hub counts as dead


class HubLine:
    """A running hub. ``hear`` is called with each event, and once with ``{"gone": reason}`` when it is no more."""

    def __init__(
        self, settings: dict[str, Any], variables: dict[str, str], log: Path, hear: Callable[[dict[str, Any]], None]
    ) -> None:
        self._hear = hear
        with log.open("ab") as sink:
            # A session of its own: ^C on the terminal is for the driver, which wants to commit first.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hpcms.cluster.hub"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=environment.clean(os.environ, keep_slurm=False) | variables,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        self._events = self.process.stdout
        self.tell(settings)
        self._thread = threading.Thread(target=self._listen, name="hub line", daemon=True)
        self._thread.start()

    def tell(self, order: dict[str, Any]) -> None:
        """Send one line; a dead hub is reported by the listener, not here."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        buffer = b""
        reason = ""
        while not reason:
            ready, _, _ = select.select([self._events], [], [], SILENCE)
            if not ready:
                reason = f"the scheduler gave no sign of life for {SILENCE:g} s"
                break
            chunk = os.read(self._events.fileno(), 65536)
            if not chunk:
                reason = f"the scheduler process ended ({self._status()})"
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
        self.kill()
        self._hear({"gone": reason})

    def _status(self) -> str:
        code = self.process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End the hub now; the kernel ends its workers."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self, patience: float) -> None:
        """Ask for the end and wait for it; after ``patience`` seconds, force it."""
        self.tell({"close": True})
        deadline = time.monotonic() + patience
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        self.process.wait()
        self._thread.join(5)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self._events.close()
