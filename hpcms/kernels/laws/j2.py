"""J2 plasticity, rate independent: isotropic hardening, linear and of Voce, and linear kinematic hardening of Prager.

    |dev sigma - X| sqrt(3/2) <= yield + R,   R = H a + Q (1 - exp(-b a)),   X = 2/3 H_k eps_p,
    d eps_p = 3/2 (dev sigma - X) / |...|_eq da

Radial return with the consistent tangent (Simo and Hughes, Computational Inelasticity, 1998, boxes 3.1 and 3.2). Energy:
elastic, H a^2 / 2 + Q (a + exp(-b a) / b - 1 / b), H_k eps_p : eps_p / 3; dissipation: yield times the increment of a. So a bar
yields at ``yield`` and hardens with the plastic modulus H + H_k. History: plastic strain (6, Mandel) and a.
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

PLASTIC, AMOUNT = HISTORY * LANES, (HISTORY + 6) * LANES
TINY = 1e-300


@jit
def _increment(f: Any, slope: float, Q: Any, b: float) -> Any:
    """x >= 0 with f = slope x + Q (1 - exp(-b x)). The right side is concave, so Newton's method rises to the root."""
    x = 0.0
    if not f > 0.0:
        return x
    for _ in range(50):
        rest = Q * np.exp(-b * x)
        step = (f - slope * x - Q + rest) / (slope + b * rest)
        x += step
        if not step > 1e-15 * x:
            break
    return x


@jit
def update(w: Array, parameters: Array) -> None:
    """parameters: K, 2 mu, yield, H, Q, b, H_k. See ``laws``."""
    b, Q = parameters[5], parameters[4]
    dx, voce = np.empty(LANES), np.empty(LANES)
    for i in range(w.shape[0]):
        v = w[i]
        for lane in range(LANES):
            dx[lane], voce[lane] = 0.0, 0.0
        if Q > 0.0:
            for lane in range(LANES):
                a = v[lane + AMOUNT]
                _, e = deviator(get6(v, lane), get6(v, PLASTIC + lane))
                left = Q * np.exp(-b * a)
                slope = 1.5 * parameters[1] + parameters[3] + parameters[6]
                f = _excess(e, get6(v, PLASTIC + lane), a, parameters)[0] - (Q - left)
                dx[lane] = _increment(f, slope, left, b)
                voce[lane] = left
        _points(v, parameters, dx, voce)


@jit
def _excess(e: Any, plastic: Any, a: Any, parameters: Any) -> Any:
    """What the trial stress exceeds the linear part of the yield stress by, its equivalent, and its direction xi."""
    mu2, back = parameters[1], parameters[6] * (2.0 / 3.0)
    x = (mu2 * e[0] - back * plastic[0], mu2 * e[1] - back * plastic[1], mu2 * e[2] - back * plastic[2],
         mu2 * e[3] - back * plastic[3], mu2 * e[4] - back * plastic[4], mu2 * e[5] - back * plastic[5])  # fmt: skip
    q = np.sqrt(1.5 * dot6(x, x))
    return q - parameters[2] - parameters[3] * a, q, x


