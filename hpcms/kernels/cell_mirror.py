"""A cell that is mirrored in the three directions, reduced to its window by the symmetry of the drive.

Under a mean strain the mirrored cell is solved by fields of few symmetry classes. A class is a number of three bits, one for
each axis (1, 2, 4) under whose mirror a field is odd: u(R x) = -R u(x). Normal strains are of class 0, the shears 12, 13,
23 of class 3, 5, 6. If the drive and the history hold the classes D (a group: 1, 2 or 4 of them), so does the solution, and the
response to a unit strain of class ``shift`` holds the classes shift ^ D. So the unknowns are one field on the nodes of the
window for each class. Their sums with the signs of a reflection are the displacements of a *sheet*: the window as that
reflection shows it. One sheet for each class carries all voxels that differ; the plane-strain drives 11, 22, 33, 12 leave a
quarter of the cell.

In a class each component is even or odd along each axis, so cosines and sines diagonalise the homogeneous stiffness: with
the grid angles pi j / n the symbol is that of the periodic cell. The windows are small, so the transforms are plain
matrix products, axis by axis.
"""

from __future__ import annotations

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT
from hpcms.kernels.elements import blocks_of, corners, load_bearing, read_history, write_history
from hpcms.kernels.green_vector import axis_symbol, inverse_symbol
from hpcms.kernels.hex8_creep import tangent
from hpcms.kernels.krylov import advance, direct, dot

Operator = tuple[Array, Array, Array, Array]  # of ``hex8_creep.tangent``: t, moduli, law, geo

CLASSES = np.array([0, 0, 0, 6, 5, 3])  # of the strain components 11 22 33 23 13 12
PARITY = np.array([bin(n).count("1") % 2 for n in range(8)])
REFLECTIONS = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1] for n in range(8)])  # rows by number: which axes are reflected


def is_mirrored(phase: Array) -> bool:
    """Whether the image is even along all three axes."""
    even = all(n % 2 == 0 for n in phase.shape)
    return even and all(np.array_equal(phase, np.flip(phase, axis)) for axis in range(3))


def classes_of(strain: Array) -> tuple[int, ...]:
    """The group of classes that a strain (6,) belongs to."""
    found = {0} | set(CLASSES[3:][np.asarray(strain)[3:] != 0.0].tolist())
    return tuple(sorted(found | {a ^ b for a in found for b in found}))


@numba.njit(**JIT)
def _spread(v: Array, signs: Array, w: Array) -> None:
    """w (3, sheets * nodes + 1) <- sum over the classes of v (classes, 3, nodes) with signs (sheets, classes)."""
    nodes = v.shape[2]
    for s in range(signs.shape[0]):
        for c in range(3):
            out = w[c, s * nodes : (s + 1) * nodes]
            out[:] = signs[s, 0] * v[0, c]
            for m in range(1, v.shape[0]):
                sign, row = signs[s, m], v[m, c]
                for n in range(nodes):
                    out[n] += sign * row[n]


@numba.njit(**JIT)
def _collect(f: Array, signs: Array, faces: Array, r: Array) -> None:
    """Transpose of ``_spread``; faces: (classes, 3, nodes) 0 where symmetry holds a component at zero, else 1."""
    nodes = r.shape[2]
    for m in range(r.shape[0]):
        for c in range(3):
            out, face = r[m, c], faces[m, c]
            out[:] = 0.0
            for s in range(signs.shape[0]):
                sign, row = signs[s, m], f[c, s * nodes : (s + 1) * nodes]
                for n in range(nodes):
                    out[n] += sign * row[n]
            for n in range(nodes):
                out[n] *= face[n]


