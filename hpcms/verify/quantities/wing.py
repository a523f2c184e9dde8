"""A panel whose cells crack around a hole: homogenised cells against cracks that the mesh resolves.

Both panels share mesh, strength and rule: of the cells that are whole the one with the largest mean stress across its slit,
relative to its strength, cracks next, at the load that takes it there. Under one load after the other the panel is linear.
The load at which a share of the stiffness is gone is the largest one needed until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcms import coarse
from hpcms.coarse.composition import Composition
from hpcms.contracts import Array, Regions, Step
from hpcms.engine.build import domain_of, fine_model
from hpcms.errors import NumericalFailure
from hpcms.fine.laminate import isotropic
from hpcms.job import Job, load_job
from hpcms.problem.mesh import Mesh, build_mesh
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs

EDGE, SLIT = (
    5,
    (slice(1, 4), 2),
)  # elements of a cell along an edge; those of its slit: along the radius, around the hole
SOFT = 1e-6  # of the stiffness: what a resolved crack keeps, so that its nodes stay where they are
SCATTER = 0.3  # of the strength, over the cells
STEP = Step(1, 1.0, 1.0, {})
Tangents = Callable[[Array], Array]  # (cells,) cracked -> (S, 6, 6)


@dataclass(frozen=True, eq=False)
class Panel:
    """``cell``: (S,) the cell of each site; ``slit``: (S,) is it in the slit; ``angle``: (cells,) from the x axis."""

    mesh: Mesh
    model: Composition
    cell: Array
    slit: Array
    angle: Array

    def solve(self, tangent: Array) -> tuple[float, Array]:
        """Stiffness (1/m, of the job's load) and stresses (S, 6) under the job's load."""
        u = self.model.begin()
        nothing = {"stress": np.zeros((len(tangent), 6)), "tangent": tangent}
        advance = self.model.advance(u, {"cell": nothing}, STEP)
        if not advance.ok:
            raise NumericalFailure(f"the panel could not be solved: {advance.reason}")
        strain = self.model.sites(advance.u, STEP)["cell"]["strain"]
        moved = advance.u["displacement"].reshape(-1, 2)[:, 0]
        share = self.mesh.share("right")
        return float(share.sum() / (share @ moved)), np.einsum("rij,rj->ri", tangent, strain)

    def across(self, stress: Array) -> Array:
        """(cells,) mean hoop stress, which opens the slits."""
        weight = self.mesh.weights
        mean = np.stack([np.bincount(self.cell, weight * s) / np.bincount(self.cell, weight) for s in stress.T], axis=1)
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(mean[:, 0] * s**2 + mean[:, 1] * c**2 - np.sqrt(2.0) * mean[:, 5] * s * c)


def _panel(job: Job) -> Panel:
    mesh = build_mesh(domain_of(job))
    model = coarse.compose({"solid": (job.coarse["solid"].params, "cell")}, mesh, petsc=job.petsc)
    around = mesh.domain.elements[0]
    j, i = mesh.site_cell // around, mesh.site_cell % around
    cell = (j // EDGE) * (around // EDGE) + i // EDGE
    pattern = np.zeros((EDGE, EDGE), bool)
    pattern[SLIT] = True
    x, y = (np.bincount(cell, p) for p in mesh.sites.T)
    return Panel(mesh, model, cell, pattern[j % EDGE, i % EDGE], np.arctan2(y, x))


def _cells(context: Context) -> Array:
    """(2, 6, 6) tangents of a whole and of a cracked cell, solved voxel by voxel; the slit lies along x."""
    phases = np.zeros((2, EDGE, EDGE, 1), np.uint8)
    phases[1][SLIT] = 1
    model = fine_model(context.job, "cell")
    state = model.begin(Regions(np.arange(2), phases, ("metal", "crack")))
    drive = {"strain": np.zeros((2, 6)), "temperature": np.full(2, 293.0), "dt": np.zeros(2)}
    answers, _, outcomes = model.solve(drive, state, np.zeros(2, np.uint64))
    if not all(o.ok for o in outcomes):
        raise NumericalFailure(f"a cell could not be solved: {outcomes[0].reason}, {outcomes[1].reason}")
    return np.asarray(answers["tangent"])


def turned(tangent: Array, angle: Array) -> Array:
    """(n, 6, 6) a plane tangent turned by each ``angle`` from x to y."""
    c, s = np.cos(angle), np.sin(angle)
    Q = np.tile(np.eye(6), (len(angle), 1, 1))
    r = np.sqrt(2.0)
    rows = ((c * c, s * s, -r * s * c), (s * s, c * c, r * s * c), (r * s * c, -r * s * c, c * c - s * s))
    for a, row in zip((0, 1, 5), rows, strict=True):
        for b, value in zip((0, 1, 5), row, strict=True):
            Q[:, a, b] = value
    return np.asarray(Q @ tangent @ np.swapaxes(Q, 1, 2))


def _homogenised(panel: Panel, cells: Array) -> Tangents:
    whole, cracked = turned(cells[0], panel.angle), turned(cells[1], panel.angle)
    return lambda broken: np.where(broken[:, None, None], cracked, whole)[panel.cell]


def _resolved(panel: Panel, cells: Array) -> Tangents:
    return lambda broken: cells[0] * np.where(broken[panel.cell] & panel.slit, SOFT, 1.0)[:, None, None]


def weakened(panel: Panel, tangents: Tangents, drop: float) -> tuple[float, int]:
    """The load, over the job's load at a strength of 1 Pa, at which the share ``drop`` of the stiffness is gone, and cracks."""
    count = len(panel.angle)
    strength = 1 + SCATTER * (2 * np.modf(np.arange(1, count + 1) * (np.sqrt(5) - 1) / 2)[0] - 1)
    broken, peak, first = np.zeros(count, bool), 0.0, 0.0
    while not broken.all():
        stiffness, stress = panel.solve(tangents(broken))
        first = first or stiffness
        if stiffness <= (1 - drop) * first:
            return peak, int(broken.sum())
        load = np.where(broken, -np.inf, panel.across(stress) / strength)
        peak = max(peak, 1 / float(load.max()))
        broken[int(load.argmax())] = True
    raise NumericalFailure("all cells have cracked and the panel is still too stiff")


def _both(context: Context, drop: float) -> tuple[tuple[float, int], tuple[float, int]]:
    def make() -> tuple[tuple[float, int], tuple[float, int]]:
        panel, cells = _panel(context.job), _cells(context)
        found = [weakened(panel, kind(panel, cells), drop) for kind in (_homogenised, _resolved)]
        panel.model.close()
        return found[0], found[1]

    made: tuple[tuple[float, int], tuple[float, int]] = context.once(f"weakened by {drop}", make)
    return made


@further_runs
def load_over_resolved(context: Context, drop: float) -> float:
    """Load at which the share ``drop`` of the stiffness is gone, homogenised over resolved."""
    one, other = _both(context, drop)
    return one[0] / other[0]


@further_runs
def cracks_over_resolved(context: Context, drop: float) -> float:
    """Cells that have cracked until then, homogenised over resolved."""
    one, other = _both(context, drop)
    return one[1] / other[1]


def stiffness_left_in_cracked_cell(context: Context) -> float:
    """Stiffness across the slit of a cracked cell over that of a whole one."""
    whole, cracked = _cells(context)
    return float(cracked[1, 1] / whole[1, 1])


@further_runs
def difference_to_plain_elasticity(context: Context, elements: tuple[int, int]) -> float:
    """Relative difference of the displacement to the panel with Hooke's law at every Gauss point, without cells.

    On a mesh of ``elements``, with a whole cell solved at every point.
    """
    own = {"domain.elements": list(elements), "coarse.solid.fine": "cell"}
    job = load_job(context.job.path, size=context.job.size, overrides={**context.overrides, **own})
    panel, metal = _panel(job), job.fine["cell"].params.phases["metal"]
    C = isotropic(metal.youngs_modulus, metal.poisson_ratio)
    nothing = {"stress": np.zeros((len(panel.cell), 6)), "tangent": np.tile(C, (len(panel.cell), 1, 1))}
    u = panel.model.advance(panel.model.begin(), {"cell": nothing}, STEP).u["displacement"].ravel()
    panel.model.close()
    run = context.variant("every cell", own).read("coarse/displacement").ravel()
    return float(np.linalg.norm(run - u) / np.linalg.norm(u))


QUANTITIES = {
    "load_over_resolved": load_over_resolved,
    "cracks_over_resolved": cracks_over_resolved,
    "stiffness_left_in_cracked_cell": stiffness_left_in_cracked_cell,
    "difference_to_plain_elasticity": difference_to_plain_elasticity,
}
