"""Numbers derived from stored arrays: equivalent stress and strain, settlement, lower bounds, and readable units.

Symmetric tensors are Mandel vectors (11 22 33 23 13 12), so their Euclidean norm is the tensor norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.report.data import Data

DAY = 86400.0
KELVIN = 273.15


@dataclass(frozen=True)
class Scale:
    """A unit that is pleasant to read: value in SI times ``factor`` is in ``symbol``."""

    factor: float
    symbol: str

    def __call__(self, values: Any) -> Any:
        return np.asarray(values) * self.factor


# for each SI unit: (smallest magnitude in SI, factor, symbol), largest first
_LADDERS: dict[str, tuple[tuple[float, float, str], ...]] = {
    "m": ((2.0, 1.0, "m"), (1e-3, 1e2, "cm"), (1e-5, 1e3, "mm"), (0.0, 1e6, "µm")),
    "Pa": ((1e9, 1e-9, "GPa"), (1e6, 1e-6, "MPa"), (1e3, 1e-3, "kPa"), (0.0, 1.0, "Pa")),
    "s": ((2 * DAY, 1 / DAY, "days"), (7200.0, 1 / 3600.0, "h"), (180.0, 1 / 60.0, "min"), (0.0, 1.0, "s")),
    "1/s": ((0.0, 100 * 365.25 * DAY, "% per year"),),
    "": ((0.5, 1.0, ""), (2e-5, 1e2, "%"), (0.0, 1e6, "10⁻⁶")),
}


def scale(values: Any, unit: str) -> Scale:
    """The unit of the same kind as ``unit`` (SI) that suits the largest magnitude of ``values``."""
    finite = np.abs(np.asarray(values, dtype=float))
    finite = finite[np.isfinite(finite)]
    largest = float(finite.max()) if finite.size else 0.0
    if largest == 0.0:
        return Scale(1.0, unit)
    for least, factor, symbol in _LADDERS.get(unit, ()):
        if largest >= least:
            return Scale(factor, symbol)
    return Scale(1.0, unit)


def label(name: str, unit: str) -> str:
    """``name (unit)``; a number without a unit says so by a dash-free plain name."""
    return f"{name} ({unit})" if unit else f"{name} (–)"


def deviator(tensor: Array) -> Array:
    """(..., 6) Mandel vector less its mean normal part."""
    out = np.array(tensor, dtype=float)
    out[..., :3] -= out[..., :3].mean(axis=-1, keepdims=True)
    return out


def equivalent_stress(sigma: Array) -> Array:
    """(...,) von Mises stress sqrt(3/2 s:s) of (..., 6) Mandel stresses."""
    return np.asarray(np.sqrt(1.5 * (deviator(sigma) ** 2).sum(axis=-1)))


def equivalent_strain(eps: Array) -> Array:
    """(...,) equivalent strain sqrt(2/3 e:e) of (..., 6) Mandel strains."""
    return np.asarray(np.sqrt((deviator(eps) ** 2).sum(axis=-1) / 1.5))


@dataclass(frozen=True)
class Series:
    """A quantity over time. ``t``: (n,) s; ``values``: (n,) in ``unit`` (SI)."""

    t: Array
    values: Array
    unit: str


def series(data: Data) -> dict[str, Series]:
    """The scalars that the coarse model told over time: from the summary, else from the steps of a run without one."""
    found: dict[str, Series] = {}
    for name, entry in (dict(data.summary.get("series") or {}) or _told(data)).items():
        t, values = np.asarray(entry.get("t", ()), float), np.asarray(entry.get("values", ()), float)
        if t.ndim == 1 and t.shape == values.shape and t.size:
            found[name] = Series(t, values, str(entry.get("unit") or _usual_unit(name)))
    return found


def _told(data: Data) -> dict[str, dict[str, Any]]:
    """What each step says in its ``summary``, by name."""
    found: dict[str, dict[str, Any]] = {}
    for step in data.steps:
        for name, value in dict(step.get("summary") or {}).items():
            entry = found.setdefault(str(name), {"t": [], "values": []})
            entry["t"].append(step["t"])
            entry["values"].append(value)
    return found


def _usual_unit(name: str) -> str:
    """The SI unit of a scalar that the coarse model tells without one."""
    for word, unit in (("temperature", "K"), ("displacement", "m"), ("settlement", "m")):
        if word in name:
            return unit
    return ""


@dataclass(frozen=True)
class Footing:
    """A loaded part of the surface: from ``left`` to ``right`` (m) with ``pressure`` (Pa)."""

    left: float
    right: float
    pressure: float


def footing(data: Data) -> Footing | None:
    """The first boundary entry of the job that presses on a part of the top."""
    for table in dict(data.resolved.get("coarse") or {}).values():
        for entry in table.get("boundary", ()) if isinstance(table, Mapping) else ():
            between, pressure = entry.get("between"), entry.get("pressure")
            if entry.get("side") == "top" and between and isinstance(pressure, int | float):
                return Footing(float(between[0]), float(between[1]), float(pressure))
    return None


@dataclass(frozen=True)
class Severity:
    """How hard each region is loaded. ``values``: (S,) in ``unit``; ``name`` says by which measure."""

    fine: str
    name: str
    unit: str
    values: Array


def severity(data: Data, step: int | None = None) -> Severity | None:
    """Equivalent stress at the sites where there is one, else the size of the flux."""
    for answer, name, unit in (("stress", "equivalent stress", "Pa"), ("flux", "heat flux", "W/m²")):
        for fine in data.fines:
            values = data.read(f"sites/{fine}/{answer}", step)
            if values is None or values.ndim != 2 or not len(values):
                continue
            size = equivalent_stress(values) if values.shape[1] == 6 else np.linalg.norm(values, axis=1)
            return Severity(fine, name, unit, size)
    return None


def worst(values: Array, count: int) -> list[int]:
    """Indices of the largest finite values, largest first; ties go to the lower index."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return [int(index) for index in order[:count] if np.isfinite(values[index])]


