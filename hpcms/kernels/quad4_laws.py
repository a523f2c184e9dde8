"""Bilinear quadrilaterals in plane strain, 2 x 2 points, whose points follow any law: the verbs of ``hex8_laws``.

They give the solution of hexahedra in a cell one voxel thick whose displacement stays in the plane x, y, with half the points
and a third of the tangents. Corners and points are numbered 2 x + y; ``t``: (blocks, 4 points * 6 * LANES), the moduli 11-11,
11-22, 11-12, 22-22, 22-12, 12-12. The mean strain may have the component 33; its stress is there too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_laws import ROOT, sum_record
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.laws import HISTORY, TANGENT

POINTS = 4
THIRD = 1.0 / 3.0**0.5


def geometry(spacing: tuple[float, float, float]) -> Array:
    """(5,) derivative factors of the linear and of the bilinear coefficient along x and y, and a point's volume."""
    x, y, z = spacing
    return np.array([0.5 / x, 0.5 / x * THIRD, 0.5 / y, 0.5 / y * THIRD, x * y * z / 4.0])


@jit
def _gather(u: Any, conn: Any, v: Any) -> None:
    """v[component, corner, lane] of one block, flat, from the fields u (2, nodes)."""
    for c in range(2):
        w = u[c]
        for a in range(4):
            for lane in range(LANES):
                v[(4 * c + a) * LANES + lane] = w[conn[a, lane]]


@jit
def _scatter(v: Any, conn: Any, f: Any) -> None:
    for c in range(2):
        w = f[c]
        for a in range(4):
            for lane in range(LANES):
                w[conn[a, lane]] += v[(4 * c + a) * LANES + lane]


@jit
def _modes(v: Any, p: int) -> Any:
    """Coefficients (times 4) of xi, eta and xi eta of one component."""
    a, b, c, d = v[p], v[p + LANES], v[p + 2 * LANES], v[p + 3 * LANES]
    return (c + d) - (a + b), (b + d) - (a + c), (a + d) - (b + c)


@jit
def _unmodes(v: Any, p: int, x: Any, y: Any, m: Any) -> None:
    """Transpose of ``_modes``."""
    v[p], v[p + LANES], v[p + 2 * LANES], v[p + 3 * LANES] = m - x - y, y - x - m, x - y - m, x + y + m


@jit
def _slopes(v: Any, lane: int, g: Any) -> Any:
    """du/dx and dv/dx at the two eta, du/dy and dv/dy at the two xi."""
    ux, uy, um = _modes(v, lane)
    vx, vy, vm = _modes(v, lane + 4 * LANES)
    ux, um1, uy, um2 = g[0] * ux, g[1] * um, g[2] * uy, g[3] * um
    vx, vm1, vy, vm2 = g[0] * vx, g[1] * vm, g[2] * vy, g[3] * vm
    return ux - um1, ux + um1, vx - vm1, vx + vm1, uy - um2, uy + um2, vy - vm2, vy + vm2


@jit
def load(u: Array, conn: Array, e: Array, history: Array, average: Array, geo: Array, w: Array) -> None:
    """See ``hex8_laws.load``; u: (2, nodes + 1); history: (blocks, 4 points * rows * LANES)."""
    v = np.empty(8 * LANES)
    g, kept = (geo[0], geo[1], geo[2], geo[3]), history.shape[1] // POINTS
    for b in range(conn.shape[0]):
        _gather(u, conn[b], v)
        for q in range(POINTS):
            record, old = w[b * POINTS + q], history[b]
            for lane in range(LANES):
                d = _slopes(v, lane, g)
                x0, x1 = (d[1], d[3]) if q % 2 else (d[0], d[2])
                y0, y1 = (d[5], d[7]) if q >= 2 else (d[4], d[6])
                record[lane], record[LANES + lane] = x0 + e[0], y1 + e[1]
                record[2 * LANES + lane], record[3 * LANES + lane] = e[2], ROOT * e[3]
                record[4 * LANES + lane], record[5 * LANES + lane] = ROOT * e[4], ROOT * (x1 + y0 + e[5])
            for k in range(kept):
                record[HISTORY * LANES + k] = old[q * kept + k]


@jit
def keep(w: Array, history: Array) -> None:
    """history <- that of the records."""
    kept = history.shape[1] // POINTS
    for b in range(history.shape[0]):
        for q in range(POINTS):
            record, new = w[b * POINTS + q], history[b]
            for k in range(kept):
                new[q * kept + k] = record[HISTORY * LANES + k]


