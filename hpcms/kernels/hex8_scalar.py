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

CHUNK = 128  # voxels of a z-row treated at a time
SIDE = 16  # cells side by side, at most, and the voxels of each treated at a time
ROW = (
    max(CHUNK, SIDE * SIDE) + 2 * SIDE + 8
)  # rows of one buffer at a constant distance: the compiler sees that they do not overlap
UPPER = 4 * ROW + SIDE  # where the rows of the upper nodes start


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
def _gather(u00: Array, u10: Array, u01: Array, u11: Array, t: Array) -> None:
    """Sums and differences along x and y of four lines of nodes: the rows ss ds sd dd of ``t``."""
    for n in range(u00.size):
        a, b = u00[n] + u10[n], u01[n] + u11[n]
        c, d = u10[n] - u00[n], u11[n] - u01[n]
        t[n], t[ROW + n], t[2 * ROW + n], t[3 * ROW + n] = a + b, c + d, b - a, d - c


@jit
def _voxels(k: Array, w: Array, jump: Array, step: int, t: Array, g: Array) -> None:
    """Forces of a line of voxels: rows 0-3 of ``g`` on their lower nodes, rows 4-7 on the upper ones, ``step`` further."""
    w0, w1, w2, w3, w4, w5, w6 = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
    four = k.dtype.type(4)
    jx, jy, jz = four * jump[0], four * jump[1], four * jump[2]
    up = t[step:]  # a slice, as the sum of an index and a step could be negative for all the compiler knows
    for n in range(k.size):
        c = k[n]
        s0, s1, s2, s3 = t[n], t[ROW + n], t[2 * ROW + n], t[3 * ROW + n]
        e0, e1, e2, e3 = up[n], up[ROW + n], up[2 * ROW + n], up[3 * ROW + n]
        x, y, z = c * w0 * (e1 + s1 + jx), c * w1 * (e2 + s2 + jy), c * w2 * (e0 - s0 + jz)
        xy, xz, yz, xyz = c * w3 * (e3 + s3), c * w4 * (e1 - s1), c * w5 * (e2 - s2), c * w6 * (e3 - s3)
        m = UPPER + n
        g[n], g[ROW + n], g[2 * ROW + n], g[3 * ROW + n] = -z, x - xz, y - yz, xy - xyz
        g[m], g[ROW + m], g[2 * ROW + m], g[3 * ROW + m] = z, x + xz, y + yz, xy + xyz
    for row in range(4):
        for n in range(step):
            g[row * ROW + k.size + n] = 0
            g[row * ROW + UPPER - 1 - n] = 0


@jit
def _scatter(f0: Array, f1: Array, side: float, step: int, g: Array) -> None:
    """Add forces to two lines of nodes, neighbours along x, on the lower (-1) or upper (1) ``side`` in y."""
    h = g[UPPER - step :]
    for n in range(f0.size):
        even = g[n] + h[n] + side * (g[2 * ROW + n] + h[2 * ROW + n])
        odd = g[ROW + n] + h[ROW + n] + side * (g[3 * ROW + n] + h[3 * ROW + n])
        f0[n] += even - odd
        f1[n] += even + odd


@jit
def apply(
    u: Array, k: Array, extent: Array, w: Array, jump: Array, out: Array, step: int = 1, voxels: int = CHUNK
) -> None:
    """``out += K (u + gradient . x)``, K the stiffness of the voxel coefficients ``k``.

    u, out: (bx, by, bz); k: (ex, ey, ez); extent: ``extents(k)``; w: ``weights``; jump: (3,) gradient times spacing.
    All but ``extent`` in one precision, which is the precision of the computation. ``step``: places from a node to the next
    one along z, which is the number of cells side by side (``lanes``): bz, ez and extent count places. ``voxels``: treated at a
    time; the order of sums at a node depends on it, not on ``step``.
    """
    bx, by, bz = u.shape
    chunk = voxels * step
    t, g, low, high = np.empty(4 * ROW, u.dtype), np.empty(UPPER + 4 * ROW, u.dtype), u.dtype.type(-1), u.dtype.type(1)
    for i in range(k.shape[0]):
        i1 = i + 1 if i + 1 < bx else 0
        for j in range(k.shape[1]):
            j1 = j + 1 if j + 1 < by else 0
            for z in range(extent[i, j, 0], extent[i, j, 1], chunk):
                end = min(z + chunk, extent[i, j, 1])
                n = min(end + step, bz)
                _gather(u[i, j, z:n], u[i1, j, z:n], u[i, j1, z:n], u[i1, j1, z:n], t)
                if n == end:  # the last node of the line is the first one of the ring
                    _gather(u[i, j, :step], u[i1, j, :step], u[i, j1, :step], u[i1, j1, :step], t[end - z :])
                _voxels(k[i, j, z:end], w, jump, step, t, g)
                _scatter(out[i, j, z:n], out[i1, j, z:n], low, step, g)
                _scatter(out[i, j1, z:n], out[i1, j1, z:n], high, step, g)
                if n == end:
                    _scatter(out[i, j, :step], out[i1, j, :step], low, step, g[end - z :])
                    _scatter(out[i, j1, :step], out[i1, j1, :step], high, step, g[end - z :])


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