@numba.njit(**JIT)
def _rows(M: Array, a: Array, out: Array, start: int) -> None:
    """out[start::2] <- M[start::2] a, two rows and four columns at a time; the last row of M and out is spare."""
    n, k = M.shape[0] - 1, a.shape[0]
    zero = a[0]
    for j in range(start, n, 4):
        m, l = M[j], M[j + 2 if j + 2 < n else n]
        p, q = out[j], out[j + 2 if j + 2 < n else n]
        first = k % 4
        p[:] = 0.0
        q[:] = 0.0
        for i in range(first):
            m0, l0, zero = m[i], l[i], a[i]
            for r in range(p.size):
                p[r] += m0 * zero[r]
                q[r] += l0 * zero[r]
        for i in range(first, k, 4):
            m0, m1, m2, m3 = m[i], m[i + 1], m[i + 2], m[i + 3]
            l0, l1, l2, l3 = l[i], l[i + 1], l[i + 2], l[i + 3]
            w, x, y, z = a[i], a[i + 1], a[i + 2], a[i + 3]
            for r in range(p.size):
                p[r] += m0 * w[r] + m1 * x[r] + m2 * y[r] + m3 * z[r]
                q[r] += l0 * w[r] + l1 * x[r] + l2 * y[r] + l3 * z[r]


@numba.njit(**JIT)
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


@numba.njit(**JIT)
def _transform(a: Array, X: Array, Y: Array, Z: Array, i: int, j: int, k: int, work: Array, other: Array) -> None:
    """a (nodes,) <- transformed along x, y, z in place; i, j, k: 0 cosines, 1 sines."""
    x, y, z = X.shape[1] - 1, Y.shape[1] - 1, Z.shape[1] - 1
    _turn(X[i], i, a.reshape(x, y * z), work[: (x + 1) * y * z].reshape(x + 1, y * z), other.reshape(y * z, x))
    _turn(Y[j], j, other.reshape(y, z * x), work[: (y + 1) * z * x].reshape(y + 1, z * x), a.reshape(z * x, y))
    _turn(Z[k], k, a.reshape(z, x * y), work[: (z + 1) * x * y].reshape(z + 1, x * y), other.reshape(x * y, z))
    a[:] = other


@numba.njit(**JIT)
def _green(r: Array, classes: Array, X: Array, Y: Array, Z: Array, inverse: Array, z: Array, work: Array,
           other: Array) -> None:  # fmt: skip
    """z <- K0^-1 r for (classes, 3, nodes); X, Y, Z: cosines and sines (``wave``); inverse: (6, nodes)."""
    for m in range(r.shape[0]):
        x, y, w = classes[m] & 1, classes[m] >> 1 & 1, classes[m] >> 2 & 1
        a, b, c = z[m, 0], z[m, 1], z[m, 2]
        z[m] = r[m]
        for turn in range(2):
            _transform(a, X, Y, Z, 1 - x, y, w, work, other)
            _transform(b, X, Y, Z, x, 1 - y, w, work, other)
            _transform(c, X, Y, Z, x, y, 1 - w, work, other)
            if turn == 1:
                break
            # d/dx d/dy of a product is +- the product of the other kind, minus where the parities differ
            xy, xz, yz = 1.0 - 2.0 * (x ^ y), 1.0 - 2.0 * (x ^ w), 1.0 - 2.0 * (y ^ w)
            for n in range(a.size):
                p, q, s = a[n], b[n], c[n]
                a[n] = inverse[0, n] * p + xy * inverse[5, n] * q + xz * inverse[4, n] * s
                b[n] = xy * inverse[5, n] * p + inverse[1, n] * q + yz * inverse[3, n] * s
                c[n] = xz * inverse[4, n] * p + yz * inverse[3, n] * q + inverse[2, n] * s


