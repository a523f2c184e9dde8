"""The inverse of ``green_scalar`` for fields with a parity along each axis, on one octant of a mirrored cell.

The cell has n = 2 m nodes along an axis and the mirror planes are the nodes 0 and m. A field is odd along one axis, that of
the drive, and even along the others, so cosines and sines take the place of the Fourier transform along z and y. Along x
the ring of ``green_scalar`` is folded: with ``L[i] = sum_d rho^d s[i-d]`` over the sources and their images (parity P = +-1)
the symmetry gives ``L[-1] = P R[1]`` for the sum R to the right, and behind the last node e of the box
``z[e] = (L[e] (1 + P rho^(n-2e)) - [n = 2e] P s[e]) / (1 - rho^2)``; then ``z[i] = L[i] + rho z[i+1]`` as there.

Sources are *dual*: on a mirror plane they hold what the octant itself contributes, half of the nodal force for each even axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ducc0
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.green_scalar import CHUNK, FORGOTTEN, line, symbol


@dataclass(frozen=True)
class MirrorGreen:
    """A prepared inverse. ``box``: nodes of the box, the first at the mirror planes; ``half``: (3,) voxels of the octant.

    ``odd``: the axis along which fields are odd. ``rho, scale, start, wrap, tail``: (my, mz) by wave number; ``warm``: (my,).
    """

    box: tuple[int, int, int]
    half: tuple[int, int, int]
    odd: int
    tables: tuple[Array, ...]
    warm: Array
    stiffness: float
    spectrum: Array  # (bx, my, mz), work space
    rows: Array  # (chunk, by, mz), work space

    def _nodes(self, axis: int) -> slice:
        """Nodes of the box that are not held at zero."""
        first = 1 if axis == self.odd else 0
        return slice(first, min(self.box[axis], self.half[axis] + 1 - first))

    def solve(self, s: Array, out: Array) -> None:
        """``out = A0^+ s`` at the nodes of the box; ``s`` dual, ``out`` nodal values, both (bx, by, bz)."""
        bx, chunk, W = self.box[0], self.rows.shape[0], self.spectrum
        Y, Z = self._nodes(1), self._nodes(2)
        ny, nz = Y.stop - Y.start, Z.stop - Z.start
        for x in range(0, bx, chunk):
            V, rows = W[x : x + chunk], self.rows[: min(chunk, bx - x)]
            rows[:, :, :nz] = s[x : x + chunk, Y, Z]
            rows[:, :, nz:] = 0
            self._double(rows, 2)
            self._transform(rows, 2, V[:, :ny])
            V[:, ny:] = 0
            self._double(V, 1)
            self._transform(V, 1, V)
        self._double(W, 0)
        parity = W.dtype.type(-1 if self.odd == 0 else 1)
        closed = bx == self.half[0] + 1
        rho, scale, start, wrap, tail = self.tables
        _fold(
            W, 2 * self.half[0], parity, closed, self.odd == 0, self.stiffness, rho, scale, start, wrap, tail, self.warm
        )
        out[:] = 0
        for x in range(0, bx, chunk):
            V, rows = W[x : x + chunk], self.rows[: min(chunk, bx - x)]
            self._transform(V, 1, V)
            self._transform(V[:, :ny], 2, rows)
            out[x : x + chunk, Y, Z] = rows[:, :, :nz]
        if self.odd == 0:
            out[0] = 0
            out[self.half[0] :] = 0

    def _transform(self, a: Array, axis: int, out: Array) -> None:
        kind = ducc0.fft.dst if axis == self.odd else ducc0.fft.dct
        kind(a, type=1, axes=(axis,), out=out, nthreads=1)

    def _double(self, a: Array, axis: int) -> None:
        """Dual to nodal values on the even mirror planes of ``axis``."""
        if axis != self.odd:
            planes = np.moveaxis(a, axis, 0)
            planes[0] *= 2
            if self.box[axis] == self.half[axis] + 1:
                planes[self.half[axis]] *= 2


def prepare(
    shape: tuple[int, int, int],
    box: tuple[int, int, int],
    spacing: tuple[float, float, float],
    coefficient: float,
    odd: int,
    kind: Any = np.float64,
) -> MirrorGreen:
    """Tables for a whole cell of ``shape`` nodes, all even numbers, with sources in the ``box`` of one octant."""
    (nx, ny, nz), (bx, _, _), hx = shape, box, spacing[0]
    waves = [slice(1, n // 2) if axis == odd else slice(0, n // 2 + 1) for axis, n in enumerate(shape)]
    Ky, My = (part[waves[1], None] for part in symbol(ny, spacing[1]))
    Kz, Mz = (part[None, waves[2]] for part in symbol(nz, spacing[2]))
    K, M = Ky * Mz + My * Kz, My * Mz
    a, b = hx * K / 6 - M / hx, hx * K / 3 * 2 + 2 * M / hx
    root = np.sqrt(hx * K * (4 * M / hx + hx * K / 3))
    rho = -2 * a / (b + root)
    if odd == 0:
        rho[0, 0] = 0.0  # the mode constant in y and z is solved apart
    parity, e = (-1 if odd == 0 else 1), bx - 1
    scale = 2 / (b + root) / (float(ny) * nz * coefficient)
    start, wrap = parity / (1 - rho**nx), rho ** (nx - 1 - e) / (1 - rho**nx)
    tail = (1 + parity * rho ** (nx - 2 * e)) / (1 - rho**2)
    with np.errstate(divide="ignore"):
        steps = np.log(FORGOTTEN) / np.log(np.abs(rho).max(axis=1))
    warm = np.clip(np.ceil(steps), 1, nx).astype(np.int64)
    half = (nx // 2, ny // 2, nz // 2)
    spectrum = np.empty((bx, *rho.shape), kind)
    rows = np.empty((min(bx, max(1, 2 * CHUNK // rho.size)), _used(box[1], half[1], odd == 1), rho.shape[1]), kind)
    stiffness = float(My[0, 0] * Mz[0, 0]) / hx * (float(ny) * nz * coefficient)
    tables = tuple(np.ascontiguousarray(x, kind) for x in (rho, scale, start, wrap, tail))
    return MirrorGreen(box, half, odd, tables, warm, stiffness, spectrum, rows)


def _used(nodes: int, half: int, odd: bool) -> int:
    return min(nodes, half) - 1 if odd else nodes


@jit
def _fold(
    W: Array, ring: int, parity: float, closed: bool, apart: bool, stiffness: float,
    rho: Array, scale: Array, start: Array, wrap: Array, tail: Array, warm: Array,
) -> None:  # fmt: skip
    """Solve the rows along x in place. W: (bx, my, mz); ``ring``: nodes around; ``closed``: the box ends at a mirror."""
    bx, ny, width = W.shape
    e = bx - 1
    constant = np.zeros((ring, 1, 2))
    if apart:
        for i in range(bx):
            constant[i, 0, 0] = W[i, 0, 0]
            constant[(ring - i) % ring, 0, 0] = parity * W[i, 0, 0]
        constant[0, 0, 0] = 0.0  # odd along x
        constant[ring // 2, 0, 0] = 0.0
        line(constant, ring, stiffness)
    carry, other = np.empty(width, W.dtype), np.empty(width, W.dtype)
    for j in range(ny):
        r, c, v, g, t = rho[j], scale[j], start[j], wrap[j], tail[j]
        carry[:] = 0.0
        for i in range(min(warm[j], e), 0, -1):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
        other[:] = 0.0
        if ring - e <= warm[j]:
            for i in range(max(0, e - warm[j]), e):
                row = W[i, j]
                for m in range(width):
                    other[m] = row[m] + r[m] * other[m]
            last = W[e, j]
            for m in range(width):
                other[m] = r[m] * other[m] + (0 if closed else last[m])
        for m in range(width):
            carry[m] = v[m] * carry[m] + g[m] * other[m]
        last = W[e, j]
        for m in range(width):
            other[m] = parity * last[m] if closed else 0
        for i in range(bx):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
                row[m] = carry[m]
        for m in range(width):
            carry[m] = t[m] * carry[m] - other[m] / (1 - r[m] * r[m])
            last[m] = carry[m] * c[m]
        for i in range(e - 1, -1, -1):
            row = W[i, j]
            for m in range(width):
                carry[m] = row[m] + r[m] * carry[m]
                row[m] = carry[m] * c[m]
    if apart:
        for i in range(bx):
            W[i, 0, 0] = constant[i, 0, 0]
