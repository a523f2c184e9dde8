"""Deformation theory (Hencky) with the curve of Ramberg and Osgood: a pseudo-plastic power law without history.

    eps = sigma_m / (3 K) I + dev sigma / (2 mu) + 3/2 strain (sigma_eq / stress)^n dev sigma / sigma_eq

so a bar has eps = sigma / E + ``strain`` (sigma / ``stress``)^n (Ramberg and Osgood, NACA TN 902, 1943). The law is nonlinear
elastic: with x the share of 3 mu eps_eq that is the equivalent stress, x + k x^n = 1, k = 3 mu strain q^(n-1) / stress^n,
the energy is K tr^2 / 2 + q^2 / (6 mu) (x^2 + 2 n / (n + 1) x (1 - x)), q = 3 mu eps_eq. A small ``strain`` keeps a stiff start;
for ``stress`` far below the elastic stress it is the pure power law sigma_eq = stress (eps_eq / strain)^(1/n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Unit
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import DEVIATOR, VOLUME, Isotropic
from hpcms.kernels.laws._bricks import deviator, dot6, get6, put_energies, put_stress, put_tangent
from hpcms.kernels.norton import remaining, remaining_plain

TINY = 1e-300
NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@jit
def update(w: Array, parameters: Array) -> None:
    """parameters: K, 2 mu, 3 mu strain / stress^n, n. See ``laws``."""
    K, mu2, k, n = parameters[0], parameters[1], parameters[2], parameters[3]
    left = np.empty(LANES)
    for i in range(w.shape[0]):
        v = w[i]
        for lane in range(LANES):
            _, e = deviator(get6(v, lane), NOTHING)
            left[lane] = remaining(k * (1.5 * mu2 * mu2 * dot6(e, e)) ** (0.5 * (n - 1.0)), n)
        for lane in range(LANES):
            tr, e = deviator(get6(v, lane), NOTHING)
            x, square = left[lane], dot6(e, e)
            y = (1.0 - x) / x
            put_stress(v, lane, K * tr, mu2 * x, e)
            put_tangent(v, lane, K, mu2 * x, mu2 * (n - 1.0) * y / ((1.0 + y) * (1.0 + n * y) * (square + TINY)), e)
            stored = K * tr * tr + mu2 * square * x * (x + 2.0 * n / (n + 1.0) * (1.0 - x))
            put_energies(v, lane, 0.5 * stored, 0.0)


@dataclass(frozen=True, kw_only=True)
class Power(Isotropic):
    """``strain``: the plastic strain of a bar under ``stress``; exponent n."""

    stress: Annotated[float, Unit("Pa", above=0)]
    strain: Annotated[float, Unit("", above=0)]
    n: Annotated[float, Unit("", least=1, most=50)]
    law: Literal["power"] = "power"

    update: ClassVar[Any] = staticmethod(update)

    def parameters(self, dt: float, temperature: float) -> Array:
        K, mu2 = self.moduli
        return np.array([K, mu2, 1.5 * mu2 * self.strain / self.stress**self.n, self.n])

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        K, mu2, k, n = self.parameters(dt, temperature)
        tr, e = strain @ VOLUME, strain @ DEVIATOR
        norm = np.sqrt((e * e).sum(axis=1))
        q = np.sqrt(1.5) * mu2 * norm
        x = remaining_plain(k * q ** (n - 1), n)
        change = 1 / (1 + n * k * (q * x) ** (n - 1))
        along = e / np.where(norm > 0, norm, 1.0)[:, None]
        tangent = K * np.outer(VOLUME, VOLUME) + (mu2 * x)[:, None, None] * DEVIATOR
        tangent = tangent + (mu2 * (change - x))[:, None, None] * along[:, :, None] * along[:, None, :]
        energy = 0.5 * K * tr**2 + q**2 / (3 * mu2) * (x**2 + 2 * n / (n + 1) * x * (1 - x))
        return K * tr[:, None] * VOLUME + mu2 * x[:, None] * e, tangent, history, energy, np.zeros(len(strain))


LAW = Power