@numba.njit(**JIT)
def _conjugate(conn: Array, sheet: Array, t: Array, moduli: Array, law: Array, geo: Array, signs: Array, faces: Array,
               classes: Array, X: Array, Y: Array, Z: Array, inverse: Array, r: Array, x: Array, goal: float, energy: bool,
               limit: int) -> int:  # fmt: skip
    """``MirrorCell.conjugate``, all of it compiled."""
    z, p, q = np.empty_like(r), np.zeros_like(r), np.empty_like(r)
    w = np.zeros((3, signs.shape[0] * r.shape[2] + 1))
    f, work, other, old = np.empty_like(w), np.empty(2 * r.shape[2]), np.empty(r.shape[2]), 1.0
    zero, total = np.zeros((signs.shape[0], 6)), np.zeros((signs.shape[0], 6))
    r1, x1, z1, p1, q1 = r.reshape(-1), x.reshape(-1), z.reshape(-1), p.reshape(-1), q.reshape(-1)
    size = dot(r1, r1)
    for iteration in range(limit):
        if not energy and size <= goal * goal:
            return iteration
        _green(r, classes, X, Y, Z, inverse, z, work, other)
        rz = dot(r1, z1)
        if not rz > (goal * goal if energy else 0.0):
            return iteration
        direct(z1, rz / old, p1)
        old = rz
        _spread(p, signs, w)
        tangent(w, conn, sheet, zero, t, moduli, law, geo, f, total)
        _collect(f, signs, faces, q)
        pq = dot(p1, q1)
        if not pq > 0.0:
            return iteration
        size = advance(rz / pq, p1, q1, x1, r1)
    return limit


