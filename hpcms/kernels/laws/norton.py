"""Norton viscoplasticity: eps_p' = 3/2 A sigma_eq^(n-1) dev sigma, A by temperature as in ``kernels.norton``, whose root it uses.

Backward Euler: of the elastic trial deviator the share x is left, x + k x^n = 1 with k = 3 mu dt A q^(n-1) and q the equivalent
trial stress. Energy: elastic; dissipation: stress times creep increment. History: creep strain (6, Mandel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from hpcms.contracts import Array, Unit
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws._base import DEVIATOR, HISTORY, VOLUME, Isotropic
from hpcms.kernels.laws._bricks import deviator, dot6, get6, put6, put_energies, put_stress, put_tangent
from hpcms.kernels.norton import arrhenius, remaining, remaining_plain, uniaxial_factor

CREEP = HISTORY * LANES
TINY = 1e-300


@jit
def update(w: Array, parameters: Array) -> None:
    """parameters: K, 2 mu, 3 mu dt A, n. See ``laws``."""
    K, mu2, k, n = parameters[0], parameters[1], parameters[2], parameters[3]
    left = np.empty(LANES)
    for i in range(w.shape[0]):
        v = w[i]
        for lane in range(LANES):
            _, e = deviator(get6(v, lane), get6(v, CREEP + lane))
            q2 = 1.5 * mu2 * mu2 * dot6(e, e)
            left[lane] = remaining(k * (q2 if n == 3.0 else q2 ** (0.5 * (n - 1.0))), n) if k > 0.0 else 1.0
        for lane in range(LANES):
            p = get6(v, CREEP + lane)
            tr, e = deviator(get6(v, lane), p)
            x, square = left[lane], dot6(e, e)
            y = (1.0 - x) / x
            gone, f = 1.0 - x, mu2 * x
            put_stress(v, lane, K * tr, f, e)
            put_tangent(v, lane, K, f, mu2 * (n - 1.0) * y / ((1.0 + y) * (1.0 + n * y) * (square + TINY)), e)
            put6(v, CREEP + lane, (p[0] + gone * e[0], p[1] + gone * e[1], p[2] + gone * e[2],
                                   p[3] + gone * e[3], p[4] + gone * e[4], p[5] + gone * e[5]))  # fmt: skip
            put_energies(v, lane, 0.5 * (K * tr * tr + f * x * square), f * gone * square)


@dataclass(frozen=True, kw_only=True)
class Norton(Isotropic):
    """The unit of A depends on n: a job writes "Pa^-n s^-1" with the number of n."""

    n: Annotated[float, Unit("", least=1, most=50)] = 3.0
    A: Annotated[float, Unit("Pa^-n s^-1", least=0)]
    reference_temperature: Annotated[float, Unit("K", above=0)] = 263.15
    activation_energy_below: Annotated[float, Unit("J/mol", least=0)] = 0.0
    activation_energy_above: Annotated[float, Unit("J/mol", least=0)] = 0.0
    convention: Literal["uniaxial", "effective"] = "uniaxial"
    law: Literal["norton"] = "norton"

    rows: ClassVar[int] = 6
    update: ClassVar[Any] = staticmethod(update)

    def parameters(self, dt: float, temperature: float) -> Array:
        K, mu2 = self.moduli
        A = self.A * uniaxial_factor(self.convention, self.n)
        below, above = self.activation_energy_below, self.activation_energy_above
        rate, _ = arrhenius(A, self.reference_temperature, below, above, np.array(temperature))
        return np.array([K, mu2, 1.5 * mu2 * dt * float(rate), self.n])

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        K, mu2, k, n = self.parameters(dt, temperature)
        tr, e = strain @ VOLUME, strain @ DEVIATOR - history
        norm = np.sqrt((e * e).sum(axis=1))
        q = np.sqrt(1.5) * mu2 * norm
        x = remaining_plain(k * q ** (n - 1), n)
        change = 1 / (1 + n * k * (q * x) ** (n - 1))  # d(x q)/dq
        along = e / np.where(norm > 0, norm, 1.0)[:, None]
        tangent = K * np.outer(VOLUME, VOLUME) + (mu2 * x)[:, None, None] * DEVIATOR
        tangent = tangent + (mu2 * (change - x))[:, None, None] * along[:, :, None] * along[:, None, :]
        left = x[:, None] * e
        energy = 0.5 * (K * tr**2 + mu2 * (left * left).sum(axis=1))
        lost = mu2 * (left * (e - left)).sum(axis=1)
        return K * tr[:, None] * VOLUME + mu2 * left, tangent, history + e - left, energy, lost


LAW = Norton
