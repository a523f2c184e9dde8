"""Trilinear hexahedra whose points follow any law: strains into records, records into forces and tangents, tangents on fields.

The layout of elements is that of ``hex8_points``, of records that of ``laws``. In between the law of a phase updates the records.
With mean dilatation (Nagtegaal, Parks, Rice 1974; Hughes 1980) the strains of a voxel are projected, eps + (mean tr eps - tr
eps) / 3 I, and its stresses with the transpose of it, so that the law itself knows nothing of it.

``weight``: (blocks, LANES) volume of a point, zero for fillers; ``t``: (blocks, 8 points * 21 * LANES) tangents times weight in
engineering components, single precision; ``average``: (blocks,) 1 for mean dilatation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES, POINT, forces, gather, scatter, strains
from hpcms.kernels.laws import DISSIPATION, ENERGY, HISTORY, TANGENT

ROOT = 0.5**0.5
POINTS = 8


@jit
def average_dilatation(s: Any, mean: Any, share: Any) -> None:
    """s <- s + share (mean trace - trace) I in a block: strains (share 1/3) or stresses (share 1/3)."""
    for lane in range(LANES):
        mean[lane] = 0.0
    for q in range(POINTS):
        for lane in range(LANES):
            p = q * POINT + lane
            mean[lane] += s[p] + s[p + LANES] + s[p + 2 * LANES]
    eighth = s.dtype.type(1.0 / POINTS)
    for q in range(POINTS):
        for lane in range(LANES):
            p = q * POINT + lane
            add = share * (eighth * mean[lane] - (s[p] + s[p + LANES] + s[p + 2 * LANES]))
            s[p], s[p + LANES], s[p + 2 * LANES] = s[p] + add, s[p + LANES] + add, s[p + 2 * LANES] + add


@jit
def load(u: Array, conn: Array, e: Array, history: Array, average: Array, geo: Array, w: Array) -> None:
    """Records w (blocks * 8, numbers * LANES) <- strains at the displacement u under ``e`` (11 22 33, twice 23 13 12), history.

    u: (3, nodes + 1); history: (blocks, 8 points * rows * LANES).
    """
    v, s, mean = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(LANES)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    kept, third = history.shape[1] // POINTS, 1.0 / 3.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, (e[0], e[1], e[2], e[3], e[4], e[5]), s)
        if average[b] > 0:
            average_dilatation(s, mean, third)
        for q in range(POINTS):
            record, old, p = w[b * POINTS + q], history[b], q * POINT
            for k in range(3 * LANES):
                record[k] = s[p + k]
            for k in range(3 * LANES, 6 * LANES):
                record[k] = ROOT * s[p + k]
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
def sum_record(record: Any, weight: Any, sums: Any) -> None:
    """Adds one line: integrals of the stress (11 22 33 23 13 12), of stress:stress, of the energy and of the dissipation."""
    for r in range(6):
        total = 0.0
        for lane in range(LANES):
            total += weight[lane] * record[r * LANES + lane]
        sums[r] += total if r < 3 else ROOT * total
    square, stored, lost = 0.0, 0.0, 0.0
    for lane in range(LANES):
        norm = 0.0
        for r in range(6):
            norm += record[r * LANES + lane] * record[r * LANES + lane]
        square += weight[lane] * norm
        stored += weight[lane] * record[ENERGY * LANES + lane]
        lost += weight[lane] * record[DISSIPATION * LANES + lane]
    sums[6], sums[7], sums[8] = sums[6] + square, sums[7] + stored, sums[8] + lost


@jit
def _tangents(record: Any, weight: Any, t: Any, o: int) -> None:
    """t[o:] <- weighted tangents of one line in engineering components."""
    r = 0
    for a in range(6):
        for b in range(a, 6):
            scale = (1.0 if a < 3 else ROOT) * (1.0 if b < 3 else ROOT)
            p, n = (TANGENT + r) * LANES, o + r * LANES
            for lane in range(LANES):
                t[n + lane] = scale * weight[lane] * record[p + lane]
            r += 1


@jit
def unload(w: Array, conn: Array, weight: Array, average: Array, geo: Array, f: Array, t: Array, sums: Array) -> None:
    """f += forces of the stresses in the records; t <- tangents; sums += integrals, see ``sum_record``."""
    v, s, mean = np.empty(24 * LANES), np.empty(8 * POINT), np.empty(LANES)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    third = 1.0 / 3.0
    for b in range(conn.shape[0]):
        for q in range(POINTS):
            record = w[b * POINTS + q]
            _tangents(record, weight[b], t[b], q * 21 * LANES)
            sum_record(record, weight[b], sums)
            for r in range(6):
                scale = 1.0 if r < 3 else ROOT
                for lane in range(LANES):
                    s[q * POINT + r * LANES + lane] = scale * weight[b, lane] * record[r * LANES + lane]
        if average[b] > 0:
            average_dilatation(s, mean, third)
        forces(s, g, v)
        scatter(v, conn[b], f)


@jit
def _linear(s: Any, t: Any) -> None:
    """Strains -> stresses with the tangents t of a block, in place."""
    for q in range(POINTS):
        for lane in range(LANES):
            p, n = q * POINT + lane, q * 21 * LANES + lane
            a, b, c = s[p], s[p + LANES], s[p + 2 * LANES]
            d, e, f = s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES]
            t01, t02, t03, t04, t05 = (
                t[n + LANES],
                t[n + 2 * LANES],
                t[n + 3 * LANES],
                t[n + 4 * LANES],
                t[n + 5 * LANES],
            )
            t12, t13, t14, t15 = t[n + 7 * LANES], t[n + 8 * LANES], t[n + 9 * LANES], t[n + 10 * LANES]
            t23, t24, t25 = t[n + 12 * LANES], t[n + 13 * LANES], t[n + 14 * LANES]
            t34, t35, t45 = t[n + 16 * LANES], t[n + 17 * LANES], t[n + 19 * LANES]
            s[p] = t[n] * a + t01 * b + t02 * c + t03 * d + t04 * e + t05 * f
            s[p + LANES] = t01 * a + t[n + 6 * LANES] * b + t12 * c + t13 * d + t14 * e + t15 * f
            s[p + 2 * LANES] = t02 * a + t12 * b + t[n + 11 * LANES] * c + t23 * d + t24 * e + t25 * f
            s[p + 3 * LANES] = t03 * a + t13 * b + t23 * c + t[n + 15 * LANES] * d + t34 * e + t35 * f
            s[p + 4 * LANES] = t04 * a + t14 * b + t24 * c + t34 * d + t[n + 18 * LANES] * e + t45 * f
            s[p + 5 * LANES] = t05 * a + t15 * b + t25 * c + t35 * d + t45 * e + t[n + 20 * LANES] * f


@jit
def multiply(u: Array, conn: Array, e: Array, average: Array, t: Array, geo: Array, f: Array, total: Array) -> None:
    """f <- B^T t (e + B u); total (6,) <- integral of the stress. u, f: (3, nodes + 1), e and geo in one precision."""
    v, s, mean = np.empty(24 * LANES, u.dtype), np.empty(8 * POINT, u.dtype), np.empty(LANES, u.dtype)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    third = u.dtype.type(1.0 / 3.0)
    f[:] = 0.0
    total[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        strains(v, g, (e[0], e[1], e[2], e[3], e[4], e[5]), s)
        if average[b] > 0:
            average_dilatation(s, mean, third)
        _linear(s, t[b])
        if average[b] > 0:
            average_dilatation(s, mean, third)
        for r in range(6):
            part = 0.0
            for q in range(POINTS):
                for lane in range(LANES):
                    part += s[q * POINT + r * LANES + lane]
            total[r] += part
        forces(s, g, v)
        scatter(v, conn[b], f)
