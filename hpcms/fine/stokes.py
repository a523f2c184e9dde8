"""Slow flow of one liquid through the pores of a periodic voxel cell: permeability (Darcy's law).

    -mu lap v + grad p = -g,   div v = 0 in the pores,   v = 0 on the voxels of the solid,   <v> = -K g / mu

g: mean pressure gradient, Pa/m; v: m/s; mu: Pa s; K: m2, symmetric, not negative; zero where no pore leads through. The staggered
grid meets plane walls to second order and stairs of voxels to first order. The flow is linear: the three unit
gradients are solved once, the first time a region is asked.
Sources: H. Darcy 1856; F. H. Harlow, J. E. Welch, Phys. Fluids 8 (1965) 2182-2189 (grid); Krylov method: ``kernels.cell_stokes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput


@dataclass(frozen=True)
class PorePhase:
    """``solid``: 1 for a phase that is at rest, 0 for the pores."""

    solid: Annotated[int, Unit("", least=0, most=1)]


@dataclass(frozen=True)
class Stokes:
    """Mean velocity ``flux`` (m/s) for a mean pressure ``gradient`` (Pa/m), with its tangent ``-K / mu``.

    State: ``phase`` (R, nx, ny, nz) uint8 in the order of ``phases``; ``spacing`` (R, 3) m; ``permeability`` and ``energy``
    (R, 3, 3) m2 and ``known`` (R,). ``energy`` is the viscous dissipation of the micro flows that the permeability belongs to.
    """

    phases: dict[str, PorePhase]
    viscosity: Annotated[float, Unit("Pa s", above=0)]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-6
    max_iterations: Annotated[int, Unit("", least=1)] = 3000

    drives: ClassVar[tuple[str, ...]] = ("gradient",)
    answers: ClassVar[tuple[str, ...]] = ("flux", "tangent", "work")
    guesses: ClassVar[tuple[str, ...]] = ("permeability", "energy", "known")
    solved_once: ClassVar[bool] = True
    pairing: ClassVar[tuple[str, str] | None] = ("gradient", "flux")

    def begin(self, regions: Regions) -> Arrays:
        """State at rest; nothing is solved yet."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"stokes has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        return {
            "phase": own[regions.phases],
            "spacing": np.tile(np.array(regions.spacing, float), (len(regions), 1)),
            "permeability": np.zeros((len(regions), 3, 3)),
            "energy": np.zeros((len(regions), 3, 3)),
            "known": np.zeros(len(regions), np.uint8),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Answers under ``drive["gradient"]`` (R, 3); regions without a permeability are solved first."""
        from hpcms.kernels import cell_stokes
        from hpcms.kernels.outcomes import together

        K, energy, known = (state[name].copy() for name in self.guesses)
        solid = np.array([phase.solid for phase in self.phases.values()], bool)
        outcomes = [Outcome(True, "evaluated: this region's permeability is known")] * len(K)
        for region in np.flatnonzero(known == 0).tolist():
            labels, (hx, hy, hz) = solid[state["phase"][region]], state["spacing"][region].tolist()
            if not labels.any():
                outcomes[region] = Outcome(
                    False, "no voxel is solid, so nothing holds the flow back: mark a phase as solid"
                )
                continue
            found = cell_stokes.permeabilities(labels, (hx, hy, hz), self.tolerance, self.max_iterations)
            outcomes[region] = together(found[2])
            if outcomes[region].ok:
                K[region], energy[region], known[region] = found[0], found[1], 1
        gradient = drive["gradient"]
        answers = {
            "flux": -np.einsum("rij,rj->ri", K, gradient) / self.viscosity,
            "tangent": -K / self.viscosity,
            "work": -np.einsum("ri,rij,rj->r", gradient, energy, gradient) / self.viscosity,
        }
        return answers, {**state, "permeability": K, "energy": energy, "known": known}, outcomes

    def cost(self, regions: Regions) -> Array:
        """Seconds of the three solves, fitted to spheres and random pores: 95 ns an iteration and voxel."""
        voxels = float(np.prod(regions.phases.shape[1:]))
        iterations = 2 * np.log10(1 / self.tolerance) * max(voxels, 1.0) ** (1 / 6)
        return np.full(len(regions), 1e-3 + 3 * iterations * (2e-4 + 95e-9 * voxels))


MODEL = Stokes
