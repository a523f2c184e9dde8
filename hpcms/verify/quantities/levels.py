"""Fine solves where they are called for, against the run in which every region is solved."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array, Arrays, FineRequest, Step
from hpcms.coupling import find, look_at, talk_with
from hpcms.engine.build import build, domain_of
from hpcms.errors import NumericalFailure
from hpcms.job import load_job
from hpcms.problem.mesh import Mesh, build_mesh
from hpcms.store.run import OpenedRun
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs


def _fine(context: Context) -> str:
    return context.job.coarse["solid"].fine or ""


def _variant(context: Context, overrides: dict[str, Any] | None) -> OpenedRun:
    """The job's run, or one with other values; ``__`` stands for a dot."""
    if not overrides:
        return context.run
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return context.variant(str(sorted(dotted.items())), dotted)


def goals(run: OpenedRun, mesh: Mesh, step: int | None = None) -> Array:
    """(2,) m: how far the rim of the hole moves along x at the x axis, and along y at the y axis; at the end or after a step."""
    x, y = mesh.nodes.T
    u = run.read("coarse/displacement", step).reshape(-1, 2)
    beside, above = (np.flatnonzero(other == 0) for other in (y, x))
    return np.array([u[beside[x[beside].argmin()], 0], u[above[y[above].argmin()], 1]])


def count(run: OpenedRun, fine: str) -> float:
    """Fine solves of a run."""
    return float(sum(meta["fine"].get(fine, {}).get("solves", 0) for meta in run.steps()))


@further_runs
def goal_error(context: Context, fine: str, overrides: dict[str, Any] | None = None) -> float:
    """Largest relative error of the two goals against the run in which ``fine`` answers everywhere."""
    mesh = build_mesh(domain_of(context.job))
    full = goals(context.variant(f"all {fine}", {"coarse.solid.fine": fine}), mesh)
    return float(np.max(np.abs(goals(_variant(context, overrides), mesh) / full - 1)))


@further_runs
def goal_shift_over_tolerance(context: Context, fine: str, goal: dict[str, Any], anchors: int) -> float:
    """How far the displacement that ``goal`` names is from the run in which ``fine`` answers, over its tolerance.

    No region is asked for its stress; the adjoint and the spot checks alone decide.
    """
    name = _fine(context)
    own = {f"fine.{name}.stress": "1 TPa", f"fine.{name}.goal": goal, f"fine.{name}.anchors": anchors}
    run, full = context.variant("towards a goal", own), context.variant(f"all {fine}", {"coarse.solid.fine": fine})
    mesh = build_mesh(domain_of(context.job))
    found = load_job(context.job.path, size=context.job.size, overrides=own).fine[name].params.goal
    node = int(np.argmin(np.linalg.norm(mesh.nodes - np.array(found.at), axis=1)))
    moved = [r.read("coarse/displacement").reshape(-1, 2)[node, "xy".index(found.component)] for r in (run, full)]
    return float(abs(moved[0] - moved[1]) / found.tolerance)


@further_runs
def solves_towards_a_goal(context: Context, fine: str) -> float:
    """Fine solves of that run, over those of the run in which ``fine`` answers everywhere."""
    run, full = context.variant("towards a goal", {}), context.variant(f"all {fine}", {"coarse.solid.fine": fine})
    return (1 + count(run, _fine(context))) / count(full, fine)


@further_runs
def solves(context: Context, overrides: dict[str, Any] | None = None) -> float:
    """Fine solves that the run has logged."""
    return count(_variant(context, overrides), _fine(context))


@further_runs
def solves_over_those_of(context: Context, fine: str, overrides: dict[str, Any] | None = None) -> float:
    """Fine solves, with one for the tangent at rest, over those of the run in which ``fine`` answers everywhere."""
    full = context.variant(f"all {fine}", {"coarse.solid.fine": fine})
    return (1 + solves(context, overrides)) / count(full, fine)


def flagged_share(context: Context) -> float:
    """Regions with a fine answer at the end of the run, over all."""
    return float((context.run.read(f"sites/{_fine(context)}/level") > 1).mean())


