"""Trilinear hexahedra with 2 x 2 x 2 Gauss points whose response differs from point to point.

Elements come as a list, ``LANES`` at a time, so that the compiler turns one element's formulas into vector
instructions. Strains are found by sum factorisation: nodal values -> coefficients of the products of (1, xi), (1, eta),
(1, zeta) -> derivatives at the Gauss points; forces take the same way back.

Layout: ``u``: (3, nodes + 1), or (nodes + 1, 4) with one number to spare behind the components of a node; ``conn``: (blocks,
8 corners, LANES) node of a corner, unsigned (a signed index would be checked for being negative), corner = 4 x + 2 y + z;
point data: (blocks, 8 points * numbers * LANES), point = 4 x + 2 y + z. Blocks are filled up with elements at the spare last
node, which bear no force.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.registers import GROUP, get, put, read, same, transposed, write

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
def _two(u: Any, nodes: Any, lane: int) -> Any:
    """The numbers of two nodes."""
    return get(u, GROUP * nodes[lane], GROUP * nodes[lane + GROUP])


@jit
def _add_two(f: Any, nodes: Any, lane: int, v: Any) -> None:
    put(f, GROUP * nodes[lane], GROUP * nodes[lane + GROUP], _two(f, nodes, lane) + v)


@jit
def gather_rows(u: Array, conn: Array, v: Array) -> None:
    """``gather`` from a field (nodes + 1, 4), flat: one load for the numbers of a node, eight elements at a time."""
    for a in range(8):
        n = conn[a]
        for lane in range(0, LANES, 2 * GROUP):
            x, y, z, _ = transposed(_two(u, n, lane), _two(u, n, lane + 1), _two(u, n, lane + 2), _two(u, n, lane + 3))
            write(v, a * LANES + lane, x)
            write(v, (8 + a) * LANES + lane, y)
            write(v, (16 + a) * LANES + lane, z)


@jit
def scatter_rows(v: Array, conn: Array, f: Array) -> None:
    """``scatter`` to a field (nodes + 1, 4), flat. No two elements of a block have the same corner at the same node."""
    zero = same(v.dtype.type(0.0))
    for a in range(8):
        n = conn[a]
        for lane in range(0, LANES, 2 * GROUP):
            x, y = read(v, a * LANES + lane, zero), read(v, (8 + a) * LANES + lane, zero)
            p, q, r, s = transposed(x, y, read(v, (16 + a) * LANES + lane, zero), zero)
            _add_two(f, n, lane, p)
            _add_two(f, n, lane + 1, q)
            _add_two(f, n, lane + 2, r)
            _add_two(f, n, lane + 3, s)


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
def _derivatives(v: Any, c: int, lane: int, g: Any, e: Any) -> Any:
    """``e`` plus d/dx at (eta, zeta), d/dy at (xi, zeta), d/dz at (xi, eta) of component c: three times four values."""
    x, y, z, xy, xz, yz, xyz = _modes(v, c, lane)
    return (
        _four(g[0] * x + e[0], g[1] * xy, g[1] * xz, g[2] * xyz),
        _four(g[3] * y + e[1], g[4] * xy, g[4] * yz, g[5] * xyz),
        _four(g[6] * z + e[2], g[7] * xz, g[7] * yz, g[8] * xyz),
    )


@jit
def _put(s: Any, lane: int, x: Any, y: Any, z: Any, qx: int, qy: int, qz: int) -> None:
    """Strain at one point from the derivatives of the three components."""
    i, j, k, p = 2 * qy + qz, 2 * qx + qz, 2 * qx + qy, (4 * qx + 2 * qy + qz) * POINT + lane
    s[p], s[p + LANES], s[p + 2 * LANES] = x[0][i], y[1][j], z[2][k]
    s[p + 3 * LANES] = y[2][k] + z[1][j]
    s[p + 4 * LANES], s[p + 5 * LANES] = x[2][k] + z[0][i], x[1][j] + y[0][i]


@jit
def strains(v: Array, g: Any, e: Any, s: Array) -> None:
    """Corner displacements v of a block -> s[point, number, lane]: ``e`` plus 11, 22, 33 and twice 23, 13, 12."""
    zero = v.dtype.type(0.0)
    ex, ey, ez = (e[0], e[5], e[4]), (zero, e[1], e[3]), (zero, zero, e[2])
    for lane in range(LANES):
        x, y = _derivatives(v, 0, lane, g, ex), _derivatives(v, 1, lane, g, ey)
        z = _derivatives(v, 2, lane, g, ez)
        _put(s, lane, x, y, z, 0, 0, 0)
        _put(s, lane, x, y, z, 0, 0, 1)
        _put(s, lane, x, y, z, 0, 1, 0)
        _put(s, lane, x, y, z, 0, 1, 1)
        _put(s, lane, x, y, z, 1, 0, 0)
        _put(s, lane, x, y, z, 1, 0, 1)
        _put(s, lane, x, y, z, 1, 1, 0)
        _put(s, lane, x, y, z, 1, 1, 1)


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
