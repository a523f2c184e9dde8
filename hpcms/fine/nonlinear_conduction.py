"""Steady conduction whose conductivity depends on the gradient, in a periodic voxel cell: a power law.

    div q = 0,   q = -k ((|g|^2 + g0^2) / gr^2)^((m-1)/2) g = -d psi / d g,   <g> = G
    psi = k gr^2 / (m+1) ((|g|^2 + g0^2) / gr^2)^((m+1)/2), less its value at g = 0

g: local gradient of the temperature, K/m; q: W/m2; k: conductivity where |g| = gr, W/(m K); m > 0: exponent, 1 is Fourier's
law; g0: below it the law is linear, K/m. psi, W K/m3 by K, is convex, so the cell has one solution, the minimum of <psi>. With
g0 small the effective flux is homogeneous of degree m where all phases share m. Trilinear elements with 2 x 2 x 2 Gauss
points, second order in smooth fields; Newton's method with the consistent tangent and a line search on <psi>.
Sources: P. Suquet, J. Mech. Phys. Solids 41 (1993) 981-1002 (power-law composites); S. C. Eisenstat, H. F. Walker 1996.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput


@dataclass(frozen=True)
class PowerLawPhase:
    """See the equations above; ``reference_gradient`` is gr and ``small_gradient`` g0."""

    conductivity: Annotated[float, Unit("W/(m K)", above=0)]
    exponent: Annotated[float, Unit("", above=0, most=20)] = 1.0
    reference_gradient: Annotated[float, Unit("K/m", above=0)] = 1.0
    small_gradient: Annotated[float, Unit("K/m", above=0)] = 1e-3


@dataclass(frozen=True)
class NonlinearConduction:
    """Mean flux (W/m2) for a mean temperature ``gradient`` (K/m), with its consistent tangent.

    State: ``phase`` (R, nx, ny, nz) uint8 in the order of ``phases``; ``spacing`` (R, 3) m; ``fluctuation`` (R, nx, ny, nz) K of
    the last solution, where the next solve starts. ``work`` is <q . g> and ``potential`` -<psi> of the micro fields.
    """

    phases: dict[str, PowerLawPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-8
    max_iterations: Annotated[int, Unit("", least=1)] = 50

    drives: ClassVar[tuple[str, ...]] = ("gradient",)
    answers: ClassVar[tuple[str, ...]] = ("flux", "tangent", "work", "potential")
    guesses: ClassVar[tuple[str, ...]] = ("fluctuation",)
    pairing: ClassVar[tuple[str, str] | None] = ("gradient", "flux")

    def begin(self, regions: Regions) -> Arrays:
        """State at rest."""
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(
                f"nonlinear_conduction has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}"
            )
        own = np.array([list(self.phases).index(name) for name in regions.names], np.uint8)
        return {
            "phase": own[regions.phases],
            "spacing": np.tile(np.array(regions.spacing, float), (len(regions), 1)),
            "fluctuation": np.zeros(regions.phases.shape),
        }

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """One equilibrium a region under ``drive["gradient"]`` (R, 3)."""
        from hpcms.kernels.cell_conductor import NonlinearCell

        gradient, u = np.asarray(drive["gradient"], float), state["fluctuation"].copy()
        laws = np.array(
            [[p.conductivity, p.exponent, p.small_gradient, p.reference_gradient] for p in self.phases.values()]
        )
        answers = {"flux": np.zeros((len(u), 3)), "tangent": np.zeros((len(u), 3, 3)), "work": np.zeros(len(u)),
                   "potential": np.zeros(len(u))}  # fmt: skip
        outcomes = []
        for region, phase in enumerate(state["phase"]):
            hx, hy, hz = state["spacing"][region].tolist()
            found = NonlinearCell(phase, laws, (hx, hy, hz)).solve(
                gradient[region], self.tolerance, self.max_iterations, u[region]
            )
            outcomes.append(found.outcome)
            answers["flux"][region], answers["tangent"][region] = -found.flux, -found.tangent
            answers["work"][region], answers["potential"][region] = -found.work, -found.potential
            if found.outcome.ok:
                u[region] = found.u
        return answers, {**state, "fluctuation": u}, outcomes

    def cost(self, regions: Regions) -> Array:
        """Seconds, fitted to random cells of two exponents: six Newton steps of thirty iterations of 100 ns a voxel."""
        return np.full(len(regions), 2e-3 + 200 * (60e-6 + 100e-9 * float(np.prod(regions.phases.shape[1:]))))


MODEL = NonlinearConduction
