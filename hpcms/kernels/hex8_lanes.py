"""Elastic voxels of ``SIDE`` cells of one shape side by side: the elements of ``hex8_elastic``, one vector operation for all.

A plane of nodes is (ny, 3, nz * SIDE): the numbers of the cells at a node are neighbours in memory, and each is made of the
numbers of its own cell alone, by the same operations whatever the others are.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_elastic import CHUNK, ROW, _voxels

SIDE = 8  # cells side by side: the single-precision numbers of one vector of the processor
VOXELS = CHUNK // SIDE  # along z, treated at a time
ROOT = 2.0**0.5


@jit
def layer(u: Array, v: Array, lam: Array, mu: Array, spacing: Array, strain: Array | None, f: Array, h: Array,
          total: Array | None, t: Array, g: Array, spare: Array) -> None:  # fmt: skip
    """Adds to the planes f, h the forces of the voxels between the planes u and v.

    lam, mu: (ny, nz * SIDE). Besides, each cell has the mean strain of its column of ``strain`` (6, SIDE), Mandel, if given,
    and ``total`` (6, SIDE) gains the integral of its stress. t, g, spare: (12 ROW,), (24 ROW,), (6,) work space.
    """
    kind, ny, nz = u.dtype.type, u.shape[0], u.shape[2] // SIDE
    volume = kind(spacing[0] * spacing[1] * spacing[2])
    gx, gy, gz = kind(0.25 / spacing[0]), kind(0.25 / spacing[1]), kind(0.25 / spacing[2])
    zero = (kind(0), kind(0), kind(0), kind(0), kind(0), kind(0))
    pieces = (nz + VOXELS - 1) // VOXELS
    for j in range(ny):
        j1 = j + 1 if j + 1 < ny else 0
        for part in range(pieces):
            k0 = part * nz // pieces * SIDE
            n = (part + 1) * nz // pieces * SIDE - k0
            _gather(u, v, j, j1, k0, n, t)
            if strain is not None and total is not None:
                _add_strain(strain, spacing, n, t)
            _voxels(t, lam[j, k0 : k0 + n], mu[j, k0 : k0 + n], zero, gx, gy, gz, volume, g, spare, 0.0, SIDE)
            if strain is not None and total is not None:
                _add_stress(g, spacing, n, total)
            _scatter(f, h, j, j1, k0, n, g)


@jit
def _gather(u: Array, v: Array, j: int, j1: int, k0: int, n: int, t: Array) -> None:
    """Rows of t: for each component the sum, the x, the y and the xy difference over the four columns, n + SIDE nodes."""
    for s in range(6):
        c, p = s // 2, s // 2 * 4 * ROW
        k, size = k0, n
        if s % 2:
            p, k, size = p + n, k0 + n if k0 + n < u.shape[2] else 0, SIDE
        _combine(u[j, c, k : k + size], v[j, c, k:], u[j1, c, k:], v[j1, c, k:], t[p:])


@jit
def _combine(a: Array, b: Array, d: Array, e: Array, t: Array) -> None:
    for k in range(a.size):
        s, r = a[k] + b[k], d[k] + e[k]
        x, y = b[k] - a[k], e[k] - d[k]
        t[k], t[ROW + k], t[2 * ROW + k], t[3 * ROW + k] = s + r, x + y, r - s, y - x


@jit
def _add_strain(strain: Array, spacing: Array, n: int, t: Array) -> None:
    """Adds to the rows of ``_gather`` what the displacement strain . x adds, up to a constant."""
    for k in range(0, n + SIDE, SIDE):
        for c in range(SIDE):
            t[ROW + k + c] += 2.0 * spacing[0] * strain[0, c]
            t[6 * ROW + k + c] += 2.0 * spacing[1] * strain[1, c]
            t[8 * ROW + k + c] += 4.0 * spacing[2] * strain[2, c] * (k // SIDE)
            t[10 * ROW + k + c] += 2.0 * spacing[1] * ROOT * strain[3, c]
            t[9 * ROW + k + c] += 2.0 * spacing[0] * ROOT * strain[4, c]
            t[2 * ROW + k + c] += 2.0 * spacing[1] * ROOT * strain[5, c]


@jit
def _add_stress(g: Array, spacing: Array, n: int, total: Array) -> None:
    """Adds to ``total`` the integral of the stress, from the parts of the forces that it makes."""
    for k in range(0, n, SIDE):
        for c in range(SIDE):
            p = k + c
            total[0, c] += 2.0 * spacing[0] * (g[ROW + p] + g[13 * ROW + p])
            total[1, c] += 2.0 * spacing[1] * (g[6 * ROW + p] + g[18 * ROW + p])
            total[2, c] += 2.0 * spacing[2] * (g[20 * ROW + p] - g[8 * ROW + p])
            total[3, c] += 2.0 * spacing[1] * ROOT * (g[10 * ROW + p] + g[22 * ROW + p])
            total[4, c] += 2.0 * spacing[0] * ROOT * (g[9 * ROW + p] + g[21 * ROW + p])
            total[5, c] += 2.0 * spacing[1] * ROOT * (g[2 * ROW + p] + g[14 * ROW + p])


@jit
def _scatter(f: Array, h: Array, j: int, j1: int, k0: int, n: int, g: Array) -> None:
    """Adds the forces of a chunk to its four columns of the planes f and h."""
    for c in range(3):
        low, high = g[4 * c * ROW :], g[(4 * c + 12) * ROW :]
        for m in range(4):
            row = low[m * ROW + SIDE : m * ROW + n]
            for k in range(row.size):
                row[k] += high[m * ROW + k]
        for end in range(2):
            k, size, rows = k0, n, low
            if end:
                k, size, rows = k0 + n if k0 + n < f.shape[2] else 0, SIDE, high[n - SIDE :]
            _columns(size, rows)
            for m in range(4):
                column = (h if m % 2 else f)[j1 if m > 1 else j, c, k : k + size]
                _add(rows[m * ROW :], column)


@jit
def _columns(n: int, g: Array) -> None:
    """The four rows of ``g`` <- the forces on four columns: the transpose of ``_combine``."""
    for k in range(n):
        s, x, y, m = g[k], g[ROW + k], g[2 * ROW + k], g[3 * ROW + k]
        a, b, d, e = s - x, s + x, y - m, y + m
        g[k], g[ROW + k], g[2 * ROW + k], g[3 * ROW + k] = a - d, b - e, a + d, b + e


@jit
def _add(a: Array, b: Array) -> None:
    for k in range(b.size):
        b[k] += a[k]


@jit
def forces(groups: Array, u: Array, lam: Array, mu: Array, spacing: Array, strain: Array | None, f: Array,
           total: Array | None) -> None:  # fmt: skip
    """f <- forces of u (G, nx, ny, 3, nz * SIDE) in the ``groups``; lam, mu: (G, nx, ny, nz * SIDE), the rest as in ``layer``."""
    nx, kind = u.shape[1], u.dtype
    t, g, spare = np.zeros(12 * ROW, kind), np.zeros(24 * ROW, kind), np.zeros(6)
    for m in groups:
        flat = f[m].reshape(-1)
        for n in range(flat.size):
            flat[n] = 0
        for i in range(nx):
            j = i + 1 if i + 1 < nx else 0
            if strain is not None and total is not None:
                layer(
                    u[m, i], u[m, j], lam[m, i], mu[m, i], spacing, strain[m], f[m, i], f[m, j], total[m], t, g, spare
                )
            else:
                layer(u[m, i], u[m, j], lam[m, i], mu[m, i], spacing, None, f[m, i], f[m, j], None, t, g, spare)
