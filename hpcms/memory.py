"""How much memory a process has needed."""

from __future__ import annotations

import resource
from pathlib import Path


def peak() -> int:
    """Peak resident bytes of this process since its program began.

    ``getrusage`` alone would count the parent's pages too: its peak survives the exec that starts a new program.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError, ValueError):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