@jit
def _tangents(record: Any, weight: Any, t: Any, o: int) -> None:
    """t[o:] <- weighted tangents of one line: of the upper triangle the numbers 0, 1, 5, 6, 10 and 20."""
    for lane in range(LANES):
        p, m = TANGENT * LANES + lane, weight[lane]
        t[o + lane], t[o + LANES + lane] = m * record[p], m * record[p + LANES]
        t[o + 2 * LANES + lane] = m * ROOT * record[p + 5 * LANES]
        t[o + 3 * LANES + lane] = m * record[p + 6 * LANES]
        t[o + 4 * LANES + lane] = m * ROOT * record[p + 10 * LANES]
        t[o + 5 * LANES + lane] = m * 0.5 * record[p + 20 * LANES]


@jit
def unload(w: Array, conn: Array, weight: Array, average: Array, geo: Array, f: Array, t: Array, sums: Array) -> None:
    """See ``hex8_laws.unload``."""
    v, s = np.empty(8 * LANES), np.empty(12 * LANES)
    g = (geo[0], geo[1], geo[2], geo[3])
    for b in range(conn.shape[0]):
        for q in range(POINTS):
            record = w[b * POINTS + q]
            _tangents(record, weight[b], t[b], q * 6 * LANES)
            sum_record(record, weight[b], sums)
            for lane in range(LANES):
                p, m = 3 * q * LANES + lane, weight[b, lane]
                s[p], s[p + LANES] = m * record[lane], m * record[LANES + lane]
                s[p + 2 * LANES] = ROOT * m * record[5 * LANES + lane]
        for lane in range(LANES):
            _forces(v, lane, g, _three(s, lane, 0), _three(s, lane, 1), _three(s, lane, 2), _three(s, lane, 3))
        _scatter(v, conn[b], f)


@jit
def _three(s: Any, lane: int, q: int) -> Any:
    p = 3 * q * LANES + lane
    return s[p], s[p + LANES], s[p + 2 * LANES]


@jit
def _forces(v: Any, lane: int, g: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """v <- nodal forces from the stresses 11, 22, 12 times volume of the points --, -+, +-, ++ (xi, eta)."""
    _unmodes(v, lane, g[0] * (a[0] + b[0] + c[0] + d[0]), g[2] * (a[2] + b[2] + c[2] + d[2]),
             g[1] * (b[0] + d[0] - a[0] - c[0]) + g[3] * (c[2] + d[2] - a[2] - b[2]))  # fmt: skip
    _unmodes(v, lane + 4 * LANES, g[0] * (a[2] + b[2] + c[2] + d[2]), g[2] * (a[1] + b[1] + c[1] + d[1]),
             g[1] * (b[2] + d[2] - a[2] - c[2]) + g[3] * (c[1] + d[1] - a[1] - b[1]))  # fmt: skip


@jit
def _stress(t: Any, n: int, xx: Any, yy: Any, xy: Any) -> Any:
    a, b, c = t[n], t[n + LANES], t[n + 2 * LANES]
    d, e, f = t[n + 3 * LANES], t[n + 4 * LANES], t[n + 5 * LANES]
    return a * xx + b * yy + c * xy, b * xx + d * yy + e * xy, c * xx + e * yy + f * xy


@jit
def multiply(u: Array, conn: Array, e: Array, average: Array, t: Array, geo: Array, f: Array, total: Array) -> None:
    """f <- B^T t (e + B u); total (6,) <- integral of the stress, only 11, 22, 12 of it. See ``hex8_laws.multiply``."""
    v = np.empty(8 * LANES, u.dtype)
    g = (geo[0], geo[1], geo[2], geo[3])
    xx, yy, xy = e[0], e[1], e[5]
    s0, s1, s2 = 0.0, 0.0, 0.0
    f[:] = 0.0
    for b in range(conn.shape[0]):
        _gather(u, conn[b], v)
        s = t[b]
        for lane in range(LANES):
            d = _slopes(v, lane, g)
            p = _stress(s, lane, d[0] + xx, d[6] + yy, d[2] + d[4] + xy)
            q = _stress(s, lane + 6 * LANES, d[1] + xx, d[6] + yy, d[3] + d[4] + xy)
            r = _stress(s, lane + 12 * LANES, d[0] + xx, d[7] + yy, d[2] + d[5] + xy)
            m = _stress(s, lane + 18 * LANES, d[1] + xx, d[7] + yy, d[3] + d[5] + xy)
            s0, s1 = s0 + (p[0] + q[0] + r[0] + m[0]), s1 + (p[1] + q[1] + r[1] + m[1])
            s2 += p[2] + q[2] + r[2] + m[2]
            _forces(v, lane, g, p, q, r, m)
        _scatter(v, conn[b], f)
    total[:] = 0.0
    total[0], total[1], total[5] = s0, s1, s2
