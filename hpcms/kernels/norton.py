"""Creep of ice: the Norton-Glen law, its dependence on temperature and its backward Euler step at one point.

``uniaxial``: eps_dot = 3/2 A sigma^(n-1) s with sigma^2 = 3/2 s:s, so a bar under the stress sigma creeps at A sigma^n.
``effective``: eps_dot = A tau^(n-1) s with tau^2 = 1/2 s:s, the way glaciology writes it (Glen 1955; Nye 1957; Cuffey and
Paterson, The Physics of Glaciers, 4th ed. 2010). The same A is then softer by the factor 2 / 3^((n+1)/2), that is
2/9 for n = 3. Their recommended A = 3.5e-25 Pa^-3 s^-1 at -10 C with 60 and 115 kJ/mol below and above (their table 3.4)
is meant for ``effective``.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

THIRD, ROOT = 1.0 / 3.0, 3071306043645493710.0  # see ``remaining_cubic``
GAS = 8.31446261815324  # J/(mol K), exact in the SI of 2019


def uniaxial_factor(convention: str, n: float) -> float:
    """A of the uniaxial convention over A of ``convention``."""
    if convention not in ("uniaxial", "effective"):
        raise ValueError(f"unknown convention {convention!r}")
    return 1.0 if convention == "uniaxial" else 2.0 * 3.0 ** (-0.5 * (n + 1.0))


def arrhenius(A: float, reference: float, below: float, above: float, temperature: Array) -> tuple[Array, Array]:
    """A(T) and dA/dT: ``A`` at the temperature ``reference`` (K), where the activation energy (J/mol) changes."""
    T = np.asarray(temperature, float)
    Q = np.where(reference < T, above, below)
    rate = A * np.exp(-Q / GAS * (1.0 / T - 1.0 / reference))
    return rate, rate * Q / (GAS * T**2)


@jit
def remaining(k: float, n: float) -> float:
    """The root x in (0, 1] of x + k x^n = 1, k >= 0, n >= 1: the share of the trial stress that is left after the step.

    The left side is convex and increasing and both 1 and k^(-1/n) lie above the root, so Newton's method comes down to
    it monotonically from the smaller one. It stops when the step is lost in rounding.
    """
    if not k > 0.0:
        return 1.0 if k == 0.0 else k  # NaN stays NaN
    x = min(1.0, k ** (-1.0 / n))
    cube = n == 3.0
    for _ in range(60):
        power = k * x * x if cube else k * x ** (n - 1.0)
        step = (x + power * x - 1.0) / (1.0 + n * power)
        x -= step
        if abs(step) <= 1e-15 * x:
            break
    return x


@jit
def remaining_cubic(k: Array, k_bits: Array, x: Array, x_bits: Array) -> None:
    """``remaining`` for n = 3 and whole arrays: x <- roots. ``..._bits``: the memory of k and x as int64.

    A third of the bits of a float is nearly its cube root (within 4 %); 1 / (1/3 + k^(1/3)) is then within 25 % of the
    root everywhere, and five Newton steps reach rounding. No branch, so the compiler makes vector instructions of it.
    """
    for i in range(k.size):
        x_bits[i] = np.int64(np.float64(k_bits[i]) * THIRD + ROOT)
    for i in range(k.size):
        r = min(1.0, 1.0 / (THIRD + x[i]))
        for _ in range(5):
            power = k[i] * r * r
            r -= (r + power * r - 1.0) / (1.0 + 3.0 * power)
        x[i] = r


def remaining_plain(k: Array, n: float) -> Array:
    """Twin of ``remaining`` by bisection, slow and plain."""
    k = np.asarray(k, float)
    low, high = np.zeros_like(k), np.ones_like(k)
    for _ in range(200):
        x = 0.5 * (low + high)
        above = x + k * x**n > 1.0
        low, high = np.where(above, low, x), np.where(above, x, high)
    return high
