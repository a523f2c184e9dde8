"""MINRES for symmetric indefinite systems with a positive definite preconditioner (Paige, Saunders 1975).

The recurrences are those of Elman, Silvester, Wathen, Finite Elements and Fast Iterative Solvers (2014), algorithm 4.1. They
minimise ``r . M^-1 r``; here the residual is recomputed when they say so, and they start anew from it if it is not yet so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.krylov import dot

Apply = Callable[[Array, Array], None]  # (x, out): out <- A x


def minres(A: Apply, M: Apply, b: Array, tolerance: float, limit: int) -> tuple[Array, float, int]:
    """Solution of ``A x = b``, its true residual by that of zero in the norm of ``M`` (an inverse), and the iterations."""
    x, r, z, iterations = np.zeros_like(b), b.copy(), np.empty_like(b), 0
    M(r, z)
    first = now = float(np.sqrt(dot(r, z)))
    while first > 0:
        before = now
        iterations += _run(A, M, x, r, z, tolerance * first, limit - iterations)
        A(x, r)
        np.subtract(b, r, out=r)
        M(r, z)
        now = float(np.sqrt(dot(r, z)))
        if now <= tolerance * first or iterations >= limit or not now < 0.5 * before:
            break
    return x, now / first if first > 0 else 0.0, iterations


def _run(A: Apply, M: Apply, x: Array, r: Array, z: Array, goal: float, limit: int) -> int:
    """Advance ``x`` from the residual ``r`` and ``z = M r`` until the recurrences' own residual is below ``goal``."""
    v_old, v, v_new = np.zeros_like(x), r.copy(), np.empty_like(x)
    w_old, w, z = np.zeros_like(x), np.zeros_like(x), z.copy()
    gamma_old, gamma = 1.0, float(np.sqrt(dot(v, z)))
    eta, s_old, s, c_old, c, n = gamma, 0.0, 0.0, 1.0, 1.0, 0
    while abs(eta) > goal and n < limit:
        z /= gamma
        A(z, v_new)
        delta = dot(v_new, z)
        v_new -= delta / gamma * v
        v_new -= gamma / gamma_old * v_old
        z_new = np.empty_like(z)
        M(v_new, z_new)
        gamma_new = float(np.sqrt(max(dot(v_new, z_new), 0.0)))
        a0 = c * delta - c_old * s * gamma
        a1 = float(np.hypot(a0, gamma_new))
        a2, a3 = s * delta + c_old * c * gamma, s_old * gamma
        c_old, s_old, c, s = c, s, a0 / a1, gamma_new / a1
        w_new = (z - a3 * w_old - a2 * w) / a1
        x += c * eta * w_new
        eta *= -s
        v_old, v, v_new = v, v_new, v_old
        w_old, w, z, gamma_old, gamma = w, w_new, z_new, gamma, gamma_new
        n += 1
        if gamma == 0:
            break
    return n
