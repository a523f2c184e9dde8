"""Two scales at once: a graph of many unequal cell solves and PETSc solves of several plates, timed task by task.

Each plate has zones, each zone its own cell. A zone's cell is solved, the plate is solved with all its tensors, the
zone is solved again under the gradient that it finds there, the plate again: fine, coarse, fine, coarse. The plates
know nothing of each other, so cells of one may be solved while PETSc solves another.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np

from hpcms import coarse
from hpcms.cluster import default_workers, open_executor
from hpcms.coarse.heat import Heat, HeatBoundary
from hpcms.contracts import Array, Arrays, Executor, Regions, Step, TaskRecord
from hpcms.engine import tasks
from hpcms.fine.conduction import Conduction, ConductionPhase
from hpcms.plan.bounds import bounds
from hpcms.problem.mesh import Domain, build_mesh
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

ZONES = 20  # cells of a plate
SWEEPS = 2
DEADLINE = 600.0  # s for one task


@dataclasses.dataclass(frozen=True)
class Timed:
    """What a task gives back: arrays and its record."""

    arrays: Arrays
    record: TaskRecord


def cell(key: str, plate: int, zone: int, below: Timed | None) -> Timed:
    """A fine task: the cell of one zone, from rest, under the gradient that the plate has there."""
    rng = np.random.default_rng([plate, zone])
    edge = int(rng.integers(12, 42))
    model = Conduction({"a": ConductionPhase(1.0), "b": ConductionPhase(float(rng.uniform(5, 50)))}, tolerance=1e-8)
    phases = (rng.random((1, edge, edge, edge // 2)) < rng.uniform(0.1, 0.5)).astype(np.uint8)
    gradient = np.array([[1.0, 0.0, 0.0]]) if below is None else below.arrays["gradient"][zone : zone + 1]
    state = model.begin(Regions(np.array([zone]), phases, ("a", "b")))
    inputs = (below.record.key,) if below is not None else ()
    solved, record = tasks.measured(
        key, "fine", inputs, lambda: model.solve({"gradient": gradient}, state, np.zeros(1, np.uint64))
    )
    return Timed({"tangent": solved[0]["tangent"], "flux": solved[0]["flux"]}, record)


@cache
def plate_model() -> Any:
    """A steady plate, warm on the left and cold on the right, with heat that enters at its top."""
    mesh = build_mesh(Domain("rectangle", (2.0, 1.0), (60, 30)))
    sides = (
        HeatBoundary("left", temperature=20.0),
        HeatBoundary("right", temperature=0.0),
        HeatBoundary("top", flux=3.0),
    )
    heat = Heat(initial=0.0, boundary=sides, steady=True)
    return mesh, coarse.compose({"heat": (heat, "cells")}, mesh)


def plate(key: str, cells: list[Timed], before: Timed | None) -> Timed:
    """A coarse task: one PETSc solve with the tensors of the zones, and the mean gradient in each zone."""
    mesh, model = plate_model()
    zone = np.minimum((mesh.sites[:, 0] / 2.0 * ZONES).astype(int), ZONES - 1)
    tangent = np.concatenate([c.arrays["tangent"] for c in cells])[zone]
    step = Step(1, 1.0, 1.0, model.begin())

    def solve() -> tuple[Arrays, Array]:
        u = model.predict(step) if before is None else {"temperature": before.arrays["temperature"]}
        gradient = model.sites(u, step)["cells"]["gradient"]
        answers = {"flux": np.einsum("sij,sj->si", tangent, gradient), "tangent": tangent}
        u = model.advance(u, {"cells": answers}, step).u
        gradient = model.sites(u, step)["cells"]["gradient"]
        weights = mesh.weights[:, None]
        means = [np.sum((gradient * weights)[zone == z], 0) / np.sum(weights[zone == z]) for z in range(ZONES)]
        return {"temperature": u["temperature"]}, np.array(means)

    inputs = tuple(c.record.key for c in cells)
    (u, gradient), record = tasks.measured(key, "coarse", inputs, solve)
    return Timed({**u, "gradient": gradient}, record)


def submit(executor: Executor, plates: int) -> list[Any]:
    """The whole graph at once, sweep by sweep; plate by plate within a sweep, so that their solves interleave."""
    last: list[Any] = [None] * plates
    refs = []
    for sweep in range(SWEEPS):
        for p in range(plates):
            cells = []
            for z in range(ZONES):
                key = f"cell/{p}/{sweep}/{z}"
                cells.append(executor.submit(cell, key, p, z, last[p], key=key))
            key = f"plate/{p}/{sweep}"
            last[p] = executor.submit(plate, key, cells, last[p], key=key)
            refs += [*cells, last[p]]
    return refs


def computed(executor: Executor, plates: int) -> list[Timed]:
    """All results of the graph in the order of submission."""
    return [executor.result(ref, DEADLINE) for ref in submit(executor, plates)]


def one_by_one(executor: Executor, count: int = 40) -> list[Timed]:
    """Cells of which each waits for the one before."""
    keys = [f"one/{n}" for n in range(count)]
    return [executor.result(executor.submit(cell, key, 0, n, None, key=key), DEADLINE) for n, key in enumerate(keys)]


def warm(number: int) -> int:
    """Load PETSc and the compiled kernels in this worker before the clock starts."""
    plate("warm", [cell("warm", number, 0, None)] * ZONES, None)
    return number


def durations(results: list[Timed]) -> list[TaskRecord]:
    """Records whose cost is the time that the task held its worker."""
    return [dataclasses.replace(r.record, cpu_s=r.record.end - r.record.start) for r in results]


def at_once(records: list[TaskRecord]) -> int:
    """The largest number of tasks that ran at the same moment."""
    events = sorted([(r.start, 1) for r in records] + [(r.end, -1) for r in records])
    return int(np.cumsum([change for _, change in events]).max())


def _session(context: Context, plates: int) -> tuple[list[Timed], list[Timed], int]:
    """The graph and the cells one by one on the same local workers, and the number of workers."""

    def make() -> tuple[list[Timed], list[Timed], int]:
        with open_executor("local", min(2, default_workers()), context.folder("parallel")) as executor:
            for ref in [executor.submit(warm, i, key=f"warm/{i}") for i in range(2 * executor.workers)]:
                executor.result(ref, DEADLINE)
            return computed(executor, plates), one_by_one(executor), executor.workers

    made: tuple[list[Timed], list[Timed], int] = context.once(f"graph {plates}", make)
    return made


def _graph(context: Context, plates: int) -> tuple[list[Timed], int]:
    graph, _, workers = _session(context, plates)
    return graph, workers


@further_runs
def fine_solves(context: Context, plates: int) -> float:
    """Number of fine solves in the graph."""
    return float(sum(r.record.kind == "fine" for r in _graph(context, plates)[0]))


@further_runs
def concurrency_over_workers(context: Context, plates: int) -> float:
    """The largest number of tasks that ran at the same moment, over the number of workers."""
    results, workers = _graph(context, plates)
    return at_once(durations(results)) / workers


@further_runs
def wall_over_bound(context: Context, plates: int) -> float:
    """Wall time over the larger of the longest chain of tasks and the work divided by the workers."""
    results, workers = _graph(context, plates)
    records = durations(results)
    wall = max(r.end for r in records) - min(r.start for r in records)
    b = bounds(records, workers)
    return wall / max(b.span_s, b.work_s / workers)


@further_runs
def coarse_beside_fine(context: Context, plates: int) -> float:
    """Number of coarse solves during which a cell of another plate was being solved."""
    records = durations(_graph(context, plates)[0])
    fine = [r for r in records if r.kind == "fine"]

    def beside(c: TaskRecord) -> bool:
        own = c.key.split("/")[1]
        return any(f.start < c.end and f.end > c.start and f.key.split("/")[1] != own for f in fine)

    return float(sum(beside(r) for r in records if r.kind == "coarse"))


@further_runs
def differing_arrays(context: Context, plates: int, serial: int) -> float:
    """Arrays of the first ``serial`` plates (they need none of the others) that the serial executor gives otherwise."""
    found = {r.record.key: r.arrays for r in _graph(context, plates)[0]}
    with open_executor("inline", None, context.folder("serial")) as executor:
        alone = computed(executor, serial)
    pairs = [(r.arrays[name], found[r.record.key][name]) for r in alone for name in r.arrays]
    return float(sum(a.tobytes() != b.tobytes() for a, b in pairs))


@further_runs
def concurrency_one_by_one(context: Context, plates: int) -> float:
    """Tasks at once where each waits for the one before: the measure has to see that nothing ran side by side."""
    return float(at_once(durations(_session(context, plates)[1])))


QUANTITIES = {
    "fine_solves": fine_solves,
    "concurrency_over_workers": concurrency_over_workers,
    "wall_over_bound": wall_over_bound,
    "coarse_beside_fine": coarse_beside_fine,
    "differing_arrays": differing_arrays,
    "concurrency_one_by_one": concurrency_one_by_one,
}
