"""The inverse of a homogeneous elastic stiffness for ``SIDE`` periodic cells of one shape side by side (``hex8_lanes``).

Transforms are real: along each axis products with the orthonormal cosines and sines of ``lanes.fold``, row k for the cosine of
wave k, the sines behind. A component of the displacement is coupled to the others by waves that are sines along its own axis
where theirs are cosines, so the row of one component goes with the rows of the others in which its own axis is swapped.
Fields are (nx, ny, 3, nz * SIDE), their waves (nx, nz, ny, 3, SIDE): along x still nodes, as x is transformed last and first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit, lanes
from hpcms.kernels.green_vector import axis_symbol, inverse_symbol
from hpcms.kernels.hex8_lanes import SIDE

PAIRS = 16  # pairs of waves along y and z that are treated at a time along x
WIDTH = PAIRS * SIDE
BLOCK = 3 * WIDTH  # columns that are transformed at a time
SPAN = BLOCK + WIDTH + 16  # distance of their rows


class Green(NamedTuple):
    """``shape``: (3,); ``tables``: ``lanes.transforms``; ``places``: (2, 2, columns) by axis y, z and by direction where
    the columns of a plane go, ``strides``: (2, 2) the distance of their rows there; ``swap``: (nx,) sine for cosine;
    ``slots``: (3, pairs) place of each component of a pair of waves; ``inverse``: (nx, pairs, 6) inverse symbol
    xx yy zz yz xz xy."""

    shape: Array
    tables: Array
    places: Array
    strides: Array
    swap: Array
    slots: Array
    inverse: Array


def swapped(n: int) -> Array:
    """(n,) row of the sine for each cosine and the other way round; waves without a sine stay where they are."""
    evens, odds = n // 2 + 1, (n - 1) // 2
    return np.r_[0, evens + np.arange(odds), np.arange(odds + 1, evens), 1 + np.arange(odds)]


def green(shape: tuple[int, int, int], spacing: Array, lam: float, mu: float, kind: Any) -> Green:
    """For Lame moduli of the reference; the constant is taken for zero."""
    tables = lanes.transforms(shape, kind)
    orders = [np.r_[np.arange(n // 2 + 1), np.arange(1, (n - 1) // 2 + 1)] for n in shape]
    X, Y, Z = (axis_symbol(2.0 * np.pi / n * k, h) for n, k, h in zip(shape, orders, spacing, strict=True))
    inverse = np.empty((6, *shape))
    inverse_symbol(X, Y, Z, lam, mu, 0.0, 1.0 / float(np.prod(spacing)), inverse)
    x, y, z = (np.where(np.arange(n) > n // 2, -1.0, 1.0) for n in shape)  # derivatives of sines are minus cosines
    inverse[3] *= y[:, None] * z
    inverse[4] *= x[:, None, None] * z
    inverse[5] *= x[:, None, None] * y[:, None]
    place = np.arange(shape[1] * shape[2]).reshape(shape[2], shape[1])
    slots = np.array([place, place[:, swapped(shape[1])], place[swapped(shape[2])]]).reshape(3, -1)
    slots = 3 * slots + np.arange(3)[:, None]
    ordered: Array = np.ascontiguousarray(inverse.transpose(1, 3, 2, 0).reshape(shape[0], -1, 6).astype(kind))
    ny, nz = shape[1:]
    places = np.zeros((2, 2, 3 * max(ny, nz)), np.int64)
    places[0, 0, : 3 * nz] = (np.arange(3)[:, None] + 3 * ny * np.arange(nz)).reshape(-1)  # (y, c z) to (z, y c)
    places[1, 0, : 3 * ny] = np.arange(3 * ny)
    places[1, 1, : 3 * ny] = nz * np.arange(3 * ny)  # (z, y c) to (y, c z)
    places[0, 1, : 3 * nz] = np.arange(3 * nz)
    strides = np.array([[3, 3 * nz], [3 * ny, 1]])
    return Green(np.array(shape), tables, places, strides, swapped(shape[0]), slots, ordered)


@jit
def _multiply(M: Array, n: int, a: Array, size: int, out: Array) -> None:
    """Rows of ``out`` from rows of ``a``, cosines and sines each by their block of M (n, n); two rows from four at a time."""
    for half in range(2):
        first = (n // 2 + 1) * half
        last = n if half else n // 2 + 1
        for j in range(first, last, 2):
            k = min(j + 1, last - 1)  # an odd last row is done twice, the second time into the spare row behind
            p, q = out[j * SPAN : j * SPAN + size], out[(j + 1) * SPAN : (j + 1) * SPAN + size]
            for c in range(size):
                p[c], q[c] = 0, 0
            i = first
            while i < last:
                m0, n0, w = M[j, i], M[k, i], a[i * SPAN : i * SPAN + size]
                if i + 4 <= last and i > first:
                    m1, m2, m3, n1, n2, n3 = (
                        M[j, i + 1],
                        M[j, i + 2],
                        M[j, i + 3],
                        M[k, i + 1],
                        M[k, i + 2],
                        M[k, i + 3],
                    )
                    x, y = a[(i + 1) * SPAN : (i + 1) * SPAN + size], a[(i + 2) * SPAN : (i + 2) * SPAN + size]
                    z = a[(i + 3) * SPAN : (i + 3) * SPAN + size]
                    for c in range(size):
                        p[c] += m0 * w[c] + m1 * x[c] + m2 * y[c] + m3 * z[c]
                        q[c] += n0 * w[c] + n1 * x[c] + n2 * y[c] + n3 * z[c]
                    i += 4
                else:  # first, so that of the commonest sizes nothing is left behind the fours
                    for c in range(size):
                        p[c] += m0 * w[c]
                        q[c] += n0 * w[c]
                    i += 1


@jit
def _fold(b: Array, n: int, size: int) -> None:
    """Rows 1..n-1 of ``b`` <- sums of rows i and n - i, then their differences, in the order of ``lanes.fold``."""
    for i in range(1, (n - 1) // 2 + 1):
        even, mate = b[i * SPAN : i * SPAN + size], b[(n // 2 + i) * SPAN : (n // 2 + i) * SPAN + size]
        for c in range(size):
            x, y = even[c], mate[c]
            even[c] = x + y
            mate[c] = x - y


@jit
def _place(i: int, n: int) -> int:
    """Row in which ``_fold`` wants and leaves node i: a node of the second half lies where its difference goes."""
    return i if i <= n // 2 else n // 2 + n - i


@jit
def _copy(a: Array, size: int, b: Array) -> None:
    for c in range(size):
        b[c] = a[c]


@jit
def transform(groups: Array, a: Array, g: Green, back: int, out: Array) -> None:
    """Waves ``out`` (G, nx, n) along y and z of the fields ``a`` (G, nx, n) of the ``groups``; ``back``: the transpose."""
    nx, ny, nz = g.shape
    size = (max(ny, nz) + 1) * SPAN
    work, other, plane = np.zeros(size, a.dtype), np.zeros(size, a.dtype), np.empty(a.shape[2], a.dtype)
    for m in groups:
        for i in range(nx):
            for stage in range(2):
                axis = 1 + (stage ^ back)
                n = g.shape[axis]
                _stage(plane if stage else a[m, i], n, g.tables[axis + 3 * back], back, g.places[axis - 1, back],
                       g.strides[axis - 1, back], work, other, out[m, i] if stage else plane)  # fmt: skip


@jit
def _stage(
    a: Array, n: int, M: Array, back: int, places: Array, stride: int, work: Array, other: Array, out: Array
) -> None:
    """Transforms the leading axis of ``a`` (n * columns,) by M; row j of column s goes to ``places[s] + j stride`` (in SIDE)."""
    width = a.size // n
    for start in range(0, width, BLOCK):
        size = min(BLOCK, width - start)
        for i in range(n):
            _copy(a[i * width + start :], size, work[(i if back else _place(i, n)) * SPAN :])
        if not back:
            _fold(work, n, size)
        _multiply(M[: n * n].reshape(n, n), n, work, size, other)
        if back:
            _fold(other, n, size)
        for s in range(size // SIDE):
            for j in range(n):
                row = (_place(j, n) if back else j) * SPAN + s * SIDE
                _copy(other[row:], SIDE, out[(places[start // SIDE + s] + j * stride) * SIDE :])


@jit
def invert(groups: Array, W: Array, g: Green, energy: Array) -> None:
    """W (G, nx, n) <- K0^-1 W; ``energy`` (G, SIDE) <- W . K0^-1 W of each load."""
    nx, pairs = g.shape[0], g.slots.shape[1]
    work, other = np.zeros((nx + 1) * SPAN, W.dtype), np.zeros((nx + 1) * SPAN, W.dtype)
    for m in groups:
        energy[m] = 0.0
        for first in range(0, pairs, PAIRS):
            count = min(PAIRS, pairs - first)
            for back in range(2):
                for i in range(nx):
                    for s in range(3 * PAIRS):
                        c, p = s // PAIRS, s % PAIRS
                        if p < count:
                            x = W[m, i, g.slots[c, first + p] * SIDE :]
                            y = work[_place(i, nx) * SPAN + s * SIDE :]
                            if back:
                                _copy(y, SIDE, x)
                            else:
                                _copy(x, SIDE, y)
                if back:
                    break
                _fold(work, nx, BLOCK)
                for turn in range(2):
                    _multiply(g.tables[3 * turn, : nx * nx].reshape(nx, nx), nx, other if turn else work, BLOCK,
                              work if turn else other)  # fmt: skip
                    if turn == 0:
                        _between(g, first, count, other, energy[m])
                _fold(work, nx, BLOCK)


@jit
def _between(g: Green, first: int, count: int, waves: Array, energy: Array) -> None:
    """The inverse symbol on pairs of waves ``first`` ..., whose sines and cosines along x of the first component change places."""
    _swap(waves, g.swap, count * SIDE)
    for a in range(g.swap.size):
        _symbol(waves[a * SPAN :], g.inverse[a, first:], count)
        for p in range(0, count * SIDE, SIDE):
            for c in range(SIDE):
                energy[c] += waves[a * SPAN + BLOCK + p + c]
    _swap(waves, g.swap, count * SIDE)


@jit
def directions(groups: Array, z: Array, beta: Array, p: Array) -> None:
    """p <- z + beta p; beta: (G, SIDE)."""
    for m in groups:
        lanes.direct(z[m].reshape(-1), beta[m], p[m].reshape(-1))


@jit
def _swap(b: Array, swap: Array, size: int) -> None:
    """Exchanges sines and cosines along x of the first component."""
    for a in range(swap.size):
        if swap[a] > a:
            x, y = b[a * SPAN : a * SPAN + size], b[swap[a] * SPAN : swap[a] * SPAN + size]
            for c in range(size):
                p, q = x[c], y[c]
                x[c], y[c] = q, p


@jit
def _symbol(row: Array, g: Array, count: int) -> None:
    """Three components in ``row`` <- inverse symbol times them; what follows them <- the products of both."""
    for p in range(count):
        xx, yy, zz, yz, xz, xy = g[p, 0], g[p, 1], g[p, 2], g[p, 3], g[p, 4], g[p, 5]
        for c in range(p * SIDE, p * SIDE + SIDE):
            e, f, h = row[c], row[WIDTH + c], row[2 * WIDTH + c]
            x, y, z = xx * e + xy * f + xz * h, xy * e + yy * f + yz * h, xz * e + yz * f + zz * h
            row[c], row[WIDTH + c], row[2 * WIDTH + c] = x, y, z
            row[3 * WIDTH + c] = e * x + f * y + h * z
