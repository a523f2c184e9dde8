"""Damaged elasticity and a nodal damage field on a list of trilinear hexahedra with 2 x 2 x 2 Gauss points.

    stress = b K tr(eps) I + s 2 mu dev(eps)

with factors b and s at every point, and for the damage d the forms of a screened Laplacian,

    integral of w N d  and  integral of k grad N . grad d,

with w at every point and k in every voxel. Layouts: ``hex8_points``; numbers at points: (blocks, 8 * LANES).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES, POINT, forces, gather, scatter, strains


@jit
def _stress(s: Any, bulk: Any, shear: Any, moduli: Any, weight: float, total: Any) -> None:
    """Strains of a block -> stresses times ``weight``, in place; adds them up in ``total``."""
    for q in range(8):
        s0, s1, s2, s3, s4, s5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for lane in range(LANES):
            p, o = q * POINT + lane, q * LANES + lane
            m, tr = weight * shear[o] * moduli[1, lane], s[p] + s[p + LANES] + s[p + 2 * LANES]
            pressure = (weight * bulk[o] * moduli[0, lane] - m * (1.0 / 3.0)) * tr
            xx, yy, zz = pressure + m * s[p], pressure + m * s[p + LANES], pressure + m * s[p + 2 * LANES]
            yz, xz, xy = 0.5 * m * s[p + 3 * LANES], 0.5 * m * s[p + 4 * LANES], 0.5 * m * s[p + 5 * LANES]
            s[p], s[p + LANES], s[p + 2 * LANES] = xx, yy, zz
            s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES] = yz, xz, xy
            s0, s1, s2, s3, s4, s5 = s0 + xx, s1 + yy, s2 + zz, s3 + yz, s4 + xz, s5 + xy
        total[0], total[1], total[2] = total[0] + s0, total[1] + s1, total[2] + s2
        total[3], total[4], total[5] = total[3] + s3, total[4] + s4, total[5] + s5


@jit
def damaged_forces(u: Array, conn: Array, strain: Array, bulk: Array, shear: Array, moduli: Array, geo: Array, f: Array,
                   total: Array) -> None:  # fmt: skip
    """f (3, nodes + 1) <- B^T stress(strain + B u); total (6,) <- its volume integral (11 22 33 23 13 12).

    strain: (6,) 11 22 33 and twice the shears; moduli: (blocks, 2, LANES) K and 2 mu in Pa; geo: ``geometry``.
    """
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    e = (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5])
    f[:] = 0.0
    total[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, e, s)
        _stress(s, bulk[b], shear[b], moduli[b], geo[9], total)
        forces(s, g, v)
        scatter(v, conn[b], f)


@jit
def energies(
    u: Array, conn: Array, strain: Array, moduli: Array, geo: Array, volumetric: Array, deviatoric: Array
) -> None:
    """At every point K tr^2 / 2, negative where the volume shrinks, and mu dev:dev, both in J/m3."""
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    e = (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5])
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, e, s)
        for q in range(8):
            for lane in range(LANES):
                p, o = q * POINT + lane, q * LANES + lane
                tr = s[p] + s[p + LANES] + s[p + 2 * LANES]
                third = tr * (1.0 / 3.0)
                x, y, z = s[p] - third, s[p + LANES] - third, s[p + 2 * LANES] - third
                c, d, f = s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES]
                volumetric[b, o] = 0.5 * moduli[b, 0, lane] * tr * abs(tr)
                square = x * x + y * y + z * z + 0.5 * (c * c + d * d + f * f)
                deviatoric[b, o] = 0.5 * moduli[b, 1, lane] * square


@jit
def stresses(
    u: Array, conn: Array, strain: Array, bulk: Array, shear: Array, moduli: Array, geo: Array, out: Array
) -> None:
    """out (blocks, 8 * POINT) <- the stress of ``damaged_forces`` at the points, Pa (11 22 33 23 13 12)."""
    v, total = np.empty(24 * LANES), np.empty(6)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    e = (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5])
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, e, out[b])
        _stress(out[b], bulk[b], shear[b], moduli[b], 1.0, total)


@jit
def pulled(x: Array, stress: Array, conn: Array, geo: Array, f: Array, total: Array) -> None:
    """f (3, nodes + 1) and total (6,) <- more by those of x times ``stress``; x: (blocks, 8 * LANES)."""
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    for b in range(conn.shape[0]):
        for q in range(8):
            for i in range(6):
                for lane in range(LANES):
                    p = q * POINT + i * LANES + lane
                    s[p] = geo[9] * x[b, q * LANES + lane] * stress[b, p]
                    total[i] += s[p]
        forces(s, g, v)
        scatter(v, conn[b], f)


@jit
def worked(u: Array, conn: Array, strain: Array, stress: Array, geo: Array, out: Array) -> None:
    """out (blocks, 8 * LANES) <- stress : (strain + B u) at the points; with ``loads`` the transpose of ``pulled``."""
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    e = (strain[0], strain[1], strain[2], strain[3], strain[4], strain[5])
    out[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, e, s)
        for q in range(8):
            for i in range(6):
                for lane in range(LANES):
                    p = q * POINT + i * LANES + lane
                    out[b, q * LANES + lane] += stress[b, p] * s[p]


@jit
def values(d: Array, conn: Array, shape: Array, out: Array) -> None:
    """out (blocks, 8 * LANES) <- the nodal d (1, nodes + 1) at the points; shape: ``shape_values``."""
    for b in range(conn.shape[0]):
        out[b] = 0.0
        for a in range(8):
            for q in range(8):
                n, o = shape[q, a], out[b, q * LANES : (q + 1) * LANES]
                for lane in range(LANES):
                    o[lane] += n * d[0, conn[b, a, lane]]


@jit
def screened(
    d: Array, conn: Array, w: Array, k: Array, shape: Array, stiffness: Array, weight: float, out: Array
) -> None:
    """out (1, nodes + 1) <- integral of w N d + k grad N . grad d.

    w: (blocks, 8 * LANES); k: (blocks, LANES); stiffness: (8, 8) of a voxel with k = 1; weight: a point's volume.
    """
    e, t, f = np.empty(8 * LANES), np.empty(8 * LANES), np.empty(8 * LANES)
    out[:] = 0.0
    for b in range(conn.shape[0]):
        for a in range(8):
            for lane in range(LANES):
                e[a * LANES + lane] = d[0, conn[b, a, lane]]
        t[:] = 0.0
        f[:] = 0.0
        for a in range(8):
            for q in range(8):
                n, m = shape[q, a], stiffness[q, a]
                for lane in range(LANES):
                    t[q * LANES + lane] += n * e[a * LANES + lane]
                    f[q * LANES + lane] += m * e[a * LANES + lane] * k[b, lane]
        for o in range(8 * LANES):
            t[o] *= weight * w[b, o]
        for a in range(8):
            for q in range(8):
                n = shape[q, a]
                for lane in range(LANES):
                    f[a * LANES + lane] += n * t[q * LANES + lane]
        for a in range(8):
            for lane in range(LANES):
                out[0, conn[b, a, lane]] += f[a * LANES + lane]


@jit
def loads(conn: Array, w: Array, powers: Array, weight: float, out: Array) -> None:
    """out (1, nodes + 1) <- integral of w N; with the squares of the shape functions as ``powers`` the diagonal."""
    out[:] = 0.0
    for b in range(conn.shape[0]):
        for a in range(8):
            for lane in range(LANES):
                total = 0.0
                for q in range(8):
                    total += powers[q, a] * w[b, q * LANES + lane]
                out[0, conn[b, a, lane]] += weight * total


def shape_values() -> Array:
    """(8 points, 8 corners) values of the shape functions at the Gauss points."""
    g = 3**-0.5
    line = np.array([[1 + g, 1 - g], [1 - g, 1 + g]]) / 2
    rows = [[line[q[0], a[0]] * line[q[1], a[1]] * line[q[2], a[2]] for a in product((0, 1), repeat=3)]
            for q in product((0, 1), repeat=3)]  # fmt: skip
    return np.array(rows)
