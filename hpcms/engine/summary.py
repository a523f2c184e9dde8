"""What a run says of itself when it ends: one JSON object, also kept as RUNDIR/summary.json."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpcms.contracts import TaskRecord
from hpcms.plan.bounds import bounds
from hpcms.plan.idle import idle


@dataclass
class Summary:
    """Seconds and bytes; ``efficiency`` is the lower bound LB0 over the wall time. ``series``: name -> t, values, unit.

    ``lb1_s``: with the strain path known; ``span_s``: LB2; ``idle_s``: of the workers, by cause (``hpcms.plan.idle``);
    ``ahead``: what the scheme did ahead of the open step.
    """

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
    lb1_s: float
    efficiency: float
    idle_s: dict[str, float]
    ahead: dict[str, float]
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


def efficiency(records: list[TaskRecord], workers: int) -> dict[str, Any]:
    """T1, the lower bounds, the ratio of LB0 to the time from the first task to the last, and idle time by cause."""
    b = bounds(records, workers)
    wall = elapsed(records)
    return {
        "work_s": b.work_s,
        "span_s": b.span_s,
        "lower_bound_s": b.lower_bound_s,
        "lb1_s": b.lb1_s,
        "efficiency": b.lower_bound_s / wall if wall > 0 else 0.0,
        "idle_s": idle(records, workers),
    }


def elapsed(records: Sequence[TaskRecord]) -> float:
    """Seconds from the start of the first task to the end of the last."""
    return max((r.end for r in records), default=0.0) - min((r.start for r in records), default=0.0)


def ahead(records: Sequence[TaskRecord], steps: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Work ahead of the open step: CPU s of its records, how many there were, the share that was kept, CPU s lost.

    Empty for schemes that do nothing ahead. A record is kept where the next step starts from it.
    """
    told = [dict(meta.get("scheme") or {}) for meta in steps]
    count, kept = (sum(int(s.get(k, 0)) for s in told) for k in ("ahead", "ahead_kept"))
    if not any("ahead" in s for s in told):
        return {}
    names = set()
    for index, meta in enumerate(steps):
        for group in (x for attempt in (meta.get("order") or {}).get("told", ()) for x in attempt):
            names |= {(step, model, serial, batch) for step, model, serial, batch in group if step > index}
    seconds = sum(r.cpu_s for r in records if r.kind == "fine" and _name(r.key) in names)
    share = kept / count if count else 0.0
    return {"records": count, "accepted": share, "cpu_s": seconds, "wasted_s": seconds * (1 - share)}


def _name(key: str) -> tuple[int, str, int, int] | None:
    """Step, model, serial and batch of ``fine/creep/3.a0-12/7``; None where a task has no serial."""
    _, model, tag, batch = key.split("/")
    step, _, rest = tag.partition(".")
    serial = rest.partition("-")[2]
    return (int(step), model, int(serial), int(batch)) if serial else None


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
