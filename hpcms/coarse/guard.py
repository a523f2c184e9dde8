"""Runs a command and ends it when standard input closes, so that nothing is left behind when the driver dies.

Started by its path: ``python guard.py COMMAND ...``. The exit code is the one of the command.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PATIENCE = 1.0  # seconds between asking and killing


def die_with_parent() -> None:
    """Linux: a kill signal as soon as the parent is gone. Elsewhere nothing happens."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Wait for the end of the command or of standard input."""
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent
    )  # this process has one thread, so preexec_fn is safe
    while child.poll() is None:
        ready, _, _ = select.select([sys.stdin], [], [], 0.2)
        if ready and not os.read(sys.stdin.fileno(), 4096):
            _end(child)
    return child.wait()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the launcher to clean up its ranks, then kill it; ranks die with their launcher."""
    child.terminate()
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
