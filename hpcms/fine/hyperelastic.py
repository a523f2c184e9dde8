"""Rubber-like phases at finite strain in a periodic voxel cell under a mean deformation gradient; a phase may be void.

Compressible neo-Hooke (``kernels/hex8_finite`` has the formulas), polyconvex:

    W = mu/2 (F:F - 3 - 2 ln J) + lam/4 (J^2 - 1 - 2 ln J),     P = dW/dF,

with the Lame moduli of the small strain limit. Answers are the mean first Piola-Kirchhoff stress <P>, the condensed tangent
d<P>/d<F>, the mean energy and <P:F>, all per undeformed volume. The law has no history; where a cell can buckle, its branch is the
one reached from the last committed state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput
from hpcms.kernels.cell_points import PointCell
from hpcms.kernels.elements import load_bearing
from hpcms.kernels.finite_cell import Answer, FiniteSolver, State


@dataclass(frozen=True)
class RubberPhase:
    """Moduli of the small strain limit; without ``youngs_modulus`` the phase is void."""

    youngs_modulus: Annotated[float, Unit("Pa", least=0)] = 0.0
    poisson_ratio: Annotated[float, Unit("", least=0, below=0.5)] = 0.3
    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0

    @property
    def lame(self) -> tuple[float, float]:
        """lam and mu."""
        E, nu = self.youngs_modulus, self.poisson_ratio
        return E * nu / ((1.0 + nu) * (1.0 - 2.0 * nu)), E / (2.0 * (1.0 + nu))


@dataclass(frozen=True)
class Hyperelastic:
    """Mean first Piola-Kirchhoff stress for a mean deformation gradient.

    Drive ``deformation`` (R, 9) or (R, 3, 3): F in the order 11 12 13 21 22 23 31 32 33, first index the component. Answers
    ``stress`` (R, 9), ``tangent`` (R, 9, 9), ``work`` <P:F>, ``energy``, ``density`` (of the undeformed cell).

    State, leading axis R: ``phase``, ``loaded``, ``spacing`` as in the other cells; ``stretch`` (9), the last U of F = R U, and
    ``displacement`` (3, nx, ny, nz) m, the fluctuation at it, before the rotation. Guesses: ``response`` (9, 3, nx, ny, nz).
    """

    phases: dict[str, RubberPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-8
    tangent_tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-4
    max_iterations: Annotated[int, Unit("", least=1)] = 25

    drives: ClassVar[tuple[str, ...]] = ("deformation",)
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "work", "energy", "density")
    guesses: ClassVar[tuple[str, ...]] = ("response",)
    pairing: ClassVar[tuple[str, str] | None] = ("deformation", "stress")

    def begin(self, regions: Regions) -> Arrays:
        """At rest."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"hyperelastic has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        phase, R = own[regions.phases], len(regions)
        solid, shape = np.array([each.youngs_modulus > 0 for each in self.phases.values()]), phase.shape[1:]
        return {
            "phase": phase,
            "loaded": np.array([load_bearing(solid[image]) for image in phase]),
            "spacing": np.tile(np.array(regions.spacing, float), (R, 1)),
            "stretch": np.tile(np.eye(3).reshape(9), (R, 1)),
            "displacement": np.zeros((R, 3, *shape)),
            "response": np.zeros((R, 9, 3, *shape)),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers, new state and outcomes; a region that fails keeps its state and answers zero."""
        R = len(state["phase"])
        new = {name: value.copy() for name, value in state.items()}
        shapes = {"stress": (9,), "tangent": (9, 9)}
        answers = {name: np.zeros((R, *shapes.get(name, ()))) for name in self.answers}
        outcomes, density = [], np.array([phase.density for phase in self.phases.values()])
        for r in range(R):
            F = np.asarray(drive["deformation"][r], float).reshape(3, 3)
            count = np.bincount(state["phase"][r].ravel(), minlength=density.size)
            answers["density"][r] = count @ density / count.sum()
            if not (np.isfinite(F).all() and np.linalg.det(F) > 0.0):
                reason = (
                    "the mean deformation gradient is not finite or turned inside out (det F <= 0): shorten the step"
                )
                outcomes.append(Outcome(False, reason, residual=np.inf))
                continue
            rotation, stretch = polar(F)
            cell, found, answer = self._region({k: v[r] for k, v in state.items()}, stretch.reshape(9))
            outcomes.append(Outcome(found.ok, found.reason, found.newton, found.linear, found.residual))
            if answer is None:
                continue
            new["stretch"][r], new["displacement"][r] = found.stretch, cell.collect(found.u)
            new["response"][r] = [cell.collect(x) for x in answer.response]
            turn = np.kron(rotation, np.eye(3))
            answers["stress"][r], answers["tangent"][r] = turn @ answer.stress, turn @ answer.tangent @ turn.T
            answers["work"][r], answers["energy"][r] = answer.work, answer.energy
        return answers, new, outcomes

    def _region(self, state: Arrays, stretch: Array) -> tuple[PointCell, State, Answer | None]:
        hx, hy, hz = state["spacing"].tolist()
        cell = PointCell(state["phase"], state["loaded"], (hx, hy, hz))
        lam, mu = ([phase.lame[i] for phase in self.phases.values()] for i in (0, 1))
        solver = FiniteSolver(cell, lam, mu, self.tolerance, self.tangent_tolerance, self.max_iterations)
        response = np.array([cell.spread(x) for x in state["response"]])
        found = solver.reach(stretch, state["stretch"], cell.spread(state["displacement"]), response)
        if not found.ok:
            return cell, found, None
        answer = solver.answer(found, response)
        if found.residual > self.tolerance:
            found.ok, found.reason = False, "the residual stagnates in rounding: accept a larger tolerance"
            return cell, found, None
        return cell, found, answer

    def cost(self, regions: Regions) -> Array:
        """Seconds: about 300 passes of 250 ns a solid voxel and 60 ns a voxel, and 50 us a pass."""
        solid = np.array([self.phases[name].youngs_modulus > 0 for name in regions.names])
        count = solid[regions.phases].reshape(len(regions), -1)
        return 300.0 * (50e-6 + 250e-9 * count.sum(axis=1) + 60e-9 * count.shape[1])


def polar(F: Array) -> tuple[Array, Array]:
    """Rotation R and symmetric stretch U with F = R U, det F > 0."""
    left, values, right = np.linalg.svd(F)
    return left @ right, right.T @ np.diag(values) @ right


MODEL = Hyperelastic