@dataclass(frozen=True)
class Bound:
    """A time that the wall time is compared with, s."""

    name: str
    seconds: float
    meaning: str


def bounds(data: Data) -> list[Bound]:
    """Work, work over workers, span and lower bounds of the run, where the summary has them."""
    summary, workers = data.summary, worker_count(data)
    work = summary.get("work_s")
    found: list[tuple[str, Any, str]] = [("work T1", work, "CPU time of all tasks on one worker")]
    if isinstance(work, int | float) and workers > 1:
        found.append((f"T1 / {workers}", work / workers, "the work shared evenly by the workers"))
    for key, (name, meaning) in _BOUNDS.items():
        found.append((name, summary.get(key), meaning))
    return [Bound(name, float(value), text) for name, value, text in found if isinstance(value, int | float)]


_BOUNDS = {
    "lower_bound_s": ("LB0", "the largest of shared work, slowest batch and coarse chain: no schedule of this work is faster"),
    "lb1_s": ("LB1", "as if the strain path were known: each batch once a step, its longest task; an estimate from below"),
    "span_s": ("LB2, span", "the longest chain of tasks that wait for each other"),
}  # fmt: skip
IDLE = {
    "coarse": "for a coarse solve",
    "imbalance": "for slower tasks on other workers",
    "io": "for the store",
    "scheduler": "for the scheduler, messages and the driver",
}


def idle(data: Data) -> str:
    """Sentences on how the workers spent their time and what was done ahead; empty for a run that does not say."""
    lost, share = dict(data.summary.get("idle_s") or {}), data.summary.get("efficiency") or 0.0
    lower, workers = data.summary.get("lower_bound_s") or 0.0, int(data.summary.get("workers") or 0)
    if not lost or not share or not workers:
        return ""
    every = workers * lower / share
    parts = [f"{100 * lost[name] / every:.1f} % {why}" for name, why in IDLE.items() if name in lost]
    said = f"Of the time of {'all workers' if workers > 1 else 'the worker'} no task filled: {', '.join(parts)}."
    ahead = dict(data.summary.get("ahead") or {})
    if ahead.get("records"):
        said += (
            f" Ahead of the open step {ahead['records']:.0f} records were made, {100 * ahead['accepted']:.0f} % of them kept;"
            f" {ahead['wasted_s']:.3g} s of work were lost."
        )
    return said


def worker_count(data: Data) -> int:
    """Workers that ran fine tasks, from the records, else from the summary."""
    names = {record.worker for record in data.records if record.kind == "fine"}
    return len(names) or int(data.summary.get("workers") or 0)
