"""Conjugate gradients for an elastic cell whose unknowns live where the material differs from a reference.

With the homogeneous stiffness K0 and the contrast D = C - C0, the cell problem (K0 + D) u = -D E is solved for the forces
s = K0 u, which vanish at all nodes that no voxel of the contrast touches. The preconditioner is K0^-1. In the form of
Chronopoulos and Gear (J. Comput. Appl. Math. 25, 1989), with z = K0^-1 r and w = D z, an iteration is

    gamma = r.z, delta = gamma + z.w, beta = gamma / gamma_old, alpha = gamma / (delta - beta gamma / alpha_old)
    q = r + beta q,  d = w + beta d,  s += alpha q,  r -= alpha (q + d)

so that z is needed only plane by plane, while the elements of one layer are at work, and no pass over it is made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.box_green import Cells, Green, Support, back, lanes
from hpcms.kernels.hex8_anisotropic import voxels
from hpcms.kernels.hex8_elastic import CHUNK, ROW, _gather, _scatter, _voxels


class Contrast(NamedTuple):
    """``label``: (images, ex, ey, ez) row of ``table`` of each voxel; ``extent``: (ex, ey, 2) first and one past the last voxel
    of a row that differs from the reference; ``table``: (P, 2) Lame moduli, or (P, 6, 6) stiffnesses (``engineering``), less
    those of the reference; ``spacing``: (3,)."""

    label: Array
    extent: Array
    table: Array
    spacing: Array


@jit
def layer(u: Array, a: int, b: int, label: Array, extent: Array, spacing: Array, table: Array, strain: Array,
          f: Array, total: Array, lam: Array, mu: Array, t: Array, g: Array) -> None:  # fmt: skip
    """f += D (u + strain . x) for the voxels ``label`` between the planes in the slots a and b of u, f: (3, slots, by, bz)."""
    kind = u.dtype.type
    volume = kind(spacing[0] * spacing[1] * spacing[2])
    gx, gy, gz = kind(0.25 / spacing[0]), kind(0.25 / spacing[1]), kind(0.25 / spacing[2])
    root = np.sqrt(0.5)
    e = (kind(strain[0]), kind(strain[1]), kind(strain[2]),
         kind(2.0 * root * strain[3]), kind(2.0 * root * strain[4]), kind(2.0 * root * strain[5]))  # fmt: skip
    for j in range(extent.shape[0]):
        j1 = j + 1 if j + 1 < u.shape[2] else 0
        labels = label[j]
        length = extent[j, 1] - extent[j, 0]
        piece = (length + CHUNK - 1) // CHUNK
        for part in range(piece):
            k0 = extent[j, 0] + part * length // piece
            n = extent[j, 0] + (part + 1) * length // piece - k0
            _gather(u, a, b, j, j1, k0, n, t)
            if table.ndim == 2:
                for k in range(n):
                    lam[k], mu[k] = table[labels[k0 + k], 0], table[labels[k0 + k], 1]
                _voxels(t, lam[:n], mu[:n], e, gx, gy, gz, volume, g, total, 2.0 * root)
            else:
                first = 0
                while first < n:
                    last, own = first + 1, labels[k0 + first]
                    while last < n and labels[k0 + last] == own:
                        last += 1
                    voxels(t, table[own], first, last, e, gx, gy, gz, volume, g, total, 2.0 * root)
                    first = last
            _scatter(f, a, b, j, j1, k0, n, g)


@jit
def _flush(
    x: int, u: Array, f: Array, slot: int, support: Support, mirror: Array, r: Array, w: Array, sums: Array
) -> None:
    """Plane x of w <- the forces f, without what symmetry holds; sums[x] <- r.u and u.w."""
    size, start = (support.start[x + 1] - support.start[x]) // 3, support.start[x]
    gamma, delta, zero = 0.0, 0.0, r.dtype.type(0)
    for c in range(3):
        for j in range(support.rows.shape[1]):
            at, first, last = support.rows[x, j, 0], support.rows[x, j, 1], support.rows[x, j, 2]
            begin = start + c * size + at
            rr, ww = r[begin : begin + last - first], w[begin : begin + last - first]
            uu, ff = u[c, slot, j, first:last], f[c, slot, j, first:last]
            if (mirror[0, c] and on_mirror(mirror, 0, x)) or (mirror[1, c] and on_mirror(mirror, 1, j)):
                ww[:] = zero
                continue
            if mirror[2, c] and ff.size > 0:
                if on_mirror(mirror, 2, first):
                    ff[0] = zero
                if on_mirror(mirror, 2, last - 1):
                    ff[-1] = zero
            p, q = zero, zero
            for k in range(rr.size):
                ww[k] = ff[k]
                p += rr[k] * uu[k]
                q += ff[k] * uu[k]
            gamma, delta = gamma + p, delta + q
    sums[x, 0], sums[x, 1] = gamma, delta


@jit
def on_mirror(mirror: Array, axis: int, node: int) -> bool:
    """Whether a node of a window lies on a plane of symmetry."""
    return mirror[axis, 3] >= 0 and (node == 0 or node == mirror[axis, 3])


@jit
def _square(x: int, support: Support, mirror: Array, r: Array) -> float:
    """r.r of plane x over the whole cell, by the eighth of it in a window."""
    size, start, total = (support.start[x + 1] - support.start[x]) // 3, support.start[x], 0.0
    for c in range(3):
        for j in range(support.rows.shape[1]):
            at, first, last = support.rows[x, j, 0], support.rows[x, j, 1], support.rows[x, j, 2]
            begin, part = start + c * size + at, r.dtype.type(0)
            row = r[begin : begin + last - first]
            for k in range(row.size):
                part += row[k] * row[k]
            if mirror[2, 3] >= 0 and row.size > 0:
                part += row[0] * row[0] if on_mirror(mirror, 2, first) else r.dtype.type(0)
                part += row[-1] * row[-1] if on_mirror(mirror, 2, last - 1) else r.dtype.type(0)
            total += part * (2.0 if on_mirror(mirror, 1, j) else 1.0)
    return total * (2.0 if on_mirror(mirror, 0, x) else 1.0)


@jit
def forces(tasks: Array, W: Array, moved: bool, support: Support, green: Green, cells: Cells, contrast: Contrast,
           strain: Array, r: Array, w: Array, sums: Array, totals: Array) -> None:  # fmt: skip
    """w <- D (u + strain . x) on planes of the vectors (cells, n), u with the waves W (zero if not ``moved``).

    sums: (cells, bx, 3) r.u and u.w by plane; totals: (cells, ex, 6) integral of the stress D (u + strain . x) by layer.
    """
    bx, by, bz = green.x.nodes, green.y.nodes, green.z.nodes
    ex = contrast.label.shape[1]
    ring, side = ex == bx, max(W.shape[3], W.shape[4])
    wide = lanes(max(bz, side))
    u, f = np.zeros((3, 2, by, bz), r.dtype), np.zeros((3, 2, by, bz), r.dtype)
    waves, plane = np.zeros((side, wide), r.dtype), np.zeros((max(by, bz), wide), r.dtype)
    fold = np.empty((max(green.y.ahead.shape[3], green.z.ahead.shape[3]), wide), r.dtype)
    part = np.empty((2, max(green.y.ahead.shape[2], green.z.ahead.shape[2]), wide), r.dtype)
    lam, mu, spare = np.empty(CHUNK, r.dtype), np.empty(CHUNK, r.dtype), np.zeros(6)
    t, g = np.empty(12 * ROW, r.dtype), np.empty(24 * ROW, r.dtype)
    for task in range(tasks.shape[0]):
        m, x0, x1 = tasks[task, 0], tasks[task, 1], tasks[task, 2]
        for x in range(x0 - 1, x1 + 1):
            inside = ring or 0 <= x < bx
            place, slot, before, i = x % bx, (x + 1) % 2, x % 2, (x - 1) % bx
            if inside:
                for c in range(3):
                    f[c, slot] = 0.0
                    if moved and support.start[place + 1] > support.start[place]:
                        back(W[m, place, c], c, support.reach[place, 0], support.reach[place, 1], green, cells.blocks[m],
                             u[c, slot], waves, plane, fold, part)  # fmt: skip
            if inside and x >= x0 and (ring or x > 0) and i < ex:
                total = totals[m, i] if x > x0 else spare
                total[:] = 0.0
                layer(u, before, slot, contrast.label[cells.image[m], i], contrast.extent[i], contrast.spacing, contrast.table,
                      strain[m], f, total, lam, mu, t, g)  # fmt: skip
            if x > x0:
                _flush(x - 1, u, f, before, support, cells.mirror[m], r[m], w[m], sums[m])


@jit
def update(tasks: Array, alpha: Array, beta: Array, support: Support, cells: Cells, w: Array, q: Array, d: Array, s: Array,
           r: Array, sums: Array) -> None:  # fmt: skip
    """``q = r + beta q``, ``d = w + beta d``, ``s += alpha q``, ``r -= alpha (q + d)``; sums[..., 2] <- r.r by plane."""
    for task in range(tasks.shape[0]):
        m, x0, x1 = tasks[task, 0], tasks[task, 1], tasks[task, 2]
        a, b = r.dtype.type(alpha[m]), r.dtype.type(beta[m])
        ww, qq, dd, ss, rr = w[m], q[m], d[m], s[m], r[m]
        for place in range(x0, x1):
            for n in range(support.start[place], support.start[place + 1]):
                x = rr[n] + b * qq[n]
                y = ww[n] + b * dd[n]
                qq[n], dd[n] = x, y
                ss[n] += a * x
                rr[n] -= a * (x + y)
            sums[m, place, 2] = _square(place, support, cells.mirror[m], rr)


@jit
def remain(tasks: Array, support: Support, cells: Cells, s: Array, r: Array, sums: Array) -> None:
    """``r = -(s + r)``; sums[..., 2] <- r.r by plane."""
    for task in range(tasks.shape[0]):
        m, x0, x1 = tasks[task, 0], tasks[task, 1], tasks[task, 2]
        for place in range(x0, x1):
            for n in range(support.start[place], support.start[place + 1]):
                r[m, n] = -(s[m, n] + r[m, n])
            sums[m, place, 2] = _square(place, support, cells.mirror[m], r[m])
