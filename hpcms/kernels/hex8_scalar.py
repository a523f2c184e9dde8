"""A scalar field on trilinear hexahedra of one size, one coefficient a voxel, integrated exactly, without a matrix.

In one direction a voxel of edge h has the sum s = u0 + u1 and the difference d = u1 - u0 of its two nodes, with
``int u'^2 = d^2 / h`` and ``int u^2 = h (s^2 / 4 + d^2 / 12)``. Their products over the three directions diagonalise
the element matrix: seven weights (``sss`` carries no energy), and 24 additions each way. The additions along x and y
are shared by the voxels of a row, so a row is done in three passes that the compiler vectorises.

A box of (bx, by, bz) nodes carries (ex, ey, ez) voxels; the box is periodic along an axis with as many voxels as nodes.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit


def weights(spacing: tuple[float, float, float]) -> Array:
    """(7,) energies of the products dss sds ssd dds dsd sdd ddd (axes x y z) for unit coefficient. ``spacing`` in m."""
    hx, hy, hz = spacing
    stiff = np.array([1 / hx, 1 / hy, 1 / hz])
    even, odd = np.array(spacing) / 4, np.array(spacing) / 12

    def energy(*odd_axes: int) -> float:
        mass = np.where(np.isin(np.arange(3), odd_axes), odd, even)
        return float(sum(stiff[a] * np.prod(np.delete(mass, a)) for a in odd_axes))

    return np.array([energy(0), energy(1), energy(2), energy(0, 1), energy(0, 2), energy(1, 2), energy(0, 1, 2)])


def extents(k: Array) -> Array:
    """(ex, ey, 2) int64: first and one past the last voxel of each z-row with a coefficient other than zero."""
    some = k != 0
    first = np.argmax(some, axis=2)
    last = k.shape[2] - np.argmax(some[:, :, ::-1], axis=2)
    return np.stack([first, np.where(some.any(axis=2), last, first)], axis=2).astype(np.int64)


@jit
def _gather(u00: Array, u10: Array, u01: Array, u11: Array, first: int, last: int, t: Array) -> None:
    """Sums and differences along x and y at the nodes ``first .. last`` of a row: t = (ss, ds, sd, dd)."""
    size = u00.size
    t0, t1, t2, t3 = t[0], t[1], t[2], t[3]
    for n in range(first, min(last + 1, size)):
        a, b = u00[n] + u10[n], u01[n] + u11[n]
        c, d = u10[n] - u00[n], u11[n] - u01[n]
        t0[n], t1[n], t2[n], t3[n] = a + b, c + d, b - a, d - c
    if last == size:
        a, b = u00[0] + u10[0], u01[0] + u11[0]
        c, d = u10[0] - u00[0], u11[0] - u01[0]
        t0[last], t1[last], t2[last], t3[last] = a + b, c + d, b - a, d - c


@jit
def _voxels(k: Array, first: int, last: int, w: Array, jump: Array, t: Array, lo: Array, hi: Array) -> None:
    """Forces of the voxels ``first .. last - 1`` on their lower (``lo``) and upper (``hi``, one further) nodes."""
    t0, t1, t2, t3 = t[0], t[1], t[2], t[3]
    l0, l1, l2, l3 = lo[0], lo[1], lo[2], lo[3]
    h0, h1, h2, h3 = hi[0], hi[1], hi[2], hi[3]
    w0, w1, w2, w3, w4, w5, w6 = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
    jx, jy, jz = 4 * jump[0], 4 * jump[1], 4 * jump[2]
    for n in range(first, last):
        c = k[n]
        x = c * w0 * (t1[n] + t1[n + 1] + jx)
        y = c * w1 * (t2[n] + t2[n + 1] + jy)
        z = c * w2 * (t0[n + 1] - t0[n] + jz)
        xy = c * w3 * (t3[n] + t3[n + 1])
        xz = c * w4 * (t1[n + 1] - t1[n])
        yz = c * w5 * (t2[n + 1] - t2[n])
        xyz = c * w6 * (t3[n + 1] - t3[n])
        l0[n], l1[n], l2[n], l3[n] = -z, x - xz, y - yz, xy - xyz
        h0[n + 1], h1[n + 1], h2[n + 1], h3[n + 1] = z, x + xz, y + yz, xy + xyz
    for m in range(4):
        lo[m, last] = 0.0
        hi[m, first] = 0.0


@jit
def _scatter(f00: Array, f10: Array, f01: Array, f11: Array, first: int, last: int, lo: Array, hi: Array) -> None:
    """Add the forces of a row to its four lines of nodes, the transpose of ``_gather``."""
    size = f00.size
    l0, l1, l2, l3 = lo[0], lo[1], lo[2], lo[3]
    h0, h1, h2, h3 = hi[0], hi[1], hi[2], hi[3]
    for n in range(first, min(last + 1, size)):
        g0, g1, g2, g3 = l0[n] + h0[n], l1[n] + h1[n], l2[n] + h2[n], l3[n] + h3[n]
        f00[n] += g0 - g1 - g2 + g3
        f10[n] += g0 + g1 - g2 - g3
        f01[n] += g0 - g1 + g2 - g3
        f11[n] += g0 + g1 + g2 + g3
    if last == size:
        g0, g1, g2, g3 = h0[last], h1[last], h2[last], h3[last]
        f00[0] += g0 - g1 - g2 + g3
        f10[0] += g0 + g1 - g2 - g3
        f01[0] += g0 - g1 + g2 - g3
        f11[0] += g0 + g1 + g2 + g3


@jit
def apply(u: Array, k: Array, extent: Array, w: Array, jump: Array, out: Array) -> None:
    """``out += K (u + gradient . x)``, K the stiffness of the voxel coefficients ``k``.

    u, out: (bx, by, bz); k: (ex, ey, ez); extent: ``extents(k)``; w: ``weights``; jump: (3,) gradient times spacing.
    """
    bx, by, bz = u.shape
    t, lo, hi = np.empty((4, bz + 1)), np.empty((4, bz + 1)), np.empty((4, bz + 1))
    for i in range(k.shape[0]):
        i1 = i + 1 if i + 1 < bx else 0
        for j in range(k.shape[1]):
            j1 = j + 1 if j + 1 < by else 0
            first, last = extent[i, j, 0], extent[i, j, 1]
            if first < last:
                _gather(u[i, j], u[i1, j], u[i, j1], u[i1, j1], first, last, t)
                _voxels(k[i, j], first, last, w, jump, t, lo, hi)
                _scatter(out[i, j], out[i1, j], out[i, j1], out[i1, j1], first, last, lo, hi)


def element_matrix(spacing: tuple[float, float, float]) -> Array:
    """(8, 8) stiffness of one voxel with unit coefficient, node number 4 a + 2 b + c for the corner (a, b, c)."""
    S = [np.array([[1.0, -1.0], [-1.0, 1.0]]) / h for h in spacing]
    M = [np.array([[2.0, 1.0], [1.0, 2.0]]) * h / 6 for h in spacing]
    total: Array = sum(
        (np.kron(np.kron(*(S[b] if a == b else M[b] for b in (0, 1))), S[2] if a == 2 else M[2]) for a in range(3)),
        np.zeros((8, 8)),
    )
    return total


def apply_plain(u: Array, k: Array, spacing: tuple[float, float, float], gradient: Array) -> Array:
    """Twin of ``apply``: the element matrix, corner by corner. Returns (bx, by, bz) from zero. ``gradient``: (3,)."""
    K, (bx, by, bz) = element_matrix(spacing), u.shape
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    i, j, m = (np.arange(n) for n in k.shape)
    places = [np.ix_((i + a) % bx, (j + b) % by, (m + c) % bz) for a, b, c in corners]
    jumps = [np.dot(np.multiply(corner, spacing), gradient) for corner in corners]
    values = [u[at] + jump for at, jump in zip(places, jumps, strict=True)]
    out = np.zeros_like(u)
    for row, at in zip(K, places, strict=True):
        np.add.at(out, at, k * sum(entry * value for entry, value in zip(row, values, strict=True)))
    return out
