"""Inverse of a homogeneous stiffness for fields of one mirror symmetry class, by cosines and sines on a window.

In a class (``cell_mirror``) each component is even or odd along each axis, so cosines and sines diagonalise the homogeneous
stiffness: with the grid angles pi j / n its symbol is that of the periodic cell. Windows are small, so the transforms are
plain matrix products, axis by axis, halved by the symmetry of the waves about the middle.

The components of a node lie side by side (``registers``), with one number to spare, and each has its own wave: no transform
needs a transpose of numbers, and vectors are full whatever the size of the window. A transform works on its first axis and
leaves it as the last one, so after three of them all axes are back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.registers import GROUP, get, put, turned

WIDE = 6  # columns of a matrix product treated together: two rows of them are all that the registers hold
LINE = WIDE * GROUP


def wave(n: int, sine: int) -> Array:
    """(n, n - n//2) cosines or sines of pi j i / (n - 1), for the sums and differences of the nodes i and n - 1 - i.

    A wave that is even (or odd) about the middle needs only the sums (or differences). The node in the middle is its own
    partner and counts half.
    """
    half = n - n // 2
    theta = np.pi / (n - 1) * np.outer(np.arange(n), np.arange(half))
    M: Array = np.sin(theta) if sine else np.cos(theta)
    if sine:
        M[[0, -1]], M[:, 0] = 0.0, 0.0
    if n % 2:
        M[:, -1] *= 0.5
    return M


def waves(n: int, axis: int) -> Array:
    """(2, n + 2, n - n//2, 4): ``wave`` of each component, for classes even and odd along the axis.

    Row n is spare; row n + 1 begins with the sign by which partners are added for the even rows. The derivative of a
    product of waves along two axes is the product of the other kind, minus where the parities differ: all these signs are a
    factor of the component along the axis, there and back.
    """
    M = np.zeros((2, n + 2, n - n // 2, GROUP), np.float32)
    for odd in range(2):
        for c in range(3):
            # component c is odd along its own axis where the class is even, and the other way round
            sine = odd ^ (c == axis)
            M[odd, :n, :, c] = wave(n, sine) * (-1 if odd and c == axis else 1)
            M[odd, n + 1, 0, c] = 1 - 2 * sine
    return M


def by_nodes(inverse: Array) -> Array:
    """Flat (nodes + 1, 8) from an inverse symbol (6, nodes) 11 22 33 23 13 12, in the order in which ``_solve`` needs it."""
    table = np.zeros((inverse.shape[1] + 1, 2 * GROUP), np.float32)
    table[:-1, :3], table[:-1, GROUP : GROUP + 3] = inverse[:3].T, inverse[[5, 3, 4]].T
    return table.reshape(-1)


def scratch(X: Array, Y: Array, Z: Array, kind: Any) -> tuple[Array, Array, Array]:
    """Work space of ``green_of_classes``: two fields, with columns to spare behind them, and the columns at work."""
    sizes = np.array([len(M[0]) - 2 for M in (X, Y, Z)])
    field: Array = np.zeros(GROUP * (int(sizes.prod()) + WIDE * int(sizes.max())), kind)
    return field, field.copy(), np.zeros((int(sizes.max()) + 2) * LINE, kind)


@jit
def _fold(a: Array, n: int, m: int, c: int, signs: Array, B: Array) -> None:
    """B <- sums and differences of partners in the columns c ... of a (n, m, 4)."""
    half = n - n // 2
    for i in range(half):
        x, y, s, d = GROUP * (i * m + c), GROUP * ((n - 1 - i) * m + c), i * LINE, (half + i) * LINE
        for v in range(0, LINE, 8):
            low, high = get(a, x + v, x + v + 4), get(a, y + v, y + v + 4)
            put(B, s + v, s + v + 4, low + signs * high)
            put(B, d + v, d + v + 4, low - signs * high)


@jit
def _rows(M: Array, n: int, B: Array, start: int, zero: Array, out: Array, c: int) -> None:
    """out[c ..., start::2] <- M[start::2] B, two rows at a time."""
    half, step = n - n // 2, GROUP * n
    for j in range(start, n, 4):
        p0, p1, p2, q0, q1, q2 = zero, zero, zero, zero, zero, zero
        other = j + 2 if j + 2 < n else n
        m, o, s = GROUP * half * j, GROUP * half * other, LINE * half * start
        for _ in range(half):
            f, g = get(M, m, m), get(M, o, o)
            w = get(B, s, s + 4)
            p0, q0 = p0 + f * w, q0 + g * w
            w = get(B, s + 8, s + 12)
            p1, q1 = p1 + f * w, q1 + g * w
            w = get(B, s + 16, s + 20)
            p2, q2 = p2 + f * w, q2 + g * w
            m, o, s = m + GROUP, o + GROUP, s + LINE
        at = c * step + GROUP * j
        put(out, at, at + step, p0)
        put(out, at + 2 * step, at + 3 * step, p1)
        put(out, at + 4 * step, at + 5 * step, p2)
        if other < n:
            at += 2 * GROUP
            put(out, at, at + step, q0)
            put(out, at + 2 * step, at + 3 * step, q1)
            put(out, at + 4 * step, at + 5 * step, q2)


@jit
def _transform(M: Array, n: int, a: Array, m: int, B: Array, out: Array) -> None:
    """out (m, n, 4) <- waves along the first axis of a (n, m, 4); B: work space that ends with zeros."""
    at = M.size - GROUP * (n - n // 2)
    signs, zero = get(M, at, at), get(B, B.size - 8, B.size - 4)
    for c in range(0, m, WIDE):  # the last columns may reach behind the field
        _fold(a, n, m, c, signs, B)
        for start in range(2):
            _rows(M, n, B, start, zero, out, c)


@jit
def _solve(a: Array, nodes: int, inverse: Array) -> None:
    """a (nodes, 4) <- the inverse symbol times a, two nodes at a time."""
    for n in range(0, nodes, 2):
        at, i = GROUP * n, 2 * GROUP * n
        z, near, far = get(a, at, at + 4), get(inverse, i, i + 8), get(inverse, i + 4, i + 12)
        y = turned(z)
        # 11 22 33 by x y z, 12 23 13 by y z x, 13 12 23 by z x y
        put(a, at, at + 4, near * z + far * y + turned(turned(far)) * turned(y))


@jit
def green_of_classes(r: Array, classes: Array, X: Array, Y: Array, Z: Array, inverse: Array, z: Array, a: Array, b: Array,
           B: Array) -> None:  # fmt: skip
    """z <- K0^-1 r for (classes, 3, nodes); X, Y, Z: ``waves``; inverse: ``by_nodes``; a, b, B: ``scratch``; all of a kind."""
    nodes = r.shape[2]
    for c in range(r.shape[0]):
        p, q, s = r[c, 0], r[c, 1], r[c, 2]
        for n in range(nodes):
            a[4 * n], a[4 * n + 1], a[4 * n + 2], a[4 * n + 3] = p[n], q[n], s[n], 0.0
        for step in range(6):
            if step == 3:
                _solve(b, nodes, inverse)
            axis = step % 3
            M = X if axis == 0 else Y if axis == 1 else Z
            here, there = (b, a) if step % 2 else (a, b)
            n = M.shape[1] - 2
            _transform(M[classes[c] >> axis & 1].reshape(-1), n, here, nodes // n, B, there)
        p, q, s = z[c, 0], z[c, 1], z[c, 2]
        for n in range(nodes):
            p[n], q[n], s[n] = a[4 * n], a[4 * n + 1], a[4 * n + 2]
