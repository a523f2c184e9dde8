"""Many cells of one shape side by side: fields (nodes, L) of L cells, whose entries at a node are neighbours in memory.

Each number is made of the numbers of its own cell alone, by the same operations in the same order whatever L is, so the
bits of a cell do not depend on its company. Cells are small, so periodic transforms are products with the orthonormal matrix
of cosines and sines, one axis at a time, halved by folding node i with node n - i.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

BLOCK = 512  # columns transformed at a time
SPAN = BLOCK + 16  # distance of their rows
TILE = 32  # nodes that a vector operation treats at a time


def fold(n: int) -> Array:
    """(n, n) block matrix: rows cos, then sin; columns sums of nodes i and n - i (i = 0 ... n//2), then differences.

    Row k < n//2 + 1 holds the cosines of 2 pi k i / n, the rest the sines; orthonormal when applied to folded nodes.
    """
    evens, odds = n // 2 + 1, (n - 1) // 2
    M = np.zeros((n, n))
    k, i = np.arange(evens)[:, None], np.arange(evens)
    norm = np.where((k == 0) | (2 * k == n), 1.0, np.sqrt(2.0)) / np.sqrt(n)
    M[:evens, :evens] = norm * np.cos(2 * np.pi * k * i / n)
    k, i = np.arange(1, odds + 1)[:, None], np.arange(1, odds + 1)
    M[evens:, evens:] = np.sqrt(2.0 / n) * np.sin(2 * np.pi * k * i / n)
    return M


@jit
def _product(M: Array, first: int, last: int, a: Array, size: int, out: Array) -> None:
    """Rows ``first:last`` of ``out`` from the same rows of ``a`` by that block of ``M``; rows are ``SPAN`` apart.

    Two rows from four at a time; an odd last row is done twice, the second time into the spare row behind.
    """
    for j in range(first, last, 2):
        k = min(j + 1, last - 1)
        p, q = out[j * SPAN : j * SPAN + size], out[(j + 1) * SPAN : (j + 1) * SPAN + size]
        for c in range(size):
            p[c], q[c] = 0, 0
        i = first
        while i + 4 <= last:
            m0, m1, m2, m3 = M[j, i], M[j, i + 1], M[j, i + 2], M[j, i + 3]
            n0, n1, n2, n3 = M[k, i], M[k, i + 1], M[k, i + 2], M[k, i + 3]
            w, x = a[i * SPAN : i * SPAN + size], a[(i + 1) * SPAN : (i + 1) * SPAN + size]
            y, z = a[(i + 2) * SPAN : (i + 2) * SPAN + size], a[(i + 3) * SPAN : (i + 3) * SPAN + size]
            for c in range(size):
                p[c] += m0 * w[c] + m1 * x[c] + m2 * y[c] + m3 * z[c]
                q[c] += n0 * w[c] + n1 * x[c] + n2 * y[c] + n3 * z[c]
            i += 4
        while i < last:
            m0, n0, w = M[j, i], M[k, i], a[i * SPAN : i * SPAN + size]
            for c in range(size):
                p[c] += m0 * w[c]
                q[c] += n0 * w[c]
            i += 1


@jit
def _into(a: Array, n: int, start: int, size: int, b: Array) -> None:
    """Fold the columns ``start:start + size`` of ``a`` (n, m) into ``b``."""
    odds = (n - 1) // 2
    for i in range(n // 2 + 1):
        row, mate = a[i, start : start + size], a[n - i if i > 0 else 0, start : start + size]
        even = b[i * SPAN : i * SPAN + size]
        if 0 < i <= odds:
            odd = b[(n // 2 + i) * SPAN : (n // 2 + i) * SPAN + size]
            for c in range(size):
                x, y = row[c], mate[c]
                even[c] = x + y
                odd[c] = x - y
        else:
            for c in range(size):
                even[c] = row[c]


@jit
def _unfold(b: Array, n: int, size: int) -> None:
    """Values at the nodes from their even and odd parts, in the rows ``b``: sums to node i, differences to n - i."""
    for i in range(1, (n - 1) // 2 + 1):
        even, odd = b[i * SPAN : i * SPAN + size], b[(n // 2 + i) * SPAN : (n // 2 + i) * SPAN + size]
        for c in range(size):
            x, y = even[c], odd[c]
            even[c] = x + y
            odd[c] = x - y


@jit
def _turn(a: Array, M: Array, back: bool, L: int, work: Array, other: Array, out: Array) -> None:
    """``out`` (m / L, n, L) <- the transform (``back``: its inverse) of the leading axis of ``a`` (n, m), made the last one."""
    n, m = a.shape
    evens, block = n // 2 + 1, BLOCK // L * L
    for start in range(0, m, block):
        size = min(block, m - start)
        if back:
            for i in range(n):
                row, to = a[i, start : start + size], work[i * SPAN : i * SPAN + size]
                for c in range(size):
                    to[c] = row[c]
        else:
            _into(a, n, start, size, work)
        for half in range(2):
            _product(M, evens * half, n if half else evens, work, size, other)
        if back:
            _unfold(other, n, size)
        for r in range(size // L):
            for j in range(n):
                place = (n // 2 + n - j if back and j >= evens else j) * SPAN + r * L
                row = out[start // L + r, j]
                for c in range(L):
                    row[c] = other[place + c]


@jit
def solve(r: Array, inverse: Array, tables: Array, shape: Array, L: int,
          work: Array, other: Array, spare: Array, z: Array) -> None:  # fmt: skip
    """``z <- T' inverse T r`` for flat fields; ``inverse``: (nodes,); ``tables``: see ``transforms``."""
    nodes = inverse.size
    for stage in range(6):
        n, m = shape[stage % 3], nodes // shape[stage % 3]
        a = r if stage == 0 else spare if stage % 2 == 1 else z
        out = z if stage % 2 == 1 else spare
        if stage == 3:
            for i in range(nodes):
                v, w = inverse[i], a[i * L : i * L + L]
                for c in range(L):
                    w[c] *= v
        M = tables[stage, : n * n].reshape(n, n)
        _turn(a.reshape(n, m * L), M, stage >= 3, L, work, other, out.reshape(m, n, L))


def transforms(shape: tuple[int, ...], kind: type) -> Array:
    """(6, n * n) ``fold`` of each axis, then its transpose; shorter ones are filled up with zeros."""
    tables: Array = np.zeros((6, max(shape) ** 2), kind)
    for axis, n in enumerate(shape):
        tables[axis, : n * n] = fold(n).ravel()
        tables[axis + 3, : n * n] = fold(n).T.ravel()
    return tables


@jit
def dots(a: Array, b: Array, L: int, out: Array) -> None:
    """``out`` (L,) <- ``sum a b`` of each cell in double precision; ``TILE`` partial sums of nodes that far apart."""
    size = TILE * L
    partial = np.zeros(size)
    for start in range(0, a.size, size):
        x, y = a[start : start + size], b[start : start + size]
        for c in range(x.size):
            partial[c] += np.float64(x[c]) * np.float64(y[c])
    _gathered(partial, L, out)


@jit
def _gathered(partial: Array, L: int, out: Array) -> None:
    for c in range(L):
        out[c] = 0.0
        for n in range(TILE):
            out[c] += partial[n * L + c]


@jit
def direct(z: Array, beta: Array, p: Array) -> None:
    """``p = z + beta p`` with one ``beta`` (L,) a cell."""
    size = TILE * beta.size
    b = np.empty(size, beta.dtype)
    for c in range(size):
        b[c] = beta[c % beta.size]
    for start in range(0, z.size, size):
        x, y = z[start : start + size], p[start : start + size]
        for c in range(x.size):
            y[c] = x[c] + b[c] * y[c]


@jit
def advance(alpha: Array, p: Array, q: Array, x: Array, r: Array, total: Array) -> None:
    """``x += alpha p`` and ``r -= alpha q``; ``total`` (L,) <- ``r . r``, summed as in ``dots``."""
    size = TILE * alpha.size
    b, partial = np.empty(size, alpha.dtype), np.zeros(size)
    for c in range(size):
        b[c] = alpha[c % alpha.size]
    for start in range(0, p.size, size):
        u, v = p[start : start + size], q[start : start + size]
        s, t = x[start : start + size], r[start : start + size]
        for c in range(u.size):
            s[c] += b[c] * u[c]
            t[c] -= b[c] * v[c]
            partial[c] += np.float64(t[c]) * np.float64(t[c])
    _gathered(partial, alpha.size, total)
