"""Trilinear hexahedra with 2 x 2 x 2 Gauss points whose response differs from point to point.

Elements come as a list, ``LANES`` at a time, so that the compiler turns one element's formulas into vector
instructions. Strains are found by sum factorisation: nodal values -> coefficients of the products of (1, xi), (1, eta),
(1, zeta) -> derivatives at the Gauss points; forces take the same way back.

Layout: ``u``: (3, nodes + 1); ``conn``: (blocks, 8 corners, LANES) node of a corner, unsigned (a signed index would be
checked for being negative), corner = 4 x + 2 y + z; point data: (blocks, 8 points * numbers * LANES), point = 4 x + 2 y + z.
Blocks are filled up with elements at the spare last node.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

LANES = 16  # at least 16, or the compiler counts the loop as too short for vector instructions
POINT = 6 * LANES


def geometry(spacing: tuple[float, float, float]) -> Array:
    """(10,) derivative factors of the coefficients (linear, bilinear, trilinear) by axis, and a point's volume."""
    g = 0.25 / np.array(spacing)
    return np.concatenate([(g[:, None] * [1.0, 3**-0.5, 1.0 / 3.0]).ravel(), [np.prod(spacing) / 8.0]])


@jit
def gather(u: Array, conn: Array, v: Array) -> None:
    """v[component, corner, lane] of one block, flat, from the fields u (3, nodes)."""
    for c in range(3):
        w = u[c]
        for a in range(8):
            for lane in range(LANES):
                v[(8 * c + a) * LANES + lane] = w[conn[a, lane]]


@jit
def scatter(v: Array, conn: Array, f: Array) -> None:
    """Adds the corner forces of one block to the fields f (3, nodes)."""
    for c in range(3):
        w = f[c]
        for a in range(8):
            for lane in range(LANES):
                w[conn[a, lane]] += v[(8 * c + a) * LANES + lane]


@jit
def _modes(v: Any, c: int, lane: int) -> Any:
    """Coefficients (times 8) 100, 010, 001, 110, 101, 011, 111 of one component."""
    p = c * 8 * LANES + lane
    a0, a1, a2, a3 = v[p], v[p + LANES], v[p + 2 * LANES], v[p + 3 * LANES]
    b0, b1, b2, b3 = v[p + 4 * LANES], v[p + 5 * LANES], v[p + 6 * LANES], v[p + 7 * LANES]
    s0, s1, s2, s3 = a0 + b0, a1 + b1, a2 + b2, a3 + b3
    d0, d1, d2, d3 = b0 - a0, b1 - a1, b2 - a2, b3 - a3
    p0, p1, q0, q1 = s0 + s2, s1 + s3, s2 - s0, s3 - s1
    r0, r1, t0, t1 = d0 + d2, d1 + d3, d2 - d0, d3 - d1
    return r0 + r1, q0 + q1, p1 - p0, t0 + t1, r1 - r0, q1 - q0, t1 - t0


@jit
def _unmodes(v: Any, c: int, lane: int, m: Any) -> None:
    """Transpose of ``_modes``: corner forces from forces of the coefficients."""
    x, y, z, xy, xz, yz, xyz = m
    p = c * 8 * LANES + lane
    p0, p1, q0, q1 = -z, z, y - yz, y + yz
    r0, r1, t0, t1 = x - xz, x + xz, xy - xyz, xy + xyz
    s0, s1, s2, s3 = p0 - q0, p1 - q1, p0 + q0, p1 + q1
    d0, d1, d2, d3 = r0 - t0, r1 - t1, r0 + t0, r1 + t1
    v[p], v[p + LANES], v[p + 2 * LANES], v[p + 3 * LANES] = s0 - d0, s1 - d1, s2 - d2, s3 - d3
    v[p + 4 * LANES], v[p + 5 * LANES], v[p + 6 * LANES], v[p + 7 * LANES] = s0 + d0, s1 + d1, s2 + d2, s3 + d3


@jit
def _four(a: Any, p: Any, q: Any, r: Any) -> Any:
    """a + p s + q t + r s t at the signs (s, t) = --, -+, +-, ++."""
    m, n, k, j = a - p, a + p, q - r, q + r
    return m - k, m + k, n - j, n + j


