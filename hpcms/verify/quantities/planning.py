"""What a plan says before the run, over what the run then took: core-hours, memory, and the refusal of what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from hpcms import engine
from hpcms.errors import NumericalFailure, ResourceFailure
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

PATIENCE = 600.0  # s for a run


def _told(context: Context, command: str, settings: Sequence[str], *more: str) -> dict[str, Any]:
    """The object that ``hpcms plan`` or ``hpcms run`` prints, in a process of its own: its memory is its own."""
    size = ("--size", context.job.size) if context.job.size else ()
    words = [word for setting in settings for word in ("--set", setting)]
    line = [sys.executable, "-m", "hpcms.cli", command, str(context.job.path), *size, "--on", "inline", "--json"]
    done = subprocess.run([*line, *words, *more], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise NumericalFailure(f"hpcms {command} failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _compared(context: Context, sizes: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Planned over measured at each size; a first run compiles what is not compiled yet."""

    def make() -> list[dict[str, float]]:
        _told(context, "run", sizes[0], "--out", str(context.folder("planned") / "first"))
        rows = []
        for number, settings in enumerate(sizes):
            planned = _told(context, "plan", settings, "--calibrate")
            run = _told(context, "run", settings, "--out", str(context.folder("planned") / str(number)))
            measured = {"core_hours": run["work_s"] / 3600, "memory_bytes": run["peak_memory_bytes"]}
            rows.append({name: planned[name] / value for name, value in measured.items()})
        return rows

    rows: list[dict[str, float]] = context.once(f"planned {sizes}", make)
    return rows


@further_runs
def planned_over_measured(context: Context, figure: str, sizes: Sequence[Sequence[str]]) -> list[float]:
    """Of ``core_hours`` or ``memory_bytes``: the plan's figure over that of the run, at each of the sizes."""
    return [row[figure] for row in _compared(context, sizes)]


@further_runs
def too_large_refused(context: Context, settings: dict[str, Any]) -> float:
    """Planted fault: 1 where a job that needs more memory than there is is refused, and nothing is made."""
    out = context.folder("refused") / "run"
    try:
        engine.run(context.job.path, size=context.job.size, out=out, overrides=settings)
    except ResourceFailure:
        return float(not out.exists())
    return 0.0


QUANTITIES = {"planned_over_measured": planned_over_measured, "too_large_refused": too_large_refused}
