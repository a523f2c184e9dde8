"""Steady conduction in a periodic voxel cell, its conductivity by the gradient (a power law) and by the temperature.

    div q = 0,   q = -k(T) ((|g|^2 + g0^2) / gr^2)^((m-1)/2) g = -d psi / d g,   <g> = G,   k(T) = k (1 + b (T - T0))
    psi = k(T) gr^2 / (m+1) ((|g|^2 + g0^2) / gr^2)^((m+1)/2), less its value at g = 0

g: local gradient of the temperature, K/m; q: W/m2; k: conductivity where |g| = gr and T = T0, W/(m K); m > 0: exponent, 1 is
Fourier's law; g0: below it the law is linear, K/m; b: temperature coefficient, 1/K. T, K, is one number for the cell, the
temperature of the coarse point: what k changes by across a cell vanishes with its size. Where m = 1 a coarse bar of
layers in series then carries the flux by the Kirchhoff transform, the integral of the effective conductivity over T, by length.
psi, W K/m3 by K, is convex while k(T) > 0, so the cell has one solution, the minimum of <psi>. With
g0 small the effective flux is homogeneous of degree m where all phases share m. Trilinear elements with 2 x 2 x 2 Gauss
points, second order in smooth fields; Newton's method with the consistent tangent and a line search on <psi>.
Sources: P. Suquet, J. Mech. Phys. Solids 41 (1993) 981-1002 (power-law composites); S. C. Eisenstat, H. F. Walker 1996;
H. S. Carslaw, J. C. Jaeger, Conduction of Heat in Solids, 2nd ed. (1959), 2.16 (k linear in T, the transform).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput


@dataclass(frozen=True)
class PowerLawPhase:
    """See the equations above; ``reference_gradient`` is gr, ``small_gradient`` g0, ``temperature_coefficient`` b."""

    conductivity: Annotated[float, Unit("W/(m K)", above=0)]
    exponent: Annotated[float, Unit("", above=0, most=20)] = 1.0
    reference_gradient: Annotated[float, Unit("K/m", above=0)] = 1.0
    small_gradient: Annotated[float, Unit("K/m", above=0)] = 1e-3
    temperature_coefficient: Annotated[float, Unit("1/K")] = 0.0
    reference_temperature: Annotated[float, Unit("K", above=0)] = 293.15

    def at(self, temperature: float) -> float:
        """k(T), W/(m K); not above zero where T is out of the range of the law."""
        return self.conductivity * (1.0 + self.temperature_coefficient * (temperature - self.reference_temperature))


@dataclass(frozen=True)
class NonlinearConduction:
    """Mean flux (W/m2) for a mean temperature ``gradient`` (K/m), with its consistent tangent.

    Where a phase has a ``temperature_coefficient``, the ``temperature`` (R,) K is a drive too, and ``tangent_temperature``
    (R, 3) is the derivative of the flux by it at a fixed gradient; else that is zero.

    State: ``phase`` (R, nx, ny, nz) uint8 in the order of ``phases``; ``spacing`` (R, 3) m; ``fluctuation`` (R, nx, ny, nz) K of
    the last solution, where the next solve starts. ``work`` is <q . g> and ``potential`` -<psi> of the micro fields.
    """

    phases: dict[str, PowerLawPhase]
    tolerance: Annotated[float, Unit("", above=0, below=1)] = 1e-8
    max_iterations: Annotated[int, Unit("", least=1)] = 50

    answers: ClassVar[tuple[str, ...]] = ("flux", "tangent", "tangent_temperature", "work", "potential")
    guesses: ClassVar[tuple[str, ...]] = ("fluctuation",)
    pairing: ClassVar[tuple[str, str] | None] = ("gradient", "flux")

    @property
    def drives(self) -> tuple[str, ...]:
        return ("gradient", "temperature") if self.warms else ("gradient",)

    @property
    def warms(self) -> bool:
        """Does a conductivity depend on the temperature?"""
        return any(phase.temperature_coefficient for phase in self.phases.values())

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
        """One equilibrium a region under ``drive["gradient"]`` (R, 3); a region that fails keeps its state."""
        from hpcms.kernels.cell_conductor import NonlinearCell

        gradient, u = np.asarray(drive["gradient"], float), state["fluctuation"].copy()
        shapes = {"flux": (3,), "tangent": (3, 3), "tangent_temperature": (3,)}
        answers = {name: np.zeros((len(u), *shapes.get(name, ()))) for name in self.answers}
        outcomes = []
        for region, phase in enumerate(state["phase"]):
            laws, rates, problem = self._laws(phase, drive, region)
            if problem:
                outcomes.append(Outcome(False, problem, residual=np.inf))
                continue
            hx, hy, hz = state["spacing"][region].tolist()
            cell = NonlinearCell(phase, laws, (hx, hy, hz))
            found = cell.solve(gradient[region], self.tolerance, self.max_iterations, u[region])
            outcomes.append(found.outcome)
            answers["flux"][region], answers["tangent"][region] = -found.flux, -found.tangent
            answers["work"][region], answers["potential"][region] = -found.work, -found.potential
            if self.warms:
                answers["tangent_temperature"][region] = -cell.shifted(
                    found.u, gradient[region], rates, self.tolerance
                )[0]
            if found.outcome.ok:
                u[region] = found.u
        return answers, {**state, "fluctuation": u}, outcomes

    def _laws(self, phase: Array, drive: Arrays, region: int) -> tuple[Array, Array, str]:
        """(P, 4) k(T), m, g0, gr of the kernels, the same with dk/dT for k, and why there is no k(T), if so."""
        phases = list(self.phases.values())
        laws = np.array([[p.conductivity, p.exponent, p.small_gradient, p.reference_gradient] for p in phases])
        rates = laws.copy()
        rates[:, 0] *= [p.temperature_coefficient for p in phases]
        if not self.warms:
            return laws, rates, ""
        if "temperature" not in drive:
            return (
                laws,
                rates,
                "no temperature comes down to conductivities that depend on it: leave out their coefficient",
            )
        T = float(np.asarray(drive["temperature"], float)[region])
        laws[:, 0] = [p.at(T) for p in phases]
        if not (laws[np.unique(phase), 0] > 0.0).all():  # also where T is not finite
            return laws, rates, f"a conductivity is not above zero at {T:g} K: its law does not reach that far"
        laws[:, 0] = np.where(laws[:, 0] > 0.0, laws[:, 0], 1.0)  # of phases that do not occur
        return laws, rates, ""

    def cost(self, regions: Regions) -> Array:
        """Seconds, fitted to random cells of two exponents: six Newton steps of thirty iterations of 100 ns a voxel."""
        return np.full(len(regions), 2e-3 + 200 * (60e-6 + 100e-9 * float(np.prod(regions.phases.shape[1:]))))


MODEL = NonlinearConduction