def farthest_flagged(context: Context) -> float:
    """Distance of the farthest region with a fine answer from the centre of the hole, in its radii."""
    mesh = build_mesh(domain_of(context.job))
    asked = context.run.read(f"sites/{_fine(context)}/level") > 1
    return float(np.hypot(*mesh.sites[asked].T).max() / mesh.domain.radius)


@further_runs
def rim_stress_over_remote(context: Context) -> float:
    """Hoop stress at the rim over the remote stress, where nothing creeps.

    Kirsch's field is fitted to the Gauss points nearest to the rim, so it is the value at the rim itself.
    """
    mesh = build_mesh(domain_of(context.job))
    run = context.variant("elastic", {f"fine.{_fine(context)}.stress": "1 TPa"})
    stress = run.read(f"sites/{_fine(context)}/stress")
    pulled = -next(b.pressure for b in context.job.coarse["solid"].params.boundary if b.pressure)
    r, angle = np.hypot(*mesh.sites.T), np.arctan2(mesh.sites[:, 1], mesh.sites[:, 0])
    c, s, q = np.cos(angle), np.sin(angle), (mesh.domain.radius / r) ** 2
    hoop = stress[:, 0] * s**2 + stress[:, 1] * c**2 - np.sqrt(2) * stress[:, 5] * s * c
    kirsch = 0.5 * (1 + q) - 0.5 * (1 + 3 * q**2) * np.cos(2 * angle)
    near = r < np.quantile(r, 4 * mesh.domain.elements[0] / len(r))  # the first ring of cells
    return float(3.0 * (hoop[near] @ kirsch[near]) / (kirsch[near] @ kirsch[near]) / pulled)


@further_runs
def logged_over_flagged(context: Context) -> float:
    """Fine solves that the run has logged over the regions above the threshold in all sweeps.

    Counted here by walking through the job's steps once more, with nothing but the stress of the linear answer.
    """
    job = load_job(context.job.path, size=context.job.size, overrides=context.overrides)
    problem, name = build(job), _fine(context)
    part, limit = problem.parts[name], job.fine[name].params.stress
    ids, seeds = np.arange(len(part.offsets)), np.zeros(len(part.offsets), np.uint64)
    state = part.model.begin(part.source.cut(part.source.labels(), ids, part.offsets))
    u, t, flagged = problem.coarse.begin(), 0.0, 0
    rate: Arrays = {}
    for index, end in enumerate(problem.plan.times, 1):
        step = Step(index, end, end - t, u, rate)
        talk = talk_with({name: part.model}, problem.plan.tolerance, problem.plan.max_sweeps)
        scheme = find("nested").begin(look_at(problem.coarse, step), talk)
        before = state["asked"] > 0
        while not scheme.done:
            for request in scheme.ask():
                if not isinstance(request, FineRequest):
                    scheme.tell(request.key, problem.coarse.advance(request.u, request.answers, step))
                    continue
                s = np.einsum("rij,rj->ri", state["rest_tangent"], request.drive["strain"])
                s[:, :3] -= s[:, :3].mean(axis=1, keepdims=True)
                flagged += int((before | (np.sqrt(1.5 * (s * s).sum(axis=1)) > limit)).sum())
                answers, trial, _ = part.model.solve(request.drive, state, seeds)
                scheme.tell(request.key, answers)
        if scheme.failed:
            raise NumericalFailure(scheme.failed)
        rate = {key: (scheme.u[key] - u[key]) / step.dt for key in u}
        u, t, state = scheme.u, end, trial
    problem.coarse.close()
    return count(context.run, name) / flagged


QUANTITIES = {
    "goal_error": goal_error,
    "goal_shift_over_tolerance": goal_shift_over_tolerance,
    "solves_towards_a_goal": solves_towards_a_goal,
    "solves": solves,
    "solves_over_those_of": solves_over_those_of,
    "flagged_share": flagged_share,
    "farthest_flagged": farthest_flagged,
    "rim_stress_over_remote": rim_stress_over_remote,
    "logged_over_flagged": logged_over_flagged,
}
