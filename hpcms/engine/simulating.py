"""A job on a machine that is not there: its real run loop and real numerics, with simulated clocks (``hpcms plan --simulate``)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hpcms.contracts import Step
from hpcms.coupling import look_at
from hpcms.engine import running
from hpcms.engine.build import Problem
from hpcms.engine.loading import loading
from hpcms.engine.planning import built
from hpcms.engine.simulated import SimulatedExecutor
from hpcms.engine.summary import ahead, efficiency, elapsed
from hpcms.errors import BadInput
from hpcms.job import Job, load_job
from hpcms.plan.machine import Machine
from hpcms.store.run import open_run


def simulate(
    job: Path | str,
    machine: Machine,
    *,
    size: str | None = None,
    plugins: bool = False,
    overrides: Mapping[str, object] | None = None,
    progress: Any = None,
) -> dict[str, Any]:
    """Seconds of a run of ``job`` on ``machine``, its bounds and idle time; takes the CPU time of the whole run, here.

    Where the job leaves the size of batches open, they are made small enough for all workers to have one.
    """
    loaded = load_job(Path(job), size=size, overrides=overrides, plugins=plugins)
    problem = built(loaded, _rows(loaded, machine.workers))
    start = _load(problem)
    with tempfile.TemporaryDirectory(prefix="hpcms-simulated-") as folder:
        rundir = Path(folder) / "run"
        store = running.created(problem, rundir)
        running.drive(problem, store, SimulatedExecutor(machine, rundir, start), rundir, progress)
        opened = open_run(rundir)
        records, steps, state_hash = opened.records(), opened.steps(), opened.head.state_hash
    wall, seen = elapsed(records), efficiency(records, machine.workers)
    ratios = {"t_over_lb0": "lower_bound_s", "t_over_lb1": "lb1_s", "t_over_lb2": "span_s"}
    return {
        "machine": asdict(machine), "wall_s": wall, **seen, "ahead": ahead(records, steps), "tasks": len(records),
        "state_hash": state_hash,
        **{name: wall / seen[bound] if seen[bound] > 0 else 0.0 for name, bound in ratios.items()},
    }  # fmt: skip


def _rows(job: Job, workers: int) -> dict[str, int] | None:
    """Regions of a batch by fine model: fewer than usual where there would be more workers than batches."""
    if job.coupling.batch != "auto":
        return None
    usual, count = running.rows_of(built(job)), {}
    for name, part in built(job).parts.items():
        regions = part.batches[-1][1]
        if workers > regions:
            raise BadInput(f"{workers} workers are more than the {regions} regions", "simulate at most one a region")
        count[name] = max(min(usual[name], regions // workers), 1)
    return count


def _load(problem: Problem) -> float:
    """Seconds that each worker takes to load its kernels: the shorter of two times, as the first may compile them."""
    u, t = problem.coarse.begin(), problem.plan.times[0]
    drives = look_at(problem.coarse, Step(1, t, t, u, {}), lambda step, u: None).sites(u)
    work = []
    for name, part in problem.parts.items():
        lo, hi = part.batches[0]
        ids = np.arange(lo, hi, dtype=np.int64)
        state = part.model.begin(part.source.cut(part.source.labels(), ids, part.offsets[lo:hi]))
        drive = part.bridge.lift({n: v[lo:hi] for n, v in drives[name].items()})
        work.append((part.model, drive, state, np.zeros(hi - lo, np.uint64)))
    return min(loading(work) for _ in range(2))
