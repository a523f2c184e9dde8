"""From a job to the parts of a run: coarse model, fine parts, plan of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcms import coarse, coupling
from hpcms.bridge.average import Average
from hpcms.coarse.composition import Composition
from hpcms.contracts import Array, CoarseModel, FineModel, Step
from hpcms.engine.exchange import Part, batches
from hpcms.engine.loop import Plan
from hpcms.errors import BadInput
from hpcms.job import Job
from hpcms.problem.mesh import Domain, Mesh, build_mesh
from hpcms.problem.regions import Source
from hpcms.stepping import SHARE

SAMPLE = 4  # regions whose cost is asked for
SHORTEST, LONGEST = 0.2, 0.5  # seconds of a task that solves; one that iterates takes half, and 4 ms beside its work
FEWEST, SPREAD = 8, 64  # tasks that a sweep is to have: at least where they are short, and where they can last
LIVE_TASKS = 10**5
EVEN = 4  # tasks of a sweep are rounded up to a multiple of this, as far as whole regions allow: few workers have equal shares


@dataclass(frozen=True)
class Problem:
    """All that a run needs, before anything is started."""

    job: Job
    mesh: Mesh
    coarse: CoarseModel
    parts: dict[str, Part]
    plan: Plan
    seed: int


def build(job: Job, rows: Mapping[str, int] | None = None) -> Problem:
    """Mesh, coarse fields and fine parts of a job. Reads the image once to place the windows.

    ``rows``: regions of a batch by fine model, of a run that has begun; default: what the job says.
    """
    mesh = build_mesh(domain_of(job))
    model = coarse.compose(
        {name: (spec.params, spec.fine) for name, spec in job.coarse.items()},
        mesh,
        mode=job.coupling.fields,
        petsc=job.petsc,
        ranks=job.coupling.ranks,
        sites=job.sites,
        relaxation=job.coupling.relaxation,
    )
    parts = parts_of(job, len(mesh.sites), rows or {})
    for part in parts.values():
        if getattr(getattr(part.model, "params", None), "goal", None):
            part.model = towards_goal(part, model, mesh)
        if "strain_slope" in part.model.drives:
            model.sloped[part.name] = mesh.sites
        heat: Any
        for heat in (f for f in model.fields if f.fine == part.name and f.unknown == "temperature"):
            heat.warms = "temperature" in part.model.drives
    return Problem(job, mesh, model, parts, plan_of(job), job.seed)


def towards_goal(part: Part, model: Composition, mesh: Mesh) -> FineModel:
    """A model of levels with the influence of each region on its goal; the tangents are those of the first cell at rest."""
    from hpcms.coarse.adjoint import adjoint, influence

    chosen: Any = part.model
    field = next(f for f in model.fields if f.fine == part.name)
    if len(field.shape) != 2 or mesh.dimension != 2:
        raise BadInput(f"fine.{part.name}.goal: needs the displacement of a plane domain")
    tangent = chosen.begin(part.source.cut(part.source.labels(), np.arange(1), part.offsets[:1]))["rest_tangent"]
    step, goal = Step(1, 1.0, 1.0, {}), np.zeros(field.shape)
    node = int(np.argmin(np.linalg.norm(mesh.nodes - np.array(chosen.params.goal.at), axis=1)))
    goal[node, "xy".index(chosen.params.goal.component)] = 1.0
    answers = {part.name: {"tangent": np.repeat(tangent, len(mesh.sites), axis=0)}}
    z = adjoint(field, {field.unknown: field.begin()}, answers, step, goal)
    bound: FineModel = chosen.towards(influence(field, z, mesh.weights, "strain", step))
    return bound


def domain_of(job: Job) -> Domain:
    """The domain table as the mesh wants it."""
    d = job.domain
    if d.kind == "points":
        return Domain("points", elements=(len(job.sites),))
    if d.kind == "interval":
        return Domain("interval", (d.size,), (d.elements,), (d.grading,))
    return Domain(d.kind, d.size, d.elements, d.grading, getattr(d, "radius", 0.0))


def source_of(job: Job) -> Source:
    """Where the regions take their voxels from."""
    m = job.microstructure
    if m is None:
        return Source()
    if m.generator:
        return Source(
            m.phases, seed=m.seed, generator=m.generator, shape=m.shape or (1, 1, 1), fraction=m.fraction, axis=m.axis,
            spread=m.spread, voxel=m.voxel,
        )  # fmt: skip
    if not m.image or not m.window:
        raise BadInput("microstructure: needs image and window, or generator and shape")
    image = str(job.file(m.image).resolve())
    return Source(m.phases, image, m.threshold, m.coarsen, m.window, m.mirror, m.seed, voxel=m.voxel)


def parts_of(job: Job, count: int, rows: Mapping[str, int]) -> dict[str, Part]:
    """One part for each fine model that a field asks."""
    source = source_of(job)
    asked = {spec.fine for spec in job.coarse.values()}
    names = [name for name in job.fine if name in asked]
    labels = source.labels() if names else np.empty((0, 0, 0), np.uint8)
    offsets = source.offsets(labels.shape if source.image else (0, 0, 0), count)
    parts = {}
    for name in names:
        model, size = fine_model(job, name), job.coupling.batch
        if name in rows:
            size = rows[name]
        elif size == "auto":
            picked = np.unique(np.linspace(0, count - 1, SAMPLE).astype(int))
            size = batch_rows(model.cost(source.cut(labels, picked, offsets[picked])), count)
        parts[name] = Part(name, model, source, offsets, batches(count, size), Average(model.pairing))
    return parts


def batch_rows(cost: Array, count: int) -> int:
    """Regions of a task that lasts up to half a second: long beside the milliseconds that a task costs all who handle it.

    ``cost``: (sample,) expected seconds of a region. Some tens of tasks keep many workers busy as long as none is
    shorter than 0.2 s; a few keep two or three busy; and there are never more than ``LIVE_TASKS``.
    """
    each = max(float(cost.mean()), 1e-9)
    rows = max(min(SHORTEST / each, count / FEWEST), min(LONGEST / each, count / SPREAD), count / LIVE_TASKS, 1.0)
    tasks = max(round(count / rows), 1)
    tasks += -tasks % EVEN if tasks > EVEN else 0
    return max(-(-count // tasks), 1)


def fine_model(job: Job, name: str) -> FineModel:
    """The fine model ``name`` of a job; one that wraps another is bound to it."""
    params = job.fine[name].params
    model: FineModel = params.bind(fine_model(job, params.fine)) if hasattr(params, "bind") else params
    return model


def plan_of(job: Job) -> Plan:
    """Equal steps; the smallest step defaults to 1/64 of one."""
    times = tuple(np.linspace(0.0, job.time.end, job.time.steps + 1)[1:].tolist())
    return Plan(
        times=times,
        min_step=job.time.min_step or job.time.end / job.time.steps / SHARE,
        scheme=coupling.find(job.coupling.scheme),
        tolerance=job.coupling.tolerance,
        max_sweeps=job.coupling.max_sweeps,
    )
