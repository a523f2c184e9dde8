"""Layers of isotropic phases across one axis: the exact homogenised answer in closed form.

Across the layers the heat flux or the traction is continuous, along them the gradient or the in-plane strain. With the
components sorted into N (touching the normal) and T (the others), both physics are the same small linear algebra:
``flux_N`` and ``drive_T`` are equal in all layers, so ``drive_N = C_NN^-1 (flux_N - C_NT drive_T)`` in each (Milton,
The Theory of Composites, chapter 9). A layer without stiffness (void) carries no ``flux_N``; it opens by what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit
from hpcms.errors import BadInput

_PAIRS = ((1,), (2,), (3,), (2, 3), (1, 3), (1, 2))  # Mandel 11 22 33 23 13 12


@dataclass(frozen=True)
class LaminatePhase:
    """An isotropic layer; what is left out is zero. ``fraction`` holds where the regions carry no image."""

    fraction: Annotated[float, Unit("", least=0, most=1)] = 0.0
    conductivity: Annotated[float, Unit("W/(m K)", least=0)] = 0.0
    youngs_modulus: Annotated[float, Unit("Pa", least=0)] = 0.0
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.0
    density: Annotated[float, Unit("kg/m^3", least=0)] = 0.0
    heat_capacity: Annotated[float, Unit("J/(kg K)", least=0)] = 0.0


@dataclass(frozen=True)
class Laminate:
    """Answers of a laminate with its normal along axis ``normal``, exact for any contrast.

    ``conduction`` answers a gradient, ``elasticity`` a strain. State: ``fraction`` (R, P) of each phase, measured in
    the image of the region if there is one.
    """

    phases: dict[str, LaminatePhase]
    physics: Literal["conduction", "elasticity"]
    normal: Annotated[int, Unit("", least=1, most=3)] = 3

    guesses: ClassVar[tuple[str, ...]] = ()
    memory: ClassVar[bool] = False  # the answers depend on nothing before

    @property
    def drives(self) -> tuple[str, ...]:
        return ("gradient",) if self.physics == "conduction" else ("strain", "temperature", "dt")

    @property
    def answers(self) -> tuple[str, ...]:
        if self.physics == "conduction":
            return ("flux", "tangent", "work", "capacity")
        solved = ("stress", "tangent", "work", "energy", "density")
        return (*solved, "tangent_temperature", "dissipation", "creep_rate")

    @property
    def pairing(self) -> tuple[str, str] | None:
        return ("gradient", "flux") if self.physics == "conduction" else ("strain", "stress")

    def begin(self, regions: Regions) -> Arrays:
        """Fractions of the phases, measured in the images or taken from the parameters."""
        if not regions.phases.size:
            fractions = [phase.fraction for phase in self.phases.values()]
            if abs(sum(fractions) - 1) > 1e-9:
                raise BadInput(f"laminate: the fractions of the phases add up to {sum(fractions):g}, not to 1")
            return {"fraction": np.tile(np.array(fractions), (len(regions), 1))}
        unknown = [name for name in regions.names if name not in self.phases]
        if unknown:
            raise BadInput(f"laminate has no phase {unknown[0]!r}", f"phases given: {', '.join(self.phases)}")
        fraction = np.zeros((len(regions), len(self.phases)))
        for label, name in enumerate(regions.names):
            fraction[:, list(self.phases).index(name)] += (regions.phases == label).mean(axis=(1, 2, 3))
        return {"fraction": fraction}

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """Closed form, so it cannot fail."""
        fraction = state["fraction"]
        given = drive["gradient" if self.physics == "conduction" else "strain"]
        local = np.array([self.local(one, f) for one, f in zip(given, fraction, strict=True)])  # (R, P, d)
        tensors = self._tensors()
        flux = np.einsum("rp,pij,rpj->ri", fraction, tensors, local)
        tangent = np.array([effective(tensors, f, self._across()) for f in fraction])
        work = np.einsum("rp,rpi,pij,rpj->r", fraction, local, tensors, local)
        outcomes = [Outcome(True, "closed form")] * len(fraction)
        if self.physics == "conduction":
            capacity = fraction @ [phase.density * phase.heat_capacity for phase in self.phases.values()]
            return {"flux": -flux, "tangent": -tangent, "work": -work, "capacity": capacity}, dict(state), outcomes
        answers = {
            "stress": flux,
            "tangent": tangent,
            "work": work,
            "energy": work / 2,
            "density": fraction @ [phase.density for phase in self.phases.values()],
            "tangent_temperature": np.zeros_like(flux),
            "dissipation": np.zeros_like(work),
            "creep_rate": np.zeros_like(flux),
        }
        return answers, dict(state), outcomes

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """The answer is exact at once: nothing is left to iterate."""
        return self.solve(drive, state, seeds)

    def cost(self, regions: Regions) -> Array:
        """Seconds: a handful of 6 x 6 matrices."""
        return np.full(len(regions), 3e-4)

    def local(self, drive: Array, fraction: Array) -> Array:
        """(P, d) drive inside each layer under the mean ``drive`` (d,) for ``fraction`` (P,)."""
        inside: Array = np.einsum("pij,j->pi", concentration(self._tensors(), fraction, self._across()), drive)
        return inside

    def _tensors(self) -> Array:
        """(P, d, d) conductivity or Mandel stiffness of each phase."""
        phases = self.phases.values()
        if self.physics == "conduction":
            return np.array([phase.conductivity * np.eye(3) for phase in phases])
        return np.array([isotropic(phase.youngs_modulus, phase.poisson_ratio) for phase in phases])

    def _across(self) -> Array:
        """Components that touch the normal: one of 3, or three of 6."""
        if self.physics == "conduction":
            return np.array([self.normal == axis for axis in (1, 2, 3)])
        return np.array([self.normal in pair for pair in _PAIRS])


def isotropic(E: float, nu: float) -> Array:
    """(6, 6) Mandel stiffness of an isotropic solid."""
    volume = np.array([1.0, 1, 1, 0, 0, 0])
    C: Array = E / (1 + nu) * (np.eye(6) + nu / (1 - 2 * nu) * np.outer(volume, volume))
    return C


def concentration(C: Array, fraction: Array, across: Array) -> Array:
    """(P, d, d) matrices that give the drive inside each layer from the mean drive.

    ``C``: (P, d, d) tensors; ``fraction``: (P,); ``across``: (d,) bool, the components N. A layer of fraction zero
    gets the drive of a very thin one.
    """
    N, T = np.flatnonzero(across), np.flatnonzero(~across)
    void = ~C.any(axis=(1, 2))
    A = np.zeros_like(C)
    A[:, T, T] = 1
    inverse = np.zeros((len(C), N.size, N.size))
    inverse[~void] = np.linalg.inv(C[np.ix_(~void, N, N)])
    coupling = inverse @ C[:, N][:, :, T]  # C_NN^-1 C_NT
    traction = np.zeros((N.size, C.shape[1]))  # flux_N by mean drive
    gap = float(fraction[void].sum())
    if gap == 0:
        compliance = np.einsum("p,pij->ij", fraction, inverse)
        traction[:, N] = np.linalg.inv(compliance)
        traction[:, T] = traction[:, N] @ np.einsum("p,pij->ij", fraction, coupling)
    A[:, N] = inverse @ traction
    A[:, N[:, None], T] -= coupling
    opening = np.eye(C.shape[1])[N] - np.einsum("p,pij->ij", fraction, A[:, N])
    A[np.ix_(void, N)] += opening / gap if gap > 0 else 0.0
    return A


def effective(C: Array, fraction: Array, across: Array) -> Array:
    """(d, d) homogenised tensor, arguments as in ``concentration``."""
    mean: Array = np.einsum("p,pij,pjk->ik", fraction, C, concentration(C, fraction, across))
    return mean


MODEL = Laminate
