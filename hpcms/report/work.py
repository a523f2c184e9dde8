"""Pictures of the computation itself: tasks on workers, times against their bounds, convergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hpcms.contracts import Array, TaskRecord
from hpcms.report import measures
from hpcms.report.data import Data
from hpcms.report.style import BLUE, CYCLE, GREY, INK, KINDS, RED, SKY, Picture, figure, picture

LANES = 48  # with more workers than this, lanes are too thin to read


def timeline(data: Data) -> Picture | None:
    """Gantt chart: one lane a worker, one bar a task."""
    records = [record for record in data.records if record.end >= record.start]
    if not records:
        return None
    names = lanes(records)
    if len(names) > LANES:
        return _busy(records, len(names))
    start = min(record.start for record in records)
    fig, axes = figure(10.2, 1.3 + 0.32 * len(names))
    lane = {worker: row for row, worker in enumerate(names)}
    for kind in _kinds(records):
        boxes = [_box(record, lane[record.worker], start) for record in records if record.kind == kind]
        axes.add_collection(
            PolyCollection(boxes, facecolors=_colour(kind), edgecolors="white", linewidths=_gaps(boxes, records))
        )
    axes.set(xlabel="time since the first task (s)", yticks=range(len(names)))
    axes.set_yticklabels(list(names.values()))
    axes.set(xlim=(0, max(record.end for record in records) - start), ylim=(len(names) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    _legend(fig, records)
    return picture(fig, "timeline", _timeline_caption(records, len(names)), wide=True)


def _kinds(records: Sequence[TaskRecord]) -> list[str]:
    here = {record.kind for record in records}
    return [kind for kind in KINDS if kind in here] + sorted(here - set(KINDS))


def _colour(kind: str) -> str:
    return KINDS.get(kind, GREY)


def _legend(fig: Any, records: Sequence[TaskRecord]) -> None:
    handles = [Patch(color=_colour(kind), label=kind) for kind in _kinds(records)]
    fig.legend(handles=handles, loc="outside upper right", ncols=len(handles), handlelength=1.0, handleheight=0.9)


def _gaps(boxes: Sequence[Array], records: Sequence[TaskRecord]) -> list[float]:
    """White edges part neighbouring bars; a bar so short that it would be all edge has none."""
    whole = max(record.end for record in records) - min(record.start for record in records)
    return [0.4 if box[1, 0] - box[0, 0] > 0.004 * whole else 0.0 for box in boxes]


def _box(record: TaskRecord, lane: int, start: float) -> Array:
    left, right = record.start - start, record.end - start
    return np.array([[left, lane - 0.38], [right, lane - 0.38], [right, lane + 0.38], [left, lane + 0.38]])


def lanes(records: Sequence[TaskRecord]) -> dict[str, str]:
    """A short name for each process, in the order of the lanes: first the driver, which runs the coarse tasks."""
    first: dict[str, float] = {}
    for record in records:
        first[record.worker] = min(first.get(record.worker, record.start), record.start)
    drivers = {record.worker for record in records if record.kind == "coarse"}
    order = sorted(first, key=lambda worker: (worker not in drivers, first[worker], worker))
    workers = [worker for worker in order if worker not in drivers]
    return {worker: f"worker {workers.index(worker) + 1}" if worker in workers else "driver" for worker in order}


def _timeline_caption(records: Sequence[TaskRecord], lanes: int) -> str:
    whole = max(record.end for record in records) - min(record.start for record in records)
    counts = ", ".join(f"{sum(r.kind == kind for r in records)} {kind}" for kind in _kinds(records))
    busy = sum(record.end - record.start for record in records) / max(whole * lanes, 1e-300)
    return f"When each worker computed which kind of task ({counts}). The lanes are filled to {100 * busy:.0f} %."


def _busy(records: Sequence[TaskRecord], workers: int) -> Picture:
    """Number of tasks at work over time, stacked by kind."""
    start, end = min(r.start for r in records), max(r.end for r in records)
    clock = np.linspace(0.0, end - start, 800)
    kinds = _kinds(records)
    stacks = []
    for kind in kinds:
        begun = np.sort([r.start - start for r in records if r.kind == kind])
        ended = np.sort([r.end - start for r in records if r.kind == kind])
        stacks.append(np.searchsorted(begun, clock, side="right") - np.searchsorted(ended, clock, side="right"))
    fig, axes = figure(10.2, 3.0)
    axes.stackplot(clock, stacks, colors=[_colour(kind) for kind in kinds])
    axes.axhline(workers, color=INK, lw=1, ls=(0, (4, 3)))
    axes.set(xlabel="time since the first task (s)", ylabel="tasks at work (number)", xlim=(0, clock[-1]))
    _legend(fig, records)
    return picture(
        fig, "timeline", f"Tasks at work over time. The dashed line is the number of workers, {workers}.", wide=True
    )


def efficiency(data: Data) -> Picture | None:
    """Wall time beside the times that bound it."""
    bounds = measures.bounds(data)
    wall = data.summary.get("wall_s")
    if not bounds or not isinstance(wall, int | float):
        return None
    names = [bound.name for bound in bounds] + ["wall time"]
    seconds = [bound.seconds for bound in bounds] + [float(wall)]
    fig, axes = figure(10.2, 0.8 + 0.32 * len(names))
    rows = np.arange(len(names))
    axes.barh(rows, seconds, color=[SKY] * len(bounds) + [RED], height=0.62)
    for row, value in zip(rows, seconds, strict=True):
        axes.annotate(f"{value:.3g} s", (value, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(yticks=rows, xlabel="time (s)", xlim=(0, 1.1 * max(seconds) or 1.0))
    axes.set_yticklabels(names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return picture(fig, "efficiency", "The wall time beside the work and the lower bounds of the same run.", wide=True)


def convergence(data: Data) -> list[Picture]:
    """Residuals sweep by sweep, sweeps a step, and iterations of the fine models."""
    made = [_residuals(data), _sweeps(data), _iterations(data)]
    return [found for found in made if found is not None]


def _residuals(data: Data) -> Picture | None:
    runs = [[float(s.get("residual", np.nan)) for s in step.get("sweeps", ())] for step in data.steps]
    if not any(value > 0 for run in runs for value in run):
        return None
    fig, axes = figure(10.2, 3.0)
    at = 0
    for index, run in enumerate(runs):
        values = np.array([value if value > 0 else np.nan for value in run])
        axes.plot(np.arange(at, at + len(run)) + 1, values, "o-", ms=3.5, lw=1.2, color=(BLUE, SKY)[index % 2])
        at += len(run)
    axes.set(xlim=(0.5, at + 0.5))
    axes.set(yscale="log", xlabel="sweep (number, all steps)", ylabel="relative residual (–)")
    tolerance = dict(data.resolved.get("coupling") or {}).get("tolerance")
    caption = "Relative residual of the coarse equations in every sweep. The shade changes with each step."
    if isinstance(tolerance, int | float) and tolerance > 0:
        axes.axhline(float(tolerance), color=RED, lw=1.2, ls=(0, (4, 3)))
        where = (1.0, float(tolerance))
        axes.annotate(
            "tolerance",
            where,
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=RED,
        )
        caption += " A step ends below the dashed line."
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return picture(fig, "residuals", caption, wide=True)


def _sweeps(data: Data) -> Picture | None:
    counts = [len(step.get("sweeps", ())) for step in data.steps]
    if len([count for count in counts if count]) < 2:  # the table has the numbers of a single step
        return None
    fig, axes = figure(5.2, 2.8)
    steps = [number for number, count in zip(data.numbers, counts, strict=True) if count]  # the start has no sweep
    axes.bar(steps, [count for count in counts if count], color=BLUE, width=0.72)
    axes.set(xlim=(min(steps) - 0.9, max(steps) + 0.9))
    axes.set(xlabel="step (number)", ylabel="sweeps (number)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)
    return picture(
        fig, "sweeps", "Sweeps that each step took: rounds of asking the fine models and telling the coarse one."
    )


def _iterations(data: Data) -> Picture | None:
    lines = {
        "Newton, fine": [_sum(step, "newton") for step in data.steps],
        "CG, fine": [_sum(step, "linear") for step in data.steps],
        "linear, coarse": [sum(_count(sweep, "iterations") for sweep in step.get("sweeps", ())) for step in data.steps],
    }
    lines = {name: values for name, values in lines.items() if any(values)}
    if not lines or sum(bool(step.get("sweeps")) for step in data.steps) < 2:
        return None
    fig, axes = figure(5.2, 2.8)
    for (name, values), colour, mark in zip(lines.items(), CYCLE, "os^", strict=False):
        axes.plot(data.numbers, [value or np.nan for value in values], mark + "-", color=colour, lw=1.4, label=name)
    axes.set(yscale="log", xlabel="step (number)", ylabel="iterations a step (number)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return picture(fig, "iterations", "Iterations of each step, summed over all regions and sweeps.")


def _sum(step: Mapping[str, Any], name: str) -> float:
    """The iterations of a step over all fine models."""
    tables = [table for table in dict(step.get("fine") or {}).values() if isinstance(table, Mapping)]
    return sum(_count(table, name) for table in tables)


def _count(table: Mapping[str, Any], name: str) -> float:
    value = table.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
