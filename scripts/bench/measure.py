"""What the benchmarks share: CPU time in alternation, peak memory, a table and one JSON line."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

COLUMNS = ("name", "cpu_s", "iterations", "ns_per_voxel_iteration", "floor_ratio", "stream_ratio", "peak_memory_bytes",
           "yardstick_ratio")  # fmt: skip


def cpu(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, and what it returns."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def median(run: Callable[[], Any], repeats: int) -> float:
    """Median CPU seconds of several calls after one that is not counted."""
    run()
    return statistics.median(cpu(run)[0] for _ in range(repeats))


def alternating(
    first: Callable[[], Any], second: Callable[[], float] | None, repeats: int
) -> tuple[float, Any, float | None]:
    """Median CPU seconds of ``first``, its last result, and the median of ``second``'s own seconds over those of ``first``."""
    times, ratios, found = [], [], None
    first()
    for _ in range(repeats):
        other = second() if second else None
        seconds, found = cpu(first)
        times.append(seconds)
        if other:
            ratios.append(seconds / other)
    return statistics.median(times), found, statistics.median(ratios) if ratios else None


def stream(size: int = 1 << 23) -> float:
    """CPU seconds a byte to read two arrays and write one, beyond the cache."""
    a, b, c = (np.ones(size) for _ in range(3))
    return median(lambda: np.add(a, b, out=c), 5) / (24 * size)


class Yardstick:
    """A draft in another folder, run by an interpreter of its own; None where it cannot run."""

    def __init__(self, folder: str | None, python: str | None) -> None:
        self.folder, self.python = Path(folder) if folder else None, python or sys.executable
        self.works = self.folder is not None and self.folder.is_dir() and self._runs(["-c", "import pyfftw, numba"])

    def _runs(self, arguments: Sequence[str]) -> bool:
        return subprocess.run([self.python, *arguments], capture_output=True, check=False).returncode == 0

    def seconds(self, *arguments: str) -> float:
        """Least CPU seconds that it prints as ``cpu=...``; one process a call."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        cache = Path(environment.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "hpcms-yardstick"
        environment |= {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([self.python, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
                              check=True, timeout=600)  # fmt: skip
        words = [word for line in done.stdout.splitlines() for word in line.replace(",", " ").split()]
        return statistics.median(float(word[4:]) for word in words if word.startswith("cpu="))


def peak_of(code: str) -> int:
    """Bytes by which running ``code`` raises the peak memory of a fresh process above what its imports and kernels take.

    The code calls ``mark()`` where the counting starts.
    """
    script = f"""
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
base = 0
def mark():
    global base
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    base = status("VmRSS")
{code}
print(status("VmHWM") - base)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    return int(done.stdout.split()[-1])


def own_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as aligned text."""

    def text(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    cells = [list(columns)] + [[text(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in cells)


def finish(rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS, **more: Any) -> None:
    """The table, and last one JSON line."""
    print(table(rows, columns))
    print(json.dumps({"cases": list(rows), **more}))
