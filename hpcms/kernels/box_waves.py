"""Cosines and sines along one axis of a box of nodes on a ring, as small matrix products.

A ring of n nodes carries the waves cos(2 pi k j / n) and sin(2 pi k j / n), j counted from a centre. A box of nodes about
the centre is folded into its even part (it sees the cosines) and its odd part (the sines). If n is even, the waves k and
n/2 - k agree at even j and are opposite at odd j (the sines the other way round), so even and odd j are summed apart, for a
quarter of the wave numbers only. Rows of a field along the other axes are treated at once. Nodes outside of the box are zero,
and what is not wanted there is not computed.

The transform fills one or two *blocks* of n//2 + 1 rows: block 0 holds the cosines and block 1 the sines; for a vector
component along the axis itself (``own``) block 0 holds the sines and block 1 the negative cosines, so that a homogeneous
stiffness couples equal rows of equal blocks by one real matrix, whatever the block. A field that is even (odd) about the
centre and about the opposite node, known on one side only (``centre`` 0), has one of the two blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit


class Axis(NamedTuple):
    """``ahead`` (2, 2, K, J): cosines and sines, groups of j, wave numbers, terms; ``back``: the same transposed (2, 2, J, K).

    K and J are filled up with zeros to multiples of four. ``nodes`` of the box, its ``centre``, ``step``: number of groups
    of j, ``half``: rows of a block, ``base``: wave numbers that are summed.
    """

    ahead: Array
    back: Array
    nodes: int
    centre: int
    step: int
    half: int
    base: int


def axis(ring: int, nodes: int, mirrored: bool = False, kind: type = float) -> Axis:
    """Waves of a box of ``nodes`` on a ``ring``; ``mirrored``: the box is one side of a symmetric field, from the centre on."""
    step = 2 - ring % 2
    centre = 0 if mirrored else (nodes - 1) // 2
    base, terms = (ring // 4 if step == 2 else ring // 2) + 1, (nodes - 1 - centre) // step + 1
    ahead: Array = np.zeros((2, 2, _fours(base), _fours(terms)), kind)
    for g in range(2):
        j = np.arange(base)[:, None] * (g + step * np.arange(terms))
        angle = 2.0 * np.pi / ring * (j % ring)
        ahead[0, g, :base, :terms] = np.cos(angle)
        ahead[1, g, :base, :terms] = np.where(2 * j % ring == 0, 0.0, np.sin(angle))
    return Axis(ahead, np.ascontiguousarray(ahead.swapaxes(2, 3)), nodes, centre, step, ring // 2 + 1, base)


def _fours(n: int) -> int:
    return -(-n // 4) * 4


def wave_numbers(ring: int) -> Array:
    """(half,) wave number of each row of a block."""
    base = ring // 4 + 1 if ring % 2 == 0 else ring // 2 + 1
    return np.r_[np.arange(base), ring // 2 - np.arange(ring // 2 + 1 - base)]


def weights(ring: int, mirrored: bool = False) -> Array:
    """(half,) factors that make transform, weights, transposed transform the identity (on forces of one side: mirrored)."""
    k = wave_numbers(ring)
    return np.where((k == 0) | (2 * k == ring), 1.0, 2.0) / ring * (2.0 if mirrored else 1.0)


@jit
def multiply(M: Array, rows: int, terms: int, a: Array, width: int, out: Array) -> None:
    """out[:rows, :width] <- M[:rows, :terms] a[:terms, :width]; rows and terms are multiples of four."""
    zero = a.dtype.type(0)
    for k in range(0, rows, 4):
        m0, m1, m2, m3 = M[k], M[k + 1], M[k + 2], M[k + 3]
        p0, p1, p2, p3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for r in range(width):
            p0[r], p1[r], p2[r], p3[r] = zero, zero, zero, zero
        for j in range(0, terms, 4):
            w, x, y, z = a[j], a[j + 1], a[j + 2], a[j + 3]
            a0, a1, a2, a3 = m0[j], m0[j + 1], m0[j + 2], m0[j + 3]
            b0, b1, b2, b3 = m1[j], m1[j + 1], m1[j + 2], m1[j + 3]
            c0, c1, c2, c3 = m2[j], m2[j + 1], m2[j + 2], m2[j + 3]
            d0, d1, d2, d3 = m3[j], m3[j + 1], m3[j + 2], m3[j + 3]
            for r in range(width):
                q0, q1, q2, q3 = w[r], x[r], y[r], z[r]
                p0[r] += a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
                p1[r] += b0 * q0 + b1 * q1 + b2 * q2 + b3 * q3
                p2[r] += c0 * q0 + c1 * q1 + c2 * q2 + c3 * q3
                p3[r] += d0 * q0 + d1 * q1 + d2 * q2 + d3 * q3


@jit
def _fold(a: Array, axis: Axis, odd: int, group: int, reach: int, width: int, out: Array) -> int:
    """Rows of out <- even (or odd) part of a at the distances group, group + step, ... below ``reach``, then zeros;
    the number of rows, a multiple of four."""
    centre, m = axis.centre, 0
    for j in range(group, reach, axis.step):
        high, row = a[centre + j], out[m]
        m += 1
        if j == 0 or j > centre:
            for r in range(width):
                row[r] = high[r]
        elif odd == 0:
            low = a[centre - j]
            for r in range(width):
                row[r] = high[r] + low[r]
        else:
            low = a[centre - j]
            for r in range(width):
                row[r] = high[r] - low[r]
    while m % 4:
        out[m, :width] = out.dtype.type(0)
        m += 1
    return m


@jit
def _unfold(rows: Array, axis: Axis, odd: int, group: int, reach: int, width: int, add: bool, a: Array) -> None:
    """Transpose of ``_fold``; sets the rows of a, or adds to them."""
    centre, sign = axis.centre, rows.dtype.type(1 - 2 * odd)
    for m in range((reach - group + axis.step - 1) // axis.step):
        j, row = group + axis.step * m, rows[m]
        high, low = a[centre + j], a[max(centre - j, 0)]
        alone = j == 0 or j > centre
        if not add:
            for r in range(width):
                high[r] = row[r]
            if not alone:
                for r in range(width):
                    low[r] = sign * row[r]
        else:
            for r in range(width):
                high[r] += row[r]
            if not alone:
                for r in range(width):
                    low[r] += sign * row[r]


@jit
def transform(a: Array, axis: Axis, own: int, first: int, last: int, reach: int, width: int, out: Array, fold: Array,
              part: Array) -> None:  # fmt: skip
    """out (rows of the blocks first..last-1, width) <- waves of a (nodes, width) within ``reach`` of the centre.

    fold: (>= J, >= width), part: (2, K, >= width), work space.
    """
    base, half = axis.base, axis.half
    for block in range(first, last):
        odd, at = block ^ own, (block - first) * half
        sign = a.dtype.type(-1 if own and not odd else 1)
        for g in range(axis.step):
            terms = _fold(a, axis, odd, g, reach, width, fold)
            multiply(axis.ahead[odd, g], axis.ahead.shape[2], terms, fold, width, part[g])
        turned = -sign if odd else sign
        for k in range(base):
            p, q, row = part[0, k], part[1, k], out[at + k]
            if axis.step == 1:
                for r in range(width):
                    row[r] = sign * p[r]
            elif base + k < half:
                other = out[at + base + k]
                for r in range(width):
                    x, y = p[r], q[r]
                    row[r], other[r] = sign * (x + y), turned * (x - y)
            else:
                for r in range(width):
                    row[r] = sign * (p[r] + q[r])


@jit
def transpose(w: Array, axis: Axis, own: int, first: int, last: int, reach: int, width: int, a: Array, fold: Array,
              part: Array) -> None:  # fmt: skip
    """a (nodes, width) within ``reach`` of the centre <- transpose of ``transform`` applied to w."""
    base, half = axis.base, axis.half
    for block in range(first, last):
        odd, at = block ^ own, (block - first) * half
        sign = w.dtype.type(-1 if own and not odd else 1)
        turned = -sign if odd else sign
        for k in range(base):
            p, q, row = part[0, k], part[1, k], w[at + k]
            if axis.step == 2 and base + k < half:
                other = w[at + base + k]
                for r in range(width):
                    x, y = sign * row[r], turned * other[r]
                    p[r], q[r] = x + y, x - y
            else:
                for r in range(width):
                    p[r] = q[r] = sign * row[r]
        part[:, base:, :width] = w.dtype.type(0)
        for g in range(axis.step):
            rows = ((reach - g + axis.step - 1) // axis.step + 3) // 4 * 4
            multiply(axis.back[odd, g], rows, axis.ahead.shape[2], part[g], width, fold)
            _unfold(fold, axis, odd, g, reach, width, block > first, a)


def transform_plain(a: Array, ring: int, own: int, mirrored: bool = False) -> Array:
    """Twin of ``transform`` for both blocks: (2, half, width) from sums over the nodes."""
    nodes = a.shape[0]
    j = np.arange(nodes) - (0 if mirrored else (nodes - 1) // 2)
    angle = 2.0 * np.pi / ring * np.outer(wave_numbers(ring), j)
    blocks = (np.sin(angle), -np.cos(angle)) if own else (np.cos(angle), np.sin(angle))
    return np.array([block @ a for block in blocks])
