"""A beam whose every Gauss point is a cell: against the closed form, its Newton iterations, and its energy."""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.engine.build import domain_of
from hpcms.problem.mesh import build_mesh
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs
from hpcms.verify.quantities.dialogue import relative, sweeps_of
from hpcms.verify.quantities.history import over_steps, work_increments


@further_runs
def difference_to_closed_form(context: Context, closed: str) -> float:
    """Largest relative difference of the displacement to the run in which ``closed`` answers at the Gauss points."""
    other = context.variant(f"closed {closed}", {"coarse.solid.fine": closed})
    return relative(context.run.read("coarse/displacement"), other.read("coarse/displacement"))


@further_runs
def difference_to_other_stiffness(context: Context, closed: str, overrides: dict[str, str]) -> float:
    """The same with another stiffness in the closed form: it has to be seen."""
    changed = {key.replace("__", "."): value for key, value in overrides.items()}
    other = context.variant("other stiffness", {"coarse.solid.fine": closed, **changed})
    return relative(context.run.read("coarse/displacement"), other.read("coarse/displacement"))


def _creeping(context: Context, fine: str) -> OpenedRun:
    return context.variant(f"creeping {fine}", {"coarse.solid.fine": fine})


@further_runs
def newton_order(context: Context, fine: str, step: int, floor: float = 1e-12) -> float:
    """log(r_k+1 / r_k) / log(r_k / r_k-1) of the last three residuals of a step that are above ``floor``."""
    found = [float(sweep["residual"]) for sweep in sweeps_of(_creeping(context, fine), step)]
    r = np.array([x for x in found if x > floor])[-3:]
    if len(r) < 3:
        raise ValueError(f"only {len(r)} residuals are above {floor}")
    return float(np.log(r[2] / r[1]) / np.log(r[1] / r[0]))


@further_runs
def work_of_load_over_energy(context: Context, fine: str, side: str = "top") -> float:
    """Work of the pressure on a side over what the cells stored and dissipated, over the whole run.

    The work is the pressure on the displacement of the side, trapezoids along it; nothing of the coarse model is used.
    """
    run = _creeping(context, fine)
    mesh = build_mesh(domain_of(context.job))
    boundary = next(b for b in context.job.coarse["solid"].params.boundary if b.side == side and b.pressure)
    nodes = np.flatnonzero(np.isclose(run.read("coarse/y"), mesh.nodes[:, 1].max()))
    nodes = nodes[np.argsort(run.read("coarse/x")[nodes])]
    x = run.read("coarse/x")[nodes]
    down = [-run.read("coarse/displacement", n).reshape(-1, 2)[nodes, 1] for n in range(run.head.step + 1)]
    outer = boundary.pressure * np.trapezoid(np.diff(np.array(down), axis=0), x, axis=1).sum()
    return float(outer / _inner(run, fine, mesh.weights))


def _inner(run: OpenedRun, fine: str, weights: Array) -> float:
    stored = over_steps(run, fine, "energy")[-1]
    return float((stored + over_steps(run, fine, "dissipation").sum(axis=0)) @ weights)


@further_runs
def work_over_energy_of_cells(context: Context, fine: str) -> float:
    """Macro work of all Gauss points over what their cells stored and dissipated, over the whole run."""
    run, weights = _creeping(context, fine), build_mesh(domain_of(context.job)).weights
    return float((work_increments(run, fine).sum(axis=0) @ weights) / _inner(run, fine, weights))


QUANTITIES = {
    "difference_to_closed_form": difference_to_closed_form,
    "difference_to_other_stiffness": difference_to_other_stiffness,
    "newton_order": newton_order,
    "work_of_load_over_energy": work_of_load_over_energy,
    "work_over_energy_of_cells": work_over_energy_of_cells,
}
