"""One backward Euler step of elasticity with Norton creep on a list of hexahedra: forces, tangents, and the final update.

At a Gauss point the elastic trial strain has the deviator d and the stress norm q = sqrt(6) mu |d|. What is left of the
deviator after the step is x d with x + k x^n = 1, k = 3 mu dt A q^(n-1) (``norton.remaining``). So the stress is
K tr(eps) I + 2 mu x d and the consistent tangent K I.I + 2 mu x I_dev - m.m with m along d: six numbers a point
(2 mu x and five of m) instead of 21. The step minimises, over the displacement, the volume integral of the potential
K tr^2 / 2 + q^2 / (6 mu) (x^2 + 2 n / (n + 1) x (1 - x)), whose derivative is the stress (Ortiz and Stainier, Comput.
Methods Appl. Mech. Eng. 171, 419-444, 1999).

Creeping ice is nearly incompressible, and trilinear hexahedra lock then: the pressure of a creeping voxel therefore
follows the mean of tr(eps) over its eight points (mean dilatation; Nagtegaal, Parks, Rice 1974; Hughes 1980). A phase
without a creep law keeps the full integration.

Element lists and layouts: ``hex8_points``. ``moduli``: (blocks, 2, lanes): K, 2 mu (0 for
fillers); ``law``: (blocks, 3): 3 mu dt A, n, 1 for mean dilatation or 0.
Strains are 11, 22, 33 and twice 23, 13, 12; creep strains ``vp``: (blocks, 8 points * 5 * lanes), 11, 22, 23, 13, 12.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES, POINT, forces, gather_rows, scatter_rows, strains
from hpcms.kernels.norton import remaining, remaining_cubic
from hpcms.kernels.registers import GROUP, read, same, summed, write

HISTORY = 5 * LANES  # stride of the creep strain from one point to the next
TINY = 1e-300  # keeps 0/0 out of the direction of a deviator that vanishes


@jit
def _deviator(s: Any, p: int, h: Any, o: int) -> Any:
    """Trace of the strain and the elastic trial deviator 11, 22, 33, 23, 13, 12."""
    tr = s[p] + s[p + LANES] + s[p + 2 * LANES]
    mean = tr * (1.0 / 3.0)
    a, b = s[p] - mean - h[o], s[p + LANES] - mean - h[o + LANES]
    return (tr, a, b, -(a + b), 0.5 * s[p + 3 * LANES] - h[o + 2 * LANES], 0.5 * s[p + 4 * LANES] - h[o + 3 * LANES],
            0.5 * s[p + 5 * LANES] - h[o + 4 * LANES])  # fmt: skip


@jit
def _square(d: Any) -> Any:
    return d[1] * d[1] + d[2] * d[2] + d[3] * d[3] + 2.0 * (d[4] * d[4] + d[5] * d[5] + d[6] * d[6])


@jit
def _dilatation(s: Any, mean: Any) -> None:
    """mean[lane] <- trace of the strain, averaged over the points of the voxel."""
    eighth = mean.dtype.type(0.125)
    for lane in range(LANES):
        total = mean.dtype.type(0.0)
        for q in range(8):
            p = q * POINT + lane
            total += s[p] + s[p + LANES] + s[p + 2 * LANES]
        mean[lane] = eighth * total


@jit
def _leave(s: Any, h: Any, q: int, moduli: Any, law: Any, k: Any, k_bits: Any, x: Any, bits: Any) -> None:
    """x[lane] <- the share of the trial deviator of point q that is left."""
    c, n, mu2 = law[0], law[1], moduli[1]
    for lane in range(LANES):
        d = _deviator(s, q * POINT + lane, h, q * HISTORY + lane)
        k[lane] = 1.5 * _square(d) * mu2[lane] * mu2[lane]
    if not c > 0.0:
        x[:] = 1.0
    elif n == 3.0:
        for lane in range(LANES):
            k[lane] *= c
        remaining_cubic(k, k_bits, x, bits)
    else:
        for lane in range(LANES):
            x[lane] = remaining(c * k[lane] ** (0.5 * (n - 1.0)), n)


@jit
def _respond(s: Any, h: Any, moduli: Any, law: Any, t: Any, left: Any, k: Any, k_bits: Any, x: Any, bits: Any, mean: Any,
             weight: float, sums: Any) -> None:  # fmt: skip
    """Strains s of a block -> stresses times ``weight``; tangents t; sums as in ``evaluate``."""
    n, average, share = law[1], law[2], 2.0 * law[1] / (law[1] + 1.0)
    _dilatation(s, mean)
    for q in range(8):
        _leave(s, h, q, moduli, law, k, k_bits, x, bits)
        s0, s1, s2, s3, s4, s5, energy, norm = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for lane in range(LANES):
            p = q * POINT + lane
            d = _deviator(s, p, h, q * HISTORY + lane)
            left[q * LANES + lane] = x[lane]
            square, rest, K, mu2 = _square(d), x[lane], weight * moduli[0, lane], weight * moduli[1, lane]
            # y = k x^(n-1); then dq'/dq - x = -(n - 1) y / ((1 + y)(1 + n y)) along the deviator
            y = (1.0 - rest) / rest
            b = np.sqrt(mu2 * (n - 1.0) * y / ((1.0 + y) * (1.0 + n * y) * (square + TINY)))
            f, dilatation = mu2 * rest, d[0] + average * (mean[lane] - d[0])
            pressure = K * dilatation
            t[p], t[p + LANES], t[p + 2 * LANES] = f, b * d[1], b * d[2]
            t[p + 3 * LANES], t[p + 4 * LANES], t[p + 5 * LANES] = b * d[4], b * d[5], b * d[6]
            a0, a1, a2 = pressure + f * d[1], pressure + f * d[2], pressure + f * d[3]
            a3, a4, a5 = f * d[4], f * d[5], f * d[6]
            s[p], s[p + LANES], s[p + 2 * LANES] = a0, a1, a2
            s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES] = a3, a4, a5
            s0, s1, s2, s3, s4, s5 = s0 + a0, s1 + a1, s2 + a2, s3 + a3, s4 + a4, s5 + a5
            energy += 0.5 * (pressure * dilatation + mu2 * square * rest * (rest + share * (1.0 - rest)))
            norm += 3.0 * pressure * pressure + f * f * square
        _add8(sums, s0, s1, s2, s3, s4, s5, energy, norm / weight)


@jit
def _add8(sums: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
    sums[0], sums[1], sums[2], sums[3] = sums[0] + a, sums[1] + b, sums[2] + c, sums[3] + d
    sums[4], sums[5], sums[6], sums[7] = sums[4] + e, sums[5] + f, sums[6] + g, sums[7] + h


@jit
def evaluate(u: Array, conn: Array, sheet: Array, strain: Array, vp: Array, moduli: Array, law: Array, geo: Array, f: Array,
             t: Array, left: Array, sums: Array) -> None:  # fmt: skip
    """f <- internal forces at the displacement u under the mean strain; t <- tangents times the point's volume.

    u, f: (nodes + 1, 4); sheet: (blocks,) row of ``strain`` (sheets, 6) that a block sees; t: (blocks, 8 points * 6 *
    lanes) in single precision; left: (blocks, 8 points * lanes) the shares x; sums: (sheets, 8) integrals of the stress
    (11 22 33 23 13 12), of the potential and of stress:stress.
    """
    v, s, mean = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(LANES)
    k, x = np.empty(LANES), np.empty(LANES)
    k_bits, bits = k.view(np.int64), x.view(np.int64)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    u1, f1 = u.reshape(-1), f.reshape(-1)
    f1[:] = 0.0
    sums[:] = 0.0
    for b in range(conn.shape[0]):
        e = strain[sheet[b]]
        gather_rows(u1, conn[b], v)
        strains(v, g, (e[0], e[1], e[2], e[3], e[4], e[5]), s)
        _respond(s, vp[b], moduli[b], law[b], t[b], left[b], k, k_bits, x, bits, mean, geo[9], sums[sheet[b]])
        forces(s, g, v)
        scatter_rows(v, conn[b], f1)


@jit
def _linear(s: Any, t: Any, bulk: Any, weight: Any, average: Any, mean: Any, total: Any) -> None:
    """Strains -> stresses with the tangent t of a block, in place, in explicit vectors."""
    _dilatation(s, mean)
    kind = s.dtype.type
    third, half, zero = same(kind(1.0 / 3.0)), same(kind(0.5)), same(kind(0.0))
    kept, shared = same(weight * (kind(1.0) - average)), same(weight * average)
    s0, s1, s2, s3, s4, s5 = zero, zero, zero, zero, zero, zero
    for lane in range(0, LANES, 2 * GROUP):
        K = read(bulk, lane, zero)
        own, base = kept * K, shared * K * read(mean, lane, zero)
        for p in range(lane, 8 * POINT, POINT):
            f, a, b = read(t, p, zero), read(t, p + LANES, zero), read(t, p + 2 * LANES, zero)
            c, d, e = read(t, p + 3 * LANES, zero), read(t, p + 4 * LANES, zero), read(t, p + 5 * LANES, zero)
            xx, yy, zz = read(s, p, zero), read(s, p + LANES, zero), read(s, p + 2 * LANES, zero)
            yz, xz, xy = read(s, p + 3 * LANES, zero), read(s, p + 4 * LANES, zero), read(s, p + 5 * LANES, zero)
            along = a * (xx - zz) + b * (yy - zz) + c * yz + d * xz + e * xy
            pressure, g = base + (own - third * f) * (xx + yy + zz), half * f
            xx, yy = pressure + f * xx - a * along, pressure + f * yy - b * along
            zz, yz = pressure + f * zz + (a + b) * along, g * yz - c * along
            xz, xy = g * xz - d * along, g * xy - e * along
            write(s, p, xx)
            write(s, p + LANES, yy)
            write(s, p + 2 * LANES, zz)
            write(s, p + 3 * LANES, yz)
            write(s, p + 4 * LANES, xz)
            write(s, p + 5 * LANES, xy)
            s0, s1, s2, s3, s4, s5 = s0 + xx, s1 + yy, s2 + zz, s3 + yz, s4 + xz, s5 + xy
    total[0], total[1], total[2] = total[0] + summed(s0), total[1] + summed(s1), total[2] + summed(s2)
    total[3], total[4], total[5] = total[3] + summed(s3), total[4] + summed(s4), total[5] + summed(s5)


@jit
def tangent(u: Array, conn: Array, sheet: Array, strain: Array, t: Array, moduli: Array, law: Array, geo: Array, f: Array,
            total: Array) -> None:  # fmt: skip
    """f <- B^T C_t (strain + B u); total (sheets, 6) <- integral of the stress. u, f: (nodes + 1, 4); strain: (sheets, 6)."""
    v, s, mean = np.empty(24 * LANES, u.dtype), np.empty(8 * POINT, u.dtype), np.empty(LANES, u.dtype)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    u1, f1 = u.reshape(-1), f.reshape(-1)
    f1[:] = 0.0
    total[:] = 0.0
    for b in range(conn.shape[0]):
        e = strain[sheet[b]]
        gather_rows(u1, conn[b], v)
        strains(v, g, (e[0], e[1], e[2], e[3], e[4], e[5]), s)
        _linear(s, t[b], moduli[b, 0], geo[9], law[b, 2], mean, total[sheet[b]])
        forces(s, g, v)
        scatter_rows(v, conn[b], f1)


@jit
def _settle(s: Any, s0: Any, h: Any, left: Any, moduli: Any, law: Any, softening: float, weight: float, mean: Any,
            mean0: Any, new: Any, sums: Any) -> None:  # fmt: skip
    """Strains s at the end and s0 at the start of the step -> history ``new``, sums, and in s: d stress/dT * weight."""
    n, average = law[1], law[2]
    _dilatation(s, mean)
    _dilatation(s0, mean0)
    for q in range(8):
        energy, lost, work = 0.0, 0.0, 0.0
        for lane in range(LANES):
            p, o = q * POINT + lane, q * HISTORY + lane
            d, a = _deviator(s, p, h, o), _deviator(s0, p, h, o)
            K, mu2, square = weight * moduli[0, lane], weight * moduli[1, lane], _square(d)
            rest = left[q * LANES + lane]
            gone, tr, tr0 = 1.0 - rest, d[0] + average * (mean[lane] - d[0]), a[0] + average * (mean0[lane] - a[0])
            new[o], new[o + LANES] = h[o] + gone * d[1], h[o + LANES] + gone * d[2]
            new[o + 2 * LANES], new[o + 3 * LANES] = h[o + 2 * LANES] + gone * d[4], h[o + 3 * LANES] + gone * d[5]
            new[o + 4 * LANES] = h[o + 4 * LANES] + gone * d[6]
            elastic = K * (tr - tr0) * (tr - tr0)
            elastic += mu2 * (rest * rest * square + _square(a) - 2.0 * rest * _product(d, a))
            energy += 0.5 * (K * tr * tr + mu2 * rest * rest * square)
            lost += mu2 * rest * gone * square + 0.5 * elastic
            work += K * tr * d[0] + mu2 * rest * _strained(s, p, d)
            s0[p], s0[p + LANES], s0[p + 2 * LANES] = gone * d[1], gone * d[2], gone * d[3]
            s0[p + 3 * LANES], s0[p + 4 * LANES], s0[p + 5 * LANES] = gone * d[4], gone * d[5], gone * d[6]
            factor = -mu2 * softening * gone / (1.0 + n * gone / rest)
            for i in range(6):
                s[p + i * LANES] = factor * d[i + 1]
        sums[0], sums[1], sums[2] = sums[0] + energy, sums[1] + lost, sums[2] + work
        for lane in range(LANES):
            own = weight if moduli[1, lane] > 0.0 else 0.0
            for i in range(6):
                sums[3 + i] += own * s0[q * POINT + i * LANES + lane]
                sums[9 + i] += s[q * POINT + i * LANES + lane]


@jit
def _product(a: Any, b: Any) -> Any:
    return a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + 2.0 * (a[4] * b[4] + a[5] * b[5] + a[6] * b[6])


@jit
def _strained(s: Any, p: int, d: Any) -> Any:
    """Deviator d times the strain s at p."""
    normal = d[1] * s[p] + d[2] * s[p + LANES] + d[3] * s[p + 2 * LANES]
    return normal + d[4] * s[p + 3 * LANES] + d[5] * s[p + 4 * LANES] + d[6] * s[p + 5 * LANES]


@jit
def settle(u: Array, u0: Array, conn: Array, sheet: Array, strain: Array, strain0: Array, vp: Array, moduli: Array,
           law: Array, softening: Array, geo: Array, left: Array, new: Array, heat: Array, sums: Array) -> None:  # fmt: skip
    """Ends the step: ``new`` <- creep strain; ``heat`` <- nodal forces of d stress/dT at fixed strain.

    u0, strain0: at the start of the step. softening: (blocks,) d log A / dT. left: of ``evaluate`` at u.
    sums: (sheets, 15) integrals of the stored energy; of the dissipation (stress : creep increment, plus half the elastic
    energy of the elastic increment, which backward Euler dissipates); of stress : strain; of the creep increment and of
    d stress/dT (11 22 33 23 13 12).
    """
    v, s, s0 = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(8 * POINT)
    mean, mean0 = np.empty(LANES), np.empty(LANES)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    u1, u2, f1 = u.reshape(-1), u0.reshape(-1), heat.reshape(-1)
    f1[:] = 0.0
    sums[:] = 0.0
    for b in range(conn.shape[0]):
        e, e0 = strain[sheet[b]], strain0[sheet[b]]
        gather_rows(u2, conn[b], v)
        strains(v, g, (e0[0], e0[1], e0[2], e0[3], e0[4], e0[5]), s0)
        gather_rows(u1, conn[b], v)
        strains(v, g, (e[0], e[1], e[2], e[3], e[4], e[5]), s)
        _settle(s, s0, vp[b], left[b], moduli[b], law[b], softening[b], geo[9], mean, mean0, new[b], sums[sheet[b]])
        forces(s, g, v)
        scatter_rows(v, conn[b], f1)
