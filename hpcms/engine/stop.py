"""Stop in time: signals and the end of the SLURM allocation. The clock decides first, a signal second."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hpcms.errors import Stopped

MARGIN = 30.0  # seconds kept for the commit and for leaving


class StopWatch:
    """``reason`` is empty until the run should stop; ``now`` tells that it should not even finish the step."""

    def __init__(self, end: float | None = None) -> None:
        self.end = end
        self.reason = ""
        self.now = False

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """USR1: stop after this step. TERM and INT: stop now; what is not committed is computed again by resume."""
        self.reason = f"signal {signal.Signals(number).name}"
        self.now = number != signal.SIGUSR1

    def check(self) -> None:
        """Raise ``Stopped`` where the step must not go on."""
        if self.now:
            raise Stopped(f"stopped by {self.reason}", "go on with: hpcms resume RUNDIR")

    def before_step(self, longest: float) -> None:
        """Raise ``Stopped`` where no further step fits; ``longest``: seconds of the longest step so far."""
        if not self.reason and self.end is not None and time.time() + 1.5 * longest + MARGIN > self.end:
            self.reason = "the allocation ends before the next step would"
        if self.reason:
            raise Stopped(f"stopped cleanly: {self.reason}", "go on with: hpcms resume RUNDIR")


@contextmanager
def watch() -> Iterator[StopWatch]:
    """Install the handlers (main thread only) and take the end of the allocation from SLURM."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    stop = StopWatch(float(end) if end.isdigit() else None)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, stop.signalled) for n in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
