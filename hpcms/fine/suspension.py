"""Slow flow of a mixture of liquids with rigid particles in it: the viscosity of a periodic voxel cell.

    div sigma = 0,   sigma = -p 1 + 2 eta e,   div v = 0,   <e> = E,   <sigma> + <p> 1 = N E

e: rate of strain, 1/s; eta: viscosity of the voxel's phase, Pa s; N: Pa s, on rates without divergence. A rigid particle is
a liquid ``RIGID`` times as viscous as the most viscous one, which is free of force and torque; the viscosity of a drop that
viscous is that of a rigid sphere to 1e-5 (G. I. Taylor 1932). Frozen microstructure: the answer is that of the instant.
First order at stairs of voxels, exact for layers. Sources: A. Einstein 1906; Krylov method: ``kernels.cell_stokes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput

RIGID = 1e5


@dataclass(frozen=True)
class SuspensionPhase:
    """A liquid, or rigid particles where ``viscosity`` is left out."""

    viscosity: Annotated[float, Unit("Pa s", above=0)] | None = None


@dataclass(frozen=True)
class Suspension:
    """Mean viscous stress (Pa, Mandel) for a mean ``strain_rate`` (1/s, Mandel, without trace), with its tangent N.

    State: ``phase`` (R, nx, ny, nz) uint8 in the order of ``phases``; ``spacing`` (R, 3) m; ``viscosity`` and ``energy``
    (R, 6, 6) Pa s, zero until solved. ``work`` is the dissipation of the micro flow, W/m3.
    """

    phases: dict[str, SuspensionPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-4
    max_iterations: Annotated[int, Unit("", least=1)] = 3000

    drives: ClassVar[tuple[str, ...]] = ("strain_rate",)
    answers: ClassVar[tuple[str, ...]] = ("stress", "tangent", "work")
    guesses: ClassVar[tuple[str, ...]] = ("viscosity", "energy")
    solved_once: ClassVar[bool] = True
    pairing: ClassVar[tuple[str, str] | None] = ("strain_rate", "stress")

    def begin(self, regions: Regions) -> Arrays:
        """State at rest; nothing is solved yet."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"suspension has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        if all(phase.viscosity is None for phase in self.phases.values()):
            raise BadInput("suspension: all phases are rigid", "give one of them a viscosity")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        return {
            "phase": own[regions.phases],
            "spacing": np.tile(np.array(regions.spacing, float), (len(regions), 1)),
            "viscosity": np.zeros((len(regions), 6, 6)),
            "energy": np.zeros((len(regions), 6, 6)),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers under ``drive["strain_rate"]`` (R, 6); regions without a tensor are solved first."""
        from hpcms.kernels import cell_stokes
        from hpcms.kernels.outcomes import together

        N, energy = state["viscosity"].copy(), state["energy"].copy()
        liquid = [phase.viscosity for phase in self.phases.values()]
        rigid = RIGID * max(value for value in liquid if value is not None)
        eta = np.array([rigid if value is None else value for value in liquid])
        rate = np.asarray(drive["strain_rate"], float)
        outcomes = [Outcome(True, "evaluated: this region's tensor is known")] * len(N)
        for region in np.flatnonzero(~energy.any(axis=(1, 2))).tolist():
            values, (hx, hy, hz) = eta[state["phase"][region]], state["spacing"][region].tolist()
            if values.min() >= rigid:
                outcomes[region] = Outcome(False, "there is no liquid in the cell: all of it is rigid")
                continue
            found = cell_stokes.viscosities(values, (hx, hy, hz), self.tolerance, self.max_iterations)
            outcomes[region] = together(found[2])
            if outcomes[region].ok:
                N[region], energy[region] = found[0], found[1]
        for region in np.flatnonzero(
            np.abs(rate[:, :3].sum(axis=1)) > 1e-9 * np.abs(rate).max(axis=1, initial=0.0)
        ).tolist():
            outcomes[region] = Outcome(False, "the flow is incompressible: the mean rate of strain must have no trace")
        answers = {
            "stress": np.einsum("rij,rj->ri", N, rate),
            "tangent": N,
            "work": np.einsum("ri,rij,rj->r", rate, energy, rate),
        }
        return answers, {**state, "viscosity": N, "energy": energy}, outcomes

    def cost(self, regions: Regions) -> Array:
        """Seconds of the five solves, fitted to rigid spheres: 90 ns an iteration and voxel."""
        voxels = float(np.prod(regions.phases.shape[1:]))
        iterations = 4 * np.log10(1 / self.tolerance) * max(voxels, 1.0) ** (1 / 8)
        return np.full(len(regions), 1e-3 + 5 * iterations * (2e-4 + 90e-9 * voxels))


MODEL = Suspension