@jit
def _points(v: Any, parameters: Any, dx: Any, voce: Any) -> None:
    """One line of points. ``dx``, ``voce``: with Voce hardening the increment of a, and Q exp(-b a) at the start."""
    K, mu2, y, H, Q, b, Hk = (parameters[0], parameters[1], parameters[2], parameters[3], parameters[4], parameters[5],
                              parameters[6])  # fmt: skip
    linear, slope = not Q > 0.0, 1.5 * mu2 + H + Hk
    for lane in range(LANES):
        plastic, a = get6(v, PLASTIC + lane), v[lane + AMOUNT]
        tr, e = deviator(get6(v, lane), plastic)
        f, q, x = _excess(e, plastic, a, parameters)
        d = max(f, 0.0) / slope if linear else dx[lane]
        rest = 0.0 if linear else voce[lane] * np.exp(-b * d)
        share = 1.5 * d / (q + TINY)
        # sigma = K tr I + 2 mu (e - share xi)
        e = (e[0] - share * x[0], e[1] - share * x[1], e[2] - share * x[2],
             e[3] - share * x[3], e[4] - share * x[4], e[5] - share * x[5])  # fmt: skip
        p = (plastic[0] + share * x[0], plastic[1] + share * x[1], plastic[2] + share * x[2],
             plastic[3] + share * x[3], plastic[4] + share * x[4], plastic[5] + share * x[5])  # fmt: skip
        flows = 1.0 if d > 0.0 else 0.0
        c = flows * 2.25 * mu2 * mu2 * (1.0 / (slope + b * rest) - d / (q + TINY)) / (q * q + TINY)
        put_stress(v, lane, K * tr, mu2, e)
        put_tangent(v, lane, K, mu2 * (1.0 - mu2 * share), c, x)
        put6(v, PLASTIC + lane, p)
        v[lane + AMOUNT] = a + d
        stored = 0.5 * (K * tr * tr + mu2 * dot6(e, e) + H * (a + d) * (a + d)) + Hk * dot6(p, p) * (1.0 / 3.0)
        stored += 0.0 if linear else Q * (a + d) + (rest - Q) / b
        put_energies(v, lane, stored, y * d)


@dataclass(frozen=True, kw_only=True)
class J2(Isotropic):
    """``hardening`` H, ``saturation`` Q and ``rate`` b of Voce, ``kinematic`` H_k."""

    yield_stress: Annotated[float, Unit("Pa", above=0)]
    hardening: Annotated[float, Unit("Pa", least=0)] = 0.0
    saturation: Annotated[float, Unit("Pa", least=0)] = 0.0
    rate: Annotated[float, Unit("", above=0)] = 1.0
    kinematic: Annotated[float, Unit("Pa", least=0)] = 0.0
    law: Literal["j2"] = "j2"

    rows: ClassVar[int] = 7
    update: ClassVar[Any] = staticmethod(update)

    def parameters(self, dt: float, temperature: float) -> Array:
        hard = (self.yield_stress, self.hardening, self.saturation, self.rate, self.kinematic)
        return np.array([*self.moduli, *hard])

    def plain(self, strain: Array, history: Array, dt: float, temperature: float) -> tuple[Array, ...]:
        """The increment of a by bisection."""
        K, mu2 = self.moduli
        H, Q, b, Hk = self.hardening, self.saturation, self.rate, self.kinematic
        p, a = history[:, :6], history[:, 6]
        tr, e = strain @ VOLUME, strain @ DEVIATOR - p
        xi = mu2 * e - 2.0 / 3.0 * Hk * p
        q = np.sqrt(1.5 * (xi * xi).sum(axis=1)) + TINY
        low, high = np.zeros_like(q), q / (1.5 * mu2)
        for _ in range(200):
            d = 0.5 * (low + high)
            above = q - (1.5 * mu2 + Hk) * d > self.yield_stress + H * (a + d) + Q * (1 - np.exp(-b * (a + d)))
            low, high = np.where(above, d, low), np.where(above, high, d)
        d = np.where(q > self.yield_stress + H * a + Q * (1 - np.exp(-b * a)), high, 0.0)
        m = 1.5 * xi / q[:, None]
        p, a = p + d[:, None] * m, a + d
        e = strain @ DEVIATOR - p
        stress = K * tr[:, None] * VOLUME + mu2 * e
        slope = 1.5 * mu2 + Hk + H + Q * b * np.exp(-b * a)
        c = np.where(d > 0, mu2**2 * (1 / slope - d / q), 0.0)
        tangent = K * np.outer(VOLUME, VOLUME) + (mu2 * (1 - 1.5 * mu2 * d / q))[:, None, None] * DEVIATOR
        tangent = tangent - c[:, None, None] * m[:, :, None] * m[:, None, :]
        hard = H * a**2 / 2 + Q * (a + (np.exp(-b * a) - 1) / b) + Hk * (p * p).sum(axis=1) / 3
        energy = 0.5 * (K * tr**2 + mu2 * (e * e).sum(axis=1)) + hard
        return stress, tangent, np.column_stack([p, a]), energy, self.yield_stress * d


LAW = J2
