"""One backward Euler step of elasticity with Norton creep on a list of hexahedra: forces, tangents, and the final update.

At a Gauss point the elastic trial strain has the deviator d and the stress norm q = sqrt(6) mu |d|. What is left of the
deviator after the step is x d with x + k x^n = 1, k = 3 mu dt A q^(n-1) (``norton.remaining``). So the stress is
K tr(eps) I + 2 mu x d and the consistent tangent K I.I + 2 mu x I_dev - m.m with m along d: six numbers a point
(2 mu x and five of m) instead of 21. The step minimises, over the displacement, the volume integral of the potential
K tr^2 / 2 + q^2 / (6 mu) (x^2 + 2 n / (n + 1) x (1 - x)), whose derivative is the stress (Ortiz and Stainier, Comput.
Methods Appl. Mech. Eng. 171, 419-444, 1999).

Element lists and layouts: ``hex8_points``. ``law``: (blocks, 4): K, 2 mu, 3 mu dt A, n. Strains are 11, 22, 33 and twice
23, 13, 12; creep strains ``vp``: (blocks, 8 points, 5, lanes), 11, 22, 23, 13, 12 (their trace is zero).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT
from hpcms.kernels.hex8_points import LANES, POINT, forces, gather, scatter, strains
from hpcms.kernels.norton import remaining

HISTORY = 5 * LANES  # stride of the creep strain from one point to the next


@numba.njit(**JIT)
def _deviator(s: Any, p: int, h: Any, o: int) -> Any:
    """Trace of the strain and the elastic trial deviator 11, 22, 33, 23, 13, 12."""
    tr = s[p] + s[p + LANES] + s[p + 2 * LANES]
    mean = tr * (1.0 / 3.0)
    a, b = s[p] - mean - h[o], s[p + LANES] - mean - h[o + LANES]
    return (tr, a, b, -(a + b), 0.5 * s[p + 3 * LANES] - h[o + 2 * LANES], 0.5 * s[p + 4 * LANES] - h[o + 3 * LANES],
            0.5 * s[p + 5 * LANES] - h[o + 4 * LANES])  # fmt: skip


@numba.njit(**JIT)
def _square(d: Any) -> Any:
    return d[1] * d[1] + d[2] * d[2] + d[3] * d[3] + 2.0 * (d[4] * d[4] + d[5] * d[5] + d[6] * d[6])


@numba.njit(**JIT)
def _respond(s: Any, h: Any, law: Any, t: Any, x: Any, weight: float, sums: Any) -> None:
    """Strains s of a block -> stresses times ``weight``; tangents t; sums as in ``evaluate``."""
    K, mu2, c, n = law[0], law[1], law[2], law[3]
    share = 2.0 * n / (n + 1.0)
    for q in range(8):
        for lane in range(LANES):
            d = _deviator(s, q * POINT + lane, h, q * HISTORY + lane)
            x[lane] = np.sqrt(1.5 * _square(d)) * mu2
        if c > 0.0:
            for lane in range(LANES):
                x[lane] = remaining(c * x[lane] ** (n - 1.0), n)
        else:
            x[:] = 1.0
        s0, s1, s2, s3, s4, s5, energy, norm = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for lane in range(LANES):
            p, r = q * POINT + lane, q * POINT + lane
            d = _deviator(s, p, h, q * HISTORY + lane)
            square, left = _square(d), x[lane]
            y = (1.0 - left) / left
            beta = np.sqrt(mu2 * (n - 1.0) * y / ((1.0 + y) * (1.0 + n * y)) / (square + TINY))
            f, pressure = weight * mu2 * left, weight * K * d[0]
            t[r] = f
            b = np.sqrt(weight) * beta
            t[r + LANES], t[r + 2 * LANES] = b * d[1], b * d[2]
            t[r + 3 * LANES], t[r + 4 * LANES], t[r + 5 * LANES] = b * d[4], b * d[5], b * d[6]
            s[p], s[p + LANES], s[p + 2 * LANES] = pressure + f * d[1], pressure + f * d[2], pressure + f * d[3]
            s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES] = f * d[4], f * d[5], f * d[6]
            s0, s1, s2 = s0 + s[p], s1 + s[p + LANES], s2 + s[p + 2 * LANES]
            s3, s4, s5 = s3 + s[p + 3 * LANES], s4 + s[p + 4 * LANES], s5 + s[p + 5 * LANES]
            energy += 0.5 * (pressure * d[0] + weight * mu2 * square * left * (left + share * (1.0 - left)))
            norm += (3.0 * pressure * pressure + f * f * square) / weight
        _add8(sums, s0, s1, s2, s3, s4, s5, energy, norm)


@numba.njit(**JIT)
def _add8(sums: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
    sums[0], sums[1], sums[2], sums[3] = sums[0] + a, sums[1] + b, sums[2] + c, sums[3] + d
    sums[4], sums[5], sums[6], sums[7] = sums[4] + e, sums[5] + f, sums[6] + g, sums[7] + h


TINY = 1e-300  # keeps 0/0 out of the direction of a deviator that vanishes


@numba.njit(**JIT)
def evaluate(u: Array, conn: Array, strain: Array, vp: Array, law: Array, geo: Array, f: Array, t: Array,
             sums: Array) -> None:  # fmt: skip
    """f <- internal forces at the displacement u under the mean strain; t <- tangents (times the point's volume).

    u, f: flat (nodes, 3); strain: (6,); t: (blocks, 8, 6, lanes) flat by block; sums: (8,) the integrals over the list of
    the stress, of the potential and of stress:stress.
    """
    v, s, x = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(LANES)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    e = (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5])
    f[:] = 0.0
    sums[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, e, s)
        _respond(s, vp[b], law[b], t[b], x, geo[9], sums)
        forces(s, g, v)
        scatter(v, conn[b], f)


@numba.njit(**JIT)
def _linear(s: Any, t: Any, bulk: float, total: Any) -> None:
    """Strains -> stresses with the tangent t of a block, in place."""
    s0, s1, s2, s3, s4, s5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    third = 1.0 / 3.0
    for q in range(8):
        for lane in range(LANES):
            p = q * POINT + lane
            f, a, b = t[p], t[p + LANES], t[p + 2 * LANES]
            c, d, e = t[p + 3 * LANES], t[p + 4 * LANES], t[p + 5 * LANES]
            xx, yy, zz = s[p], s[p + LANES], s[p + 2 * LANES]
            yz, xz, xy = s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES]
            along = a * (xx - zz) + b * (yy - zz) + c * yz + d * xz + e * xy
            pressure, half = (bulk - f * third) * (xx + yy + zz), 0.5 * f
            s[p], s[p + LANES] = pressure + f * xx - a * along, pressure + f * yy - b * along
            s[p + 2 * LANES] = pressure + f * zz + (a + b) * along
            s[p + 3 * LANES], s[p + 4 * LANES] = half * yz - c * along, half * xz - d * along
            s[p + 5 * LANES] = half * xy - e * along
            s0, s1, s2 = s0 + s[p], s1 + s[p + LANES], s2 + s[p + 2 * LANES]
            s3, s4, s5 = s3 + s[p + 3 * LANES], s4 + s[p + 4 * LANES], s5 + s[p + 5 * LANES]
    total[0], total[1], total[2] = total[0] + s0, total[1] + s1, total[2] + s2
    total[3], total[4], total[5] = total[3] + s3, total[4] + s4, total[5] + s5


@numba.njit(**JIT)
def tangent(u: Array, conn: Array, strain: Array, t: Array, law: Array, geo: Array, f: Array, total: Array) -> None:
    """f <- B^T C_t (strain + B u) for several right-hand sides at once, so that the tangents are read only once.

    u, f: (sides, flat nodes * 3); strain, total: (sides, 6); total <- integral of the stress.
    """
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    f[:] = 0.0
    total[:] = 0.0
    for b in range(conn.shape[0]):
        bulk = geo[9] * law[b, 0]
        for i in range(u.shape[0]):
            gather(u[i], conn[b], v)
            strains(v, g, (strain[i, 0], strain[i, 1], strain[i, 2], strain[i, 3], strain[i, 4], strain[i, 5]), s)
            _linear(s, t[b], bulk, total[i])
            forces(s, g, v)
            scatter(v, conn[b], f[i])


@numba.njit(**JIT)
def _settle(s: Any, s0: Any, h: Any, t: Any, law: Any, softening: float, weight: float, new: Any, sums: Any) -> None:
    """Strains s at the end and s0 at the start of the step -> history ``new``, sums, and in s: d stress/dT * weight."""
    K, mu2, n = law[0], law[1], law[3]
    for q in range(8):
        for lane in range(LANES):
            p, o = q * POINT + lane, q * HISTORY + lane
            d, a = _deviator(s, p, h, o), _deviator(s0, p, h, o)
            left, square = t[p] / (weight * mu2), _square(d)
            gone = 1.0 - left
            new[o], new[o + LANES] = h[o] + gone * d[1], h[o + LANES] + gone * d[2]
            for i in range(2, 5):
                new[o + i * LANES] = h[o + i * LANES] + gone * d[i + 2]
            b = (0.0, left * d[1] - a[1], left * d[2] - a[2], left * d[3] - a[3], left * d[4] - a[4], left * d[5] - a[5],
                 left * d[6] - a[6])  # fmt: skip
            sums[0] += weight * 0.5 * (K * d[0] * d[0] + mu2 * left * left * square)
            viscous, algorithmic = mu2 * left * gone * square, 0.5 * (K * (d[0] - a[0]) ** 2 + mu2 * _square(b))
            sums[1] += weight * (viscous + algorithmic)
            deviatoric = d[1] * s[p] + d[2] * s[p + LANES] + d[3] * s[p + 2 * LANES]
            deviatoric += d[4] * s[p + 3 * LANES] + d[5] * s[p + 4 * LANES] + d[6] * s[p + 5 * LANES]
            sums[2] += weight * (K * d[0] * d[0] + mu2 * left * deviatoric)
            factor = -weight * mu2 * softening * gone / (1.0 + n * gone / left)
            for i in range(6):
                sums[3 + i] += weight * gone * d[i + 1]
                s[p + i * LANES] = factor * d[i + 1]
                sums[9 + i] += factor * d[i + 1]


@numba.njit(**JIT)
def settle(u: Array, u0: Array, conn: Array, strain: Array, strain0: Array, vp: Array, law: Array, softening: Array, geo: Array,
           t: Array, new: Array, heat: Array, sums: Array) -> None:  # fmt: skip
    """Ends the step: ``new`` <- creep strain; ``heat`` <- nodal forces of d stress/dT at fixed strain.

    u0, strain0: at the start of the step. softening: (blocks,) d log A / dT. t: tangents of ``evaluate`` at u.
    sums: (15,) integrals of the stored energy; of the dissipation (stress : creep increment, plus half the elastic energy
    of the elastic increment, which backward Euler dissipates); of stress : strain; of the creep increment
    (11 22 33 23 13 12); of d stress/dT (the same order).
    """
    v, s, s0 = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    heat[:] = 0.0
    sums[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u0, conn[b], v)
        strains(v, g, (strain0[0], strain0[1], strain0[2], strain0[3], strain0[4], strain0[5]), s0)
        gather(u, conn[b], v)
        strains(v, g, (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5]), s)
        _settle(s, s0, vp[b], t[b], law[b], softening[b], geo[9], new[b], sums)
        forces(s, g, v)
        scatter(v, conn[b], heat)