class MirrorCell:
    """The verbs of ``PeriodicCell`` for a mirrored image (nx, ny, nz); ``group``: the classes D of drive and history."""

    def __init__(self, phase: Array, solid: Array, spacing: tuple[float, float, float], group: tuple[int, ...]) -> None:
        self.cell = phase.shape
        self.box = np.array(phase.shape) // 2
        self.nodes = tuple(int(n) + 1 for n in self.box)
        self.count = int(np.prod(self.nodes))
        self.group = np.array(group)
        # one reflection for each pattern of signs on the group
        patterns = [tuple(PARITY[n & self.group]) for n in range(8)]
        sheets = [patterns.index(p) for p in dict.fromkeys(patterns)]
        self.sheets, self.mirror = np.array(sheets), REFLECTIONS[sheets]
        shown = [[patterns[s] for s in sheets].index(p) for p in patterns]
        self.images = np.column_stack([REFLECTIONS, shown])
        window = tuple(slice(0, int(n)) for n in self.box)
        voxels, kinds = blocks_of(phase[window], load_bearing(solid[phase])[window])
        each, total = len(sheets), len(sheets) * self.count
        conn = corners(voxels, tuple(self.box), self.nodes, total)
        self.voxels, self.phase = np.tile(voxels, (each, 1)), np.tile(kinds, each)
        self.sheet = np.repeat(np.arange(each), len(kinds))
        lift = np.where(conn == total, 0, self.count)[None] * np.arange(each)[:, None, None, None]
        self.conn = np.ascontiguousarray((conn[None] + lift).reshape(-1, *conn.shape[1:]), np.uint64)
        self.volume = float(np.prod(spacing)) * float(np.prod(self.box)) * each
        self.length = 3 * self.count * each
        self._prepare(spacing)

    def _prepare(self, spacing: tuple[float, float, float]) -> None:
        """Tables of the transforms and of the planes on which symmetry holds a component."""
        angles = [np.pi / n * np.arange(n + 1) for n in self.box]
        self.axes = [axis_symbol(t, h) for t, h in zip(angles, spacing, strict=True)]
        self.waves = [np.array([wave(n, 0), wave(n, 1)]) for n in self.nodes]
        ends = [np.r_[1.0, np.zeros(n - 1), 1.0] for n in self.box]
        self.faces = {}
        for shift in range(8):
            face = np.ones((len(self.group), 3, *self.nodes))
            for m, c in np.ndindex(face.shape[:2]):
                for axis in range(3):
                    odd = (int(self.group[m] ^ shift) >> axis & 1) ^ (c == axis)
                    if odd:
                        face[m, c] *= (1.0 - ends[axis]).reshape([-1 if d == axis else 1 for d in range(3)])
            self.faces[shift] = face.reshape(len(self.group), 3, -1)
        norm = np.ones(self.nodes)
        for axis, end in enumerate(ends):
            norm = norm * ((2.0 - end) / self.box[axis]).reshape([-1 if d == axis else 1 for d in range(3)])
        self.norm = norm.reshape(-1) / (np.prod(spacing) * len(self.group))
        self.inverse = np.empty((6, self.count))
        self.work = (np.empty(2 * self.count), np.empty(self.count))

    def _signs(self, shift: int) -> Array:
        """(sheets, classes) signs of the classes group ^ shift under the sheets' reflections."""
        return 1.0 - 2.0 * PARITY[self.sheets[:, None] & (self.group ^ shift)[None]]

    def _vector(self, v: Array) -> Array:
        return v.reshape(len(self.group), 3, self.count)

    def spread(self, v: Array, shift: int) -> Array:
        w = np.zeros((3, len(self.sheets) * self.count + 1))
        _spread(self._vector(v), self._signs(shift), w)
        return w

    def collect(self, f: Array, shift: int) -> Array:
        r = np.empty(self.length)
        _collect(f, self._signs(shift), self.faces[shift], self._vector(r))
        return r

    def set_moduli(self, lam: float, mu: float, mean: float) -> None:
        inverse_symbol(*self.axes, lam, mu, mean, 1.0, self.inverse.reshape(6, *self.nodes))
        self.inverse *= self.norm

    def conjugate(self, operator: Operator, r: Array, x: Array, shift: int, goal: float, energy: bool, limit: int) -> int:
        return int(_conjugate(self.conn, self.sheet, *operator, self._signs(shift), self.faces[shift], self.group ^ shift,
                              *self.waves, self.inverse, self._vector(r), self._vector(x), goal, energy, limit))  # fmt: skip

    def precondition(self, r: Array, z: Array, shift: int) -> None:
        _green(self._vector(r), self.group ^ shift, *self.waves, self.inverse, self._vector(z), *self.work)

    def strains(self, strain: Array, shift: int) -> Array:
        return (1.0 - 2.0 * PARITY[self.sheets[:, None] & CLASSES[None]]) * strain

    def mean(self, total: Array, shift: int) -> Array:
        seen = np.isin(CLASSES, self.group ^ shift)
        signs = 1.0 - 2.0 * PARITY[self.sheets[:, None] & CLASSES[None]]
        return np.where(seen, (signs * total).sum(axis=0), 0.0) / self.volume

    def read_field(self, field: Array, shift: int) -> Array:
        v = np.zeros((len(self.group), 3, *self.nodes))
        signs = self._signs(shift) / len(self.sheets)
        for s, mirror in enumerate(self.mirror):
            seen = self._reflected(mirror)
            w = field[(slice(None), *np.ix_(*seen))] * (1.0 - 2.0 * mirror)[:, None, None, None]
            v += signs[s][:, None, None, None, None] * w
        return v.reshape(-1)

    def write_field(self, v: Array, shift: int) -> Array:
        field = np.empty((3, *self.cell))
        classes = v.reshape(len(self.group), -1)
        for n, mirror in enumerate(REFLECTIONS):
            w = ((1.0 - 2.0 * PARITY[n & (self.group ^ shift)]) @ classes).reshape(3, *self.nodes)
            field[(slice(None), *np.ix_(*self._reflected(mirror)))] = w * (1.0 - 2.0 * mirror)[:, None, None, None]
        return field

    def _reflected(self, mirror: Array) -> list[Array]:
        """Places of the window's nodes in the cell as a reflection shows them."""
        places = [np.arange(n) for n in self.nodes]
        return [(m - p) % m if flip else p % m for p, m, flip in zip(places, self.cell, mirror, strict=True)]

    def read_history(self, history: Array) -> Array:
        vp = np.zeros((len(self.voxels), 8 * 5 * self.voxels.shape[1]))
        read_history(np.ascontiguousarray(history), self.voxels, self.sheet, self.box, self.mirror, vp)
        return vp

    def write_history(self, vp: Array, out: Array) -> None:
        write_history(vp, self.voxels, self.sheet, self.box, self.images, out)

    def align(self, v: Array, shift: int) -> Array:
        """A vector of class ``shift`` (one of the group) in the order of class 0."""
        order = [int(np.flatnonzero((self.group ^ shift) == c)[0]) for c in self.group]
        return self._vector(v)[order].reshape(-1)
