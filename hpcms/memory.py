"""How much memory a process has needed, and whether what is wanted fits."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil

from hpcms.errors import BadInput


def peak() -> int:
    """Peak resident bytes of this process since its program began.

    ``getrusage`` alone would count the parent's pages too: its peak survives the exec that starts a new program.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError, ValueError):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refuse_beyond(name: str, needed: float, hint: str = "crop the image") -> None:
    """``BadInput`` where ``needed`` bytes are more than the free memory; ``name``: what needs them."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise BadInput(f"{name}: {needed:.3g} bytes do not fit in the free memory of {free:.3g} bytes", hint)
