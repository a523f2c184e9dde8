"""The plastic plate with a hole: the figures of its table, and that they are consistent."""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.engine.build import domain_of
from hpcms.job import Job
from hpcms.problem.mesh import build_mesh
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities.levels import goals

FIGURES = {
    "opening at the peak": "um",
    "narrowing at the peak": "um",
    "opening left": "um",
    "narrowing left": "um",
    "dissipated": "J/m",
}


def values(run: OpenedRun, job: Job) -> Array:
    """``FIGURES`` of a run: how far the hole has opened along the load and narrowed across it, at the largest load and at the end;
    and what has been dissipated in the quarter of the plate, per metre of thickness."""
    mesh = build_mesh(domain_of(job))
    times = [meta["t"] for meta in run.steps()]
    peak = int(np.argmin(np.abs(np.array(times) - job.time.end / 2)))
    widened, left = goals(run, mesh, peak), goals(run, mesh)
    lost = sum(float(mesh.weights @ run.read("sites/cell/dissipation", n)) for n in range(1, len(times)))
    return np.array([*(1e6 * widened * (1, -1)), *(1e6 * left * (1, -1)), lost])


def reference_values(context: Context, figure: str) -> float:
    """One of ``FIGURES``."""
    return float(values(context.run, context.job)[list(FIGURES).index(figure)])


def work_of_the_load_over_that_of_the_cells(context: Context) -> float:
    """Sum over the steps of F_n . (u_n - u_(n-1)) over that of stress_n : (strain_n - strain_(n-1)) of all cells."""
    run, solid = context.run, context.job.coarse["solid"].params
    mesh = build_mesh(domain_of(context.job))
    (load,) = [part for part in solid.boundary if part.pressure is not None]
    force = -load.pressure * mesh.share(load.side, load.between)[:, None] * mesh.normal(load.side)
    outer = inner = 0.0
    u, strain = run.read("coarse/displacement", 0), np.zeros_like(run.read("sites/cell/strain", 1))
    for n, meta in list(enumerate(run.steps()))[1:]:
        moved, strained = run.read("coarse/displacement", n), run.read("sites/cell/strain", n)
        outer += load.share(meta["t"]) * float((force * (moved - u).reshape(force.shape)).sum())
        inner += float(mesh.weights @ (run.read("sites/cell/stress", n) * (strained - strain)).sum(axis=1))
        u, strain = moved, strained
    return outer / inner


QUANTITIES = {
    "reference_values": reference_values,
    "work_of_the_load_over_that_of_the_cells": work_of_the_load_over_that_of_the_cells,
}
