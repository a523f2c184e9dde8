"""Volume averages: the coarse drive is the mean of the fine one, the answer the mean of the fine answer.

    lift:      <eps> = eps_coarse            restrict:  sigma_coarse = <sigma>
    energy:    <sigma : eps> = <sigma> : <eps>      (Hill-Mandel)

The lemma holds for periodic fluctuations, linear displacements and uniform tractions; it is checked on every exchange
against the work that the fine model has summed from its own micro fields.
Source: R. Hill, J. Mech. Phys. Solids 11 (1963) 357-372; J. Mandel, Proc. 11th Int. Congr. Appl. Mech. (1966).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcms.contracts import Array, Arrays
from hpcms.errors import BridgeViolation

HILL_MANDEL = 1e-10


@dataclass(frozen=True)
class Average:
    """``pairing``: names of the work-conjugate (drive, answer), or None where a model has no energy."""

    pairing: tuple[str, str] | None
    tolerance: float = HILL_MANDEL

    @property
    def conserves(self) -> tuple[str, ...]:
        """The invariants checked at run time."""
        return ("energy",) if self.pairing else ()

    def lift(self, drive: Arrays) -> Arrays:
        """The coarse drive, as contiguous float64 with leading axis = region."""
        return {name: np.ascontiguousarray(value, dtype=np.float64) for name, value in drive.items()}

    def restrict(self, answer: Arrays) -> Arrays:
        """The fine averages are the coarse answer."""
        return answer

    def energy_gap(self, drive: Arrays, answer: Arrays) -> Array:
        """(R,) |<sigma:eps> - <sigma>:<eps>| over the largest of |<sigma:eps>|, |<sigma>| |<eps>| and twice the energy
        stored; 0 where all vanish. The energy matters where the mean strain passes zero and self-stress is left."""
        if self.pairing is None:
            return np.zeros(len(next(iter(answer.values()))))
        eps, sigma = drive[self.pairing[0]], answer[self.pairing[1]]
        mean = np.einsum("ri,ri->r", sigma, eps)
        size = np.maximum(np.abs(answer["work"]), np.linalg.norm(sigma, axis=1) * np.linalg.norm(eps, axis=1))
        if "energy" in answer:
            size = np.maximum(size, 2 * answer["energy"])
        gap = np.abs(answer["work"] - mean)
        return np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)

    def check(self, drive: Arrays, answer: Arrays, ids: Array) -> float:
        """The largest energy gap; ``BridgeViolation`` where it is too large or an answer is not finite."""
        for name, value in answer.items():
            bad = ~np.isfinite(value.reshape(len(ids), -1)).all(axis=1)
            if bad.any():
                raise BridgeViolation(f"region {ids[bad][0]}: answer {name!r} is not finite")
        gap = self.energy_gap(drive, answer)
        worst = int(np.argmax(gap))
        if gap[worst] > self.tolerance:
            raise BridgeViolation(
                f"region {ids[worst]}: Hill-Mandel gap {gap[worst]:.1e} is above {self.tolerance:.0e}",
                hint="the fine solve is not converged enough: tighten its tolerance",
            )
        return float(gap[worst])
