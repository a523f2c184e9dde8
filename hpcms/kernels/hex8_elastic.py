"""Linear isotropic elasticity on voxels: trilinear hexahedra, full integration, one pair of Lame moduli a voxel.

The displacement inside a voxel is written in the eight products of (1, xi), (1, eta), (1, zeta), whose coefficients
are sums and differences of the nodal values. In this basis the 2 x 2 x 2 Gauss points, exact for these polynomials,
leave an almost diagonal stiffness: the mean strain carries the full Hooke's law, the linear parts weigh 1/3, the
bilinear ones 1/9. Zero moduli mean void. Fields are (3, nx, ny, nz) and periodic; node (i, j, k) is the lower
corner of voxel (i, j, k).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

CHUNK = 96  # voxels along z treated at once
ROW = CHUNK + 8  # a constant row length lets the compiler see that rows do not overlap


@jit
def apply_stiffness(u: Array, lam: Array, mu: Array, strain: Array, spacing: Array, f: Array, total: Array) -> None:
    """f += B^T C (strain + B u) and total += volume integral of the stress.

    u, f: (3, nx, ny, nz); lam, mu: (nx, ny, nz); strain: (6,) Mandel; total: (6,) Mandel, float64.
    Everything but ``total`` in one precision, which is the precision of the computation.
    """
    nx, ny, nz = lam.shape
    kind = u.dtype.type
    volume = kind(spacing[0] * spacing[1] * spacing[2])
    gx, gy, gz = kind(0.25 / spacing[0]), kind(0.25 / spacing[1]), kind(0.25 / spacing[2])
    root = np.sqrt(0.5)
    e = (kind(strain[0]), kind(strain[1]), kind(strain[2]),
         kind(2.0 * root * strain[3]), kind(2.0 * root * strain[4]), kind(2.0 * root * strain[5]))  # fmt: skip
    t = np.empty(12 * ROW, u.dtype)
    g = np.empty(24 * ROW, u.dtype)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k0 in range(0, nz, CHUNK):
                n = min(CHUNK, nz - k0)
                _gather(u, i, i1, j, j1, k0, n, t)
                _voxels(t, lam[i, j, k0 : k0 + n], mu[i, j, k0 : k0 + n], e, gx, gy, gz, volume, g, total, 2.0 * root)
                _scatter(f, i, i1, j, j1, k0, n, g)


@jit
def _gather(u: Any, i: int, i1: int, j: int, j1: int, k0: int, n: int, t: Any) -> None:
    """Rows of t: for each component the sum, the x, the y and the xy difference over the four columns, n + 1 nodes."""
    nz = u.shape[3]
    last = k0 + n if k0 + n < nz else 0
    for c in range(3):
        p = 4 * c * ROW
        a, b, d, e = u[c, i, j], u[c, i1, j], u[c, i, j1], u[c, i1, j1]
        for k in range(n):
            s, r = a[k0 + k] + b[k0 + k], d[k0 + k] + e[k0 + k]
            x, y = b[k0 + k] - a[k0 + k], e[k0 + k] - d[k0 + k]
            t[p + k], t[p + ROW + k], t[p + 2 * ROW + k], t[p + 3 * ROW + k] = s + r, x + y, r - s, y - x
        s, r = a[last] + b[last], d[last] + e[last]
        x, y = b[last] - a[last], e[last] - d[last]
        t[p + n], t[p + ROW + n], t[p + 2 * ROW + n], t[p + 3 * ROW + n] = s + r, x + y, r - s, y - x


@jit
def _voxels(t: Any, lam: Any, mu: Any, e: Any, gx: Any, gy: Any, gz: Any, volume: Any, g: Any, total: Any,
            root: Any, step: int = 1) -> None:  # fmt: skip
    """Forces g of a chunk: rows 0..11 at the lower, 12..23 at the upper nodes, in the combinations of ``_gather``.

    ``step``: distance of the two nodes of a voxel in a row, the number of cells side by side.
    """
    third = lam.dtype.type(1.0 / 3.0)
    s0, s1, s2, s3, s4, s5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(lam.shape[0]):
        la, m = volume * lam[k], volume * mu[k]
        xx, yy, zz = gx * _sum(t, 1, k, step) + e[0], gy * _sum(t, 6, k, step) + e[1], gz * _step(t, 8, k, step) + e[2]
        yz = m * (gz * _step(t, 4, k, step) + gy * _sum(t, 10, k, step) + e[3])
        xz = m * (gz * _step(t, 0, k, step) + gx * _sum(t, 9, k, step) + e[4])
        xy = m * (gy * _sum(t, 2, k, step) + gx * _sum(t, 5, k, step) + e[5])
        tr = la * (xx + yy + zz)
        xx, yy, zz = tr + (m + m) * xx, tr + (m + m) * yy, tr + (m + m) * zz
        s0, s1, s2, s3, s4, s5 = s0 + xx, s1 + yy, s2 + zz, s3 + yz, s4 + xz, s5 + xy
        x, y, z = _higher(
            (_sum(t, 3, k, step), _step(t, 1, k, step), _step(t, 2, k, step), _step(t, 3, k, step)),
            (_sum(t, 7, k, step), _step(t, 5, k, step), _step(t, 6, k, step), _step(t, 7, k, step)),
            (_sum(t, 11, k, step), _step(t, 9, k, step), _step(t, 10, k, step), _step(t, 11, k, step)),
            third * la, third * m, gx, gy, gz, third,
        )  # fmt: skip
        _store(g, 0, k, (gx * xx, gy * xy, gz * xz), x)
        _store(g, 4, k, (gx * xy, gy * yy, gz * yz), y)
        _store(g, 8, k, (gx * xz, gy * yz, gz * zz), z)
    total[0], total[1], total[2] = total[0] + s0, total[1] + s1, total[2] + s2
    total[3], total[4], total[5] = total[3] + root * s3, total[4] + root * s4, total[5] + root * s5


@jit
def _sum(t: Any, row: int, k: int, step: int = 1) -> Any:
    return t[row * ROW + k] + t[row * ROW + k + step]


@jit
def _step(t: Any, row: int, k: int, step: int = 1) -> Any:
    return t[row * ROW + k + step] - t[row * ROW + k]


@jit
def _higher(x: Any, y: Any, z: Any, la: Any, m: Any, gx: Any, gy: Any, gz: Any, third: Any) -> Any:
    """Forces of the coefficients (xi eta, xi zeta, eta zeta, xi eta zeta) of the three components, given those."""
    m2 = m + m
    x110, x101, x011, x111 = x
    y110, y101, y011, y111 = y
    z110, z101, z011, z111 = z
    # stresses that vary with xi, then eta, then zeta
    ay, az = gy * y110, gz * z101
    a_tr, a_yz = la * (ay + az), m * (gz * y101 + gy * z110)
    bx, bz = gx * x110, gz * z011
    b_tr, b_xz = la * (bx + bz), m * (gz * x011 + gx * z110)
    cx, cy = gx * x101, gy * y011
    c_tr, c_xy = la * (cx + cy), m * (gy * x011 + gx * y101)
    xx, yy, zz, l2 = gx * gx, gy * gy, gz * gz, la + m2
    fx = (m * yy * x110 + gx * (b_tr + m2 * bx), m * zz * x101 + gx * (c_tr + m2 * cx), gz * b_xz + gy * c_xy,
          third * (l2 * xx + m * (yy + zz)) * x111)  # fmt: skip
    fy = (m * xx * y110 + gy * (a_tr + m2 * ay), gz * a_yz + gx * c_xy, m * zz * y011 + gy * (c_tr + m2 * cy),
          third * (l2 * yy + m * (xx + zz)) * y111)  # fmt: skip
    fz = (gy * a_yz + gx * b_xz, m * xx * z101 + gz * (a_tr + m2 * az), m * yy * z011 + gz * (b_tr + m2 * bz),
          third * (l2 * zz + m * (xx + yy)) * z111)  # fmt: skip
    return fx, fy, fz


@jit
def _store(g: Any, row: int, k: int, linear: Any, higher: Any) -> None:
    """Rows of one component from its forces ``linear`` (xi, eta, zeta) and ``higher`` (xi eta, xi zeta, ...)."""
    p, q = row * ROW + k, (row + 12) * ROW + k
    g[p], g[q] = -linear[2], linear[2]
    g[p + ROW], g[q + ROW] = linear[0] - higher[1], linear[0] + higher[1]
    g[p + 2 * ROW], g[q + 2 * ROW] = linear[1] - higher[2], linear[1] + higher[2]
    g[p + 3 * ROW], g[q + 3 * ROW] = higher[0] - higher[3], higher[0] + higher[3]


@jit
def _scatter(f: Any, i: int, i1: int, j: int, j1: int, k0: int, n: int, g: Any) -> None:
    """Adds the forces of a chunk to the four columns of f; the lower rows of g end with the sums at their nodes."""
    last = k0 + n if k0 + n < f.shape[3] else 0
    for c in range(3):
        p = 4 * c * ROW
        q = p + 12 * ROW
        for m in range(4):
            low, high = g[p + m * ROW + 1 : p + m * ROW + n], g[q + m * ROW : q + m * ROW + n - 1]
            for k in range(low.size):
                low[k] += high[k]
        s, x, y, m = g[p:], g[p + ROW :], g[p + 2 * ROW :], g[p + 3 * ROW :]
        a, b, d, e = f[c, i, j], f[c, i1, j], f[c, i, j1], f[c, i1, j1]
        _add(a[k0 : k0 + n], s, x, y, m, -1.0, -1.0)
        _add(b[k0 : k0 + n], s, x, y, m, 1.0, -1.0)
        _add(d[k0 : k0 + n], s, x, y, m, -1.0, 1.0)
        _add(e[k0 : k0 + n], s, x, y, m, 1.0, 1.0)
        q += n - 1
        t, u, v, w = g[q], g[q + ROW], g[q + 2 * ROW], g[q + 3 * ROW]
        a[last] += t - u - v + w
        b[last] += t + u - v - w
        d[last] += t - u + v - w
        e[last] += t + u + v + w


@jit
def _add(column: Any, s: Any, x: Any, y: Any, m: Any, along_x: float, along_y: float) -> None:
    """column += s + along_x x + along_y y + along_x along_y m."""
    a, b = column.dtype.type(along_x), column.dtype.type(along_y)
    for k in range(column.size):
        column[k] += s[k] + a * x[k] + b * (y[k] + a * m[k])
