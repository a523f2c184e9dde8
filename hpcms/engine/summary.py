"""What a run says of itself when it ends: one JSON object, also kept as RUNDIR/summary.json."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpcms.contracts import TaskRecord
from hpcms.plan.bounds import bounds


@dataclass
class Summary:
    """Seconds and bytes; ``efficiency`` is the lower bound over the wall time. ``series``: name -> t, values, unit."""

    rundir: str
    title: str
    size: str | None
    on: str
    workers: int
    state_hash: str
    steps: int
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    work_s: float
    span_s: float
    lower_bound_s: float
    efficiency: float
    coupling: dict[str, Any]
    series: dict[str, Any]
    claims: list[dict[str, Any]] = field(default_factory=list)
    retries: list[Any] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)

    def write(self, rundir: Path) -> None:
        """Replace RUNDIR/summary.json."""
        write_json(rundir / "summary.json", self.json())


def write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file in one move, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)


def peak(records: list[TaskRecord], own: int) -> int:
    """Bytes of the driver and of every worker at its highest, as if all had peaked at once."""
    highest: dict[str, int] = {}
    for r in records:
        highest[r.worker] = max(highest.get(r.worker, 0), r.peak_memory)
    highest.pop(next((r.worker for r in records if r.kind == "coarse"), ""), None)  # the driver itself
    return own + sum(highest.values())


def efficiency(records: list[TaskRecord], workers: int) -> dict[str, float]:
    """T1, span, the lower bound and its ratio to the time from the first task to the last."""
    b = bounds(records, workers)
    wall = max((r.end for r in records), default=0.0) - min((r.start for r in records), default=0.0)
    return {
        "work_s": b.work_s,
        "span_s": b.span_s,
        "lower_bound_s": b.lower_bound_s,
        "efficiency": b.lower_bound_s / wall if wall > 0 else 0.0,
    }


UNITS = {"temperature": "K", "displacement": "m", "settlement": "m", "stress": "Pa"}  # by the last word of a name


def series(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The scalars that the coarse model tells at every step, over time (s)."""
    out: dict[str, Any] = {}
    for meta in steps:
        for name, value in meta.get("summary", {}).items():
            entry = out.setdefault(name, {"t": [], "values": [], "unit": UNITS.get(name.rpartition("_")[2], "")})
            entry["t"].append(meta["t"])
            entry["values"].append(value)
    return out


def coupling(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Iterations, messages and bytes between the fields and scales, summed over the steps."""
    sweeps = [s for meta in steps for s in meta.get("sweeps", [])]
    fine: dict[str, dict[str, float]] = {}
    for meta in steps:
        for name, counts in meta.get("fine", {}).items():
            total = fine.setdefault(name, dict.fromkeys(counts, 0))
            for key, value in counts.items():
                total[key] = max(total[key], value) if key == "energy_gap" else total[key] + value
    return {
        "sweeps": len(sweeps),
        "coarse_iterations": sum(s["iterations"] for s in sweeps),
        "messages": sum(s["messages"] for s in sweeps),
        "bytes": sum(s["bytes"] for s in sweeps),
        "fine": fine,
    }