@jit
def _unfour(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Transpose of ``_four``."""
    s, t, m, n = a + b, c + d, b - a, d - c
    return s + t, t - s, m + n, n - m


@jit
def _derivatives(v: Any, c: int, lane: int, g: Any) -> Any:
    """d/dx at (eta, zeta), d/dy at (xi, zeta), d/dz at (xi, eta) of component c: three times four values."""
    x, y, z, xy, xz, yz, xyz = _modes(v, c, lane)
    return (
        _four(g[0] * x, g[1] * xy, g[1] * xz, g[2] * xyz),
        _four(g[3] * y, g[4] * xy, g[4] * yz, g[5] * xyz),
        _four(g[6] * z, g[7] * xz, g[7] * yz, g[8] * xyz),
    )


@jit
def _put(s: Any, lane: int, x: Any, y: Any, z: Any, e: Any, qx: int, qy: int, qz: int) -> None:
    """Strain at one point from the derivatives of the three components."""
    i, j, k, p = 2 * qy + qz, 2 * qx + qz, 2 * qx + qy, (4 * qx + 2 * qy + qz) * POINT + lane
    s[p], s[p + LANES], s[p + 2 * LANES] = x[0][i] + e[0], y[1][j] + e[1], z[2][k] + e[2]
    s[p + 3 * LANES] = y[2][k] + z[1][j] + e[3]
    s[p + 4 * LANES], s[p + 5 * LANES] = x[2][k] + z[0][i] + e[4], x[1][j] + y[0][i] + e[5]


@jit
def strains(v: Array, g: Any, e: Any, s: Array) -> None:
    """Corner displacements v of a block -> s[point, number, lane]: ``e`` plus 11, 22, 33 and twice 23, 13, 12."""
    for lane in range(LANES):
        x, y, z = _derivatives(v, 0, lane, g), _derivatives(v, 1, lane, g), _derivatives(v, 2, lane, g)
        _put(s, lane, x, y, z, e, 0, 0, 0)
        _put(s, lane, x, y, z, e, 0, 0, 1)
        _put(s, lane, x, y, z, e, 0, 1, 0)
        _put(s, lane, x, y, z, e, 0, 1, 1)
        _put(s, lane, x, y, z, e, 1, 0, 0)
        _put(s, lane, x, y, z, e, 1, 0, 1)
        _put(s, lane, x, y, z, e, 1, 1, 0)
        _put(s, lane, x, y, z, e, 1, 1, 1)


@jit
def _pair(s: Any, i: int, lane: int, a: int, b: int) -> Any:
    return s[a * POINT + i * LANES + lane] + s[b * POINT + i * LANES + lane]


@jit
def forces(s: Array, g: Any, v: Array) -> None:
    """Transpose of ``strains``: stresses s (11, 22, 33, 23, 13, 12) times a point's volume -> corner forces v."""
    _force(s, g, v, 0, 0, 5, 4)
    _force(s, g, v, 1, 5, 1, 3)
    _force(s, g, v, 2, 4, 3, 2)


@jit
def _force(s: Any, g: Any, v: Any, c: int, i: int, j: int, k: int) -> None:
    """Component c; i, j, k: places of its stresses on the faces x, y, z."""
    for lane in range(LANES):
        a, p, q, r = _unfour(
            _pair(s, i, lane, 0, 4), _pair(s, i, lane, 1, 5), _pair(s, i, lane, 2, 6), _pair(s, i, lane, 3, 7)
        )
        b, t, u, w = _unfour(
            _pair(s, j, lane, 0, 2), _pair(s, j, lane, 1, 3), _pair(s, j, lane, 4, 6), _pair(s, j, lane, 5, 7)
        )
        d, m, n, o = _unfour(
            _pair(s, k, lane, 0, 1), _pair(s, k, lane, 2, 3), _pair(s, k, lane, 4, 5), _pair(s, k, lane, 6, 7)
        )
        _unmodes(
            v, c, lane,
            (g[0] * a, g[3] * b, g[6] * d, g[1] * p + g[4] * t, g[1] * q + g[7] * m, g[4] * u + g[7] * n,
             g[2] * r + g[5] * w + g[8] * o),
        )  # fmt: skip
