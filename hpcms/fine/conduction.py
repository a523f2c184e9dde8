"""Steady heat conduction in a periodic voxel cell of isotropic or anisotropic phases.

    div q = 0,   q = -k grad T,   <grad T> = g,   <q> = -K g

Conduction is linear: the three unit gradients are solved once, the first time a region is asked; afterwards the answers
are evaluations of the effective tensor. A phase with zero conductivity is a perfect insulator. In a polycrystal each
orientation is a phase with its own tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput

Row = tuple[float, float, float]


@dataclass(frozen=True)
class ConductionPhase:
    """A conductor: either one ``conductivity`` or a symmetric ``tensor`` (3 x 3) without negative eigenvalues.

    Density and heat capacity enter only the answer ``capacity``.
    """

    conductivity: Annotated[float, Unit("W/(m K)", least=0)] | None = None
    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0
    heat_capacity: Annotated[float, Unit("J/(kg K)", least=0)] = 0.0
    tensor: Annotated[tuple[Row, Row, Row], Unit("W/(m K)")] | None = None

    def matrix(self, name: str = "") -> Array:
        """(3, 3) W/(m K); ``BadInput`` where it is not a conductivity."""
        if (self.conductivity is None) == (self.tensor is None):
            raise BadInput(f"conduction: phase {name!r} needs either a conductivity or a tensor")
        k = float(self.conductivity or 0.0) * np.eye(3) if self.tensor is None else np.array(self.tensor, float)
        if not np.isfinite(k).all() or np.abs(k - k.T).max() > 1e-12 * np.abs(k).max():
            raise BadInput(f"conduction: the tensor of phase {name!r} must be finite and symmetric (got {k.tolist()})")
        if np.linalg.eigvalsh(k).min() < -1e-14 * np.abs(k).max():
            raise BadInput(f"conduction: phase {name!r} has a negative conductivity (got {k.tolist()})")
        return k


@dataclass(frozen=True)
class Conduction:
    """Mean flux ``q = -K g`` (W/m2) for a mean temperature gradient ``g`` (K/m), with its tangent ``-K``.

    State: ``phase`` (R, nx, ny, nz) uint8 in the order of ``phases``; ``spacing`` (R, 3) m; ``conductivity`` and
    ``energy`` (R, 3, 3), zero until solved. ``energy`` is ``<grad T_i . k grad T_j>`` of the micro fields; that it
    equals the mean flux is what the Hill-Mandel check of the bridge verifies.
    """

    phases: dict[str, ConductionPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-8
    max_iterations: Annotated[int, Unit("", least=1)] = 2000

    drives: ClassVar[tuple[str, ...]] = ("gradient",)
    answers: ClassVar[tuple[str, ...]] = ("flux", "tangent", "work", "capacity")
    guesses: ClassVar[tuple[str, ...]] = ("conductivity", "energy")
    solved_once: ClassVar[bool] = True  # for the plan: one solve a region and run, whatever the number of sweeps
    pairing: ClassVar[tuple[str, str] | None] = ("gradient", "flux")

    def begin(self, regions: Regions) -> Arrays:
        """State at rest; nothing is solved yet."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"conduction has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        for name, phase in self.phases.items():
            phase.matrix(name)
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        return {
            "phase": own[regions.phases],
            "spacing": np.tile(np.array(regions.spacing, float), (len(regions), 1)),
            "conductivity": np.zeros((len(regions), 3, 3)),
            "energy": np.zeros((len(regions), 3, 3)),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers under ``drive["gradient"]`` (R, 3); regions without a tensor are solved first."""
        from hpcms.kernels.outcomes import together

        K, energy = state["conductivity"].copy(), state["energy"].copy()
        outcomes = [Outcome(True, "evaluated: this region's tensor is known")] * len(K)
        unknown = np.flatnonzero(~energy.any(axis=(1, 2)))
        for spacing in np.unique(state["spacing"][unknown], axis=0):
            own = unknown[(state["spacing"][unknown] == spacing).all(axis=1)]
            cells = self._cells(state["phase"][own], spacing.tolist())
            for region, found in zip(own.tolist(), cells, strict=True):
                outcomes[region] = together(found.outcomes)
                if outcomes[region].ok:
                    K[region], energy[region] = found.conductivity, found.energy
        gradient = drive["gradient"]
        answers = {
            "flux": -np.einsum("rij,rj->ri", K, gradient),
            "tangent": -K,
            "work": -np.einsum("ri,rij,rj->r", gradient, energy, gradient),
            "capacity": self._capacity(state["phase"]),
        }
        return answers, {**state, "conductivity": K, "energy": energy}, outcomes

    def _cells(self, phases: Array, spacing: list[float]) -> list[Any]:
        """``cell_scalar.Effective`` of the cells ``phases`` (R, nx, ny, nz)."""
        from hpcms.kernels import cell_conductor, cell_scalar

        (hx, hy, hz), stop = spacing, (self.tolerance, self.max_iterations)
        tensors = np.array([phase.matrix() for phase in self.phases.values()])
        if all(phase.tensor is None for phase in self.phases.values()):
            return cell_scalar.effective_many(phases, tensors[:, 0, 0].copy(), (hx, hy, hz), *stop)
        return [cell_conductor.anisotropic(phase, tensors, (hx, hy, hz), *stop) for phase in phases]

    def cost(self, regions: Regions) -> Array:
        """Seconds of the three solves, fitted to cells of snow: 60 us an iteration and 15 ns more for each voxel."""
        k = [float(np.trace(phase.matrix()) / 3) for phase in self.phases.values()]
        contrast = max(k) / max(min(k), 1e-3 * max(k), 1e-300)  # the iterations no longer grow beyond a thousand
        iterations = 3 + np.log10(1 / self.tolerance) * (1 + np.log10(max(contrast, 1.0)))
        each = 1e-3 + 3 * iterations * (60e-6 + 15e-9 * float(np.prod(regions.phases.shape[1:])))
        return np.full(len(regions), each)

    def _capacity(self, phase: Array) -> Array:
        """(R,) mean rho c, J/(m3 K)."""
        values = np.array([each.density * each.heat_capacity for each in self.phases.values()])
        return np.array([np.bincount(image.ravel(), minlength=values.size) @ values / image.size for image in phase])


MODEL = Conduction
