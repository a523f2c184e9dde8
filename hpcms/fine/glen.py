"""Ice without microstructure: elasticity with Norton-Glen creep at a point, in closed form but for one scalar equation.

    stress = K tr(eps) 1 + 2 G (e - c),   dc/dt = 3/2 A(T) q^(n-1) s,   q = sqrt(3/2 s : s)
    A(T) = A exp(-Q/R (1/T - 1/T_ref)),   Q below or above T_ref

e, s: deviators of strain and stress; c: creep strain, Mandel. Backward Euler leaves q (1 + 3 G dt A q^(n-1)) = q_trial,
whose left side grows with q, so Newton from the right converges. SI units.
Sources: J. W. Glen, Proc. R. Soc. A 228 (1955) 519-538; J. C. Simo, T. J. R. Hughes, Computational Inelasticity (1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from hpcms.contracts import Array, Arrays, Outcome, Regions, Unit

GAS = 8.314462618  # J/(mol K), CODATA 2018
ONE = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
DEVIATOR = np.eye(6) - np.outer(ONE, ONE) / 3.0


@dataclass(frozen=True)
class Glen:
    """State: ``creep_strain`` (R, 6). Work is the product of the means: there is one point only."""

    youngs_modulus: Annotated[float, Unit("Pa", above=0)]
    poisson_ratio: Annotated[float, Unit("", above=-1, below=0.5)]
    density: Annotated[float, Unit("kg/m^3", least=0)]
    A: Annotated[float, Unit("Pa^-3 s^-1", least=0)]
    n: Annotated[float, Unit("", least=1, most=20)] = 3.0
    reference_temperature: Annotated[float, Unit("K", above=0)] = 263.15
    activation_energy_below: Annotated[float, Unit("J/mol", least=0)] = 0.0
    activation_energy_above: Annotated[float, Unit("J/mol", least=0)] = 0.0

    drives: ClassVar[tuple[str, ...]] = ("strain", "temperature", "dt")
    answers: ClassVar[tuple[str, ...]] = (
        "stress", "tangent", "tangent_temperature", "work", "energy", "dissipation", "creep_rate", "density",
    )  # fmt: skip
    guesses: ClassVar[tuple[str, ...]] = ()
    pairing: ClassVar[tuple[str, str] | None] = ("strain", "stress")

    def begin(self, regions: Regions) -> Arrays:
        """At rest, without creep."""
        return {"creep_strain": np.zeros((len(regions), 6))}

    def solve(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """One backward Euler step; the scalar equation always has one root."""
        eps, T, dt = (np.asarray(drive[name], float) for name in self.drives)
        K = self.youngs_modulus / (3 * (1 - 2 * self.poisson_ratio))
        G = self.youngs_modulus / (2 * (1 + self.poisson_ratio))
        Q = np.where(self.reference_temperature > T, self.activation_energy_below, self.activation_energy_above)
        A = self.A * np.exp(-Q / GAS * (1 / T - 1 / self.reference_temperature))
        trial = 2 * G * (eps @ DEVIATOR - state["creep_strain"])
        q_trial = np.sqrt(1.5 * (trial**2).sum(axis=1))
        B = 3 * G * dt * A
        q = self._root(q_trial, B)
        share = 1 / (1 + B * q ** (self.n - 1))  # of the trial deviator that is left
        s = share[:, None] * trial
        stress = K * eps[:, :3].sum(axis=1)[:, None] * ONE + s
        creep = state["creep_strain"] + (dt * A * 1.5 * q ** (self.n - 1))[:, None] * s
        unit = np.divide(trial, q_trial[:, None], out=np.zeros_like(trial), where=q_trial[:, None] > 0)
        slope = 1 / (1 + self.n * B * q ** (self.n - 1))  # dq / dq_trial
        along = 3 * G * (slope - share)
        tangent = (
            K * np.outer(ONE, ONE)
            + 2 * G * share[:, None, None] * DEVIATOR
            + along[:, None, None] * np.einsum("ri,rj->rij", unit, unit)
        )
        softening = Q / (GAS * T**2)  # d log A / dT
        elastic = eps - creep
        before = state["creep_strain"]
        answers = {
            "stress": stress,
            "tangent": tangent,
            "tangent_temperature": -(slope * B * q**self.n * softening)[:, None] * unit,
            "work": (stress * eps).sum(axis=1),
            "energy": 0.5 * (stress * elastic).sum(axis=1),
            "dissipation": (stress * (creep - before)).sum(axis=1),
            "creep_rate": np.divide(creep - before, dt[:, None], out=np.zeros_like(creep), where=dt[:, None] > 0),
            "density": np.full(len(eps), self.density),
        }
        return answers, {"creep_strain": creep}, [Outcome(True)] * len(eps)

    def _root(self, q_trial: Array, B: Array) -> Array:
        """(R,) root q of q (1 + B q^(n-1)) = q_trial: convex, so Newton from q_trial falls monotonically to it."""
        q = np.minimum(q_trial, np.divide(q_trial, B, out=np.full_like(B, np.inf), where=B > 0) ** (1 / self.n))
        for _ in range(60):
            step = (q + B * q**self.n - q_trial) / (1 + self.n * B * q ** (self.n - 1))
            q = q - step
            if np.all(np.abs(step) <= 1e-15 * q_trial):
                break
        return q

    def iterate(self, drive: Arrays, state: Arrays, seeds: Array) -> tuple[Arrays, Arrays, list[Outcome]]:
        """The answer is exact at once: nothing is left to iterate."""
        return self.solve(drive, state, seeds)

    def cost(self, regions: Regions) -> Array:
        """Seconds: a few vector operations."""
        return np.full(len(regions), 1e-6)


MODEL = Glen
