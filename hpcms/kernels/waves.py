"""Inverse of a homogeneous stiffness for fields of one mirror symmetry class, by cosines and sines on a window.

In a class (``cell_mirror``) each component is even or odd along each axis, so cosines and sines diagonalise the homogeneous
stiffness: with the grid angles pi j / n its symbol is that of the periodic cell. Windows are small, so the transforms are
plain matrix products, axis by axis, halved by the symmetry of the waves about the middle.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit


@jit
def _rows(M: Array, a: Array, out: Array, start: int) -> None:
    """out[start::2] <- M[start::2] a, two rows and four columns at a time; the last row of M and out is spare."""
    n, k = M.shape[0] - 1, a.shape[0]
    for j in range(start, n, 4):
        m, o = M[j], M[j + 2 if j + 2 < n else n]
        p, q = out[j], out[j + 2 if j + 2 < n else n]
        first = k % 4
        for r in range(p.size):
            p[r], q[r] = 0.0, 0.0
        for i in range(first):
            m0, o0, w = m[i], o[i], a[i]
            for r in range(p.size):
                p[r] += m0 * w[r]
                q[r] += o0 * w[r]
        for i in range(first, k, 4):
            m0, m1, m2, m3 = m[i], m[i + 1], m[i + 2], m[i + 3]
            o0, o1, o2, o3 = o[i], o[i + 1], o[i + 2], o[i + 3]
            w, x, y, z = a[i], a[i + 1], a[i + 2], a[i + 3]
            for r in range(p.size):
                p[r] += m0 * w[r] + m1 * x[r] + m2 * y[r] + m3 * z[r]
                q[r] += o0 * w[r] + o1 * x[r] + o2 * y[r] + o3 * z[r]


@jit
def _turn(M: Array, sine: int, a: Array, work: Array, out: Array) -> None:
    """out (m, n) <- transpose of the transform of the leading axis of a (n, m); a is lost. See ``wave``."""
    n = a.shape[0]
    half = n // 2
    for i in range(half):
        low, high = a[i], a[n - 1 - i]
        for r in range(low.size):
            x, y = low[r], high[r]
            low[r], high[r] = x + y, x - y
    _rows(M, a[: n - half], work, sine)
    _rows(M, a[n - half :], work, 1 - sine)
    for r in range(out.shape[0]):
        q = out[r]
        for j in range(n):
            q[j] = work[j, r]


def wave(n: int, sine: int) -> Array:
    """(n + 1, n - n//2) cosines or sines of pi j i / (n - 1), folded: half of the rows see sums, half differences.

    A wave that is even (or odd) about the middle needs only the sums (or differences) of the nodes i and n - 1 - i.
    The differences stand in reverse order, as ``_turn`` leaves them; the last row is zero.
    """
    M, half = np.zeros((n + 1, n - n // 2)), n // 2
    theta = np.pi / (n - 1) * np.outer(np.arange(n), np.arange(n - half))
    values = np.sin(theta) if sine else np.cos(theta)
    if sine:
        values[[0, -1]], values[:, 0] = 0.0, 0.0
    M[sine:n:2] = values[sine::2]
    M[1 - sine : n : 2, :half] = values[1 - sine :: 2, :half][:, ::-1]
    return M


@jit
def _transform(a: Array, X: Array, Y: Array, Z: Array, odd: int, work: Array, other: Array) -> None:
    """a (nodes,) <- transformed along x, y, z in place; the bits 1, 2, 4 of ``odd``: sines along that axis."""
    for axis in range(3):
        M = X if axis == 0 else Y if axis == 1 else Z
        n, sine = M.shape[1] - 1, odd >> axis & 1
        m = a.size // n
        _turn(M[sine], sine, a.reshape(n, m), work[: (n + 1) * m].reshape(n + 1, m), other.reshape(m, n))
        for i in range(a.size):
            a[i] = other[i]


@jit
def _solve(z: Array, parity: int, inverse: Array) -> None:
    """z (3, nodes) <- inverse z for the waves of one class."""
    a, b, c = z[0], z[1], z[2]
    # d/dx d/dy of a product is +- the product of the other kind, minus where the parities differ
    x, y, w = parity & 1, parity >> 1 & 1, parity >> 2 & 1
    kind = z.dtype.type
    xy, xz, yz = kind(1 - 2 * (x ^ y)), kind(1 - 2 * (x ^ w)), kind(1 - 2 * (y ^ w))
    for n in range(a.size):
        p, q, s = a[n], b[n], c[n]
        a[n] = inverse[0, n] * p + xy * inverse[5, n] * q + xz * inverse[4, n] * s
        b[n] = xy * inverse[5, n] * p + inverse[1, n] * q + yz * inverse[3, n] * s
        c[n] = xz * inverse[4, n] * p + yz * inverse[3, n] * q + inverse[2, n] * s


@jit
def green_of_classes(r: Array, classes: Array, X: Array, Y: Array, Z: Array, inverse: Array, z: Array, work: Array,
           other: Array) -> None:  # fmt: skip
    """z <- K0^-1 r for (classes, 3, nodes); X, Y, Z: cosines and sines (``wave``); inverse: (6, nodes)."""
    for m in range(r.shape[0]):
        for way in range(2):
            for c in range(3):
                if way == 0:
                    for n in range(r.shape[2]):
                        z[m, c, n] = r[m, c, n]
                # component c is odd along its own axis where the class is even, and the other way round
                _transform(z[m, c], X, Y, Z, classes[m] ^ (1 << c), work, other)
            if way == 0:
                _solve(z[m], classes[m], inverse)
