"""A cell that is mirrored in the three directions, reduced to its window by the symmetry of the drive.

Under a mean strain the mirrored cell is solved by fields of few symmetry classes. A class is a number of three bits, one for
each axis (1, 2, 4) under whose mirror a field is odd: u(R x) = -R u(x). Normal strains are of class 0, the shears 12, 13,
23 of class 3, 5, 6. If the drive and the history hold the classes D (a group: 1, 2 or 4 of them), so does the solution, and the
response to a unit strain of class ``shift`` holds the classes shift ^ D. So the unknowns are one field on the nodes of the
window for each class. Their sums with the signs of a reflection are the displacements of a *sheet*: the window as that
reflection shows it. One sheet for each class carries all voxels that differ; the plane-strain drives 11, 22, 33, 12 leave a
quarter of the cell.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.elements import blocks_of, corners, read_history, write_history
from hpcms.kernels.green_vector import axis_symbol, inverse_symbol
from hpcms.kernels.hex8_creep import tangent
from hpcms.kernels.krylov import NEARLY, Found, Operator, Stop, advance, direct, dot, settled
from hpcms.kernels.registers import GROUP, get, put, read, same, transposed, write
from hpcms.kernels.waves import by_nodes, green_of_classes, scratch, waves

CLASSES = (0, 0, 0, 6, 5, 3)  # of the strain components 11 22 33 23 13 12
PARITY = np.array([bin(n).count("1") % 2 for n in range(8)])
REFLECTIONS = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1] for n in range(8)])  # rows by number: which axes are reflected


def is_mirrored(phase: Array) -> bool:
    """Whether the image is even along all three axes."""
    even = all(n % 2 == 0 for n in phase.shape)
    return even and all(np.array_equal(phase, np.flip(phase, axis)) for axis in range(3))


def classes_of(strain: Array) -> tuple[int, ...]:
    """The group of classes that a strain (6,) belongs to."""
    found = {0} | {c for c, e in zip(CLASSES, strain, strict=True) if c and e != 0.0}
    return tuple(sorted(found | {a ^ b for a in found for b in found}))


@jit
def _spread(v: Array, signs: Array, w: Array) -> None:
    """w (sheets * nodes + 1, 4) <- sum over the classes of v (classes, 3, nodes) with signs (sheets, classes).

    Eight nodes at a time: a window has as many at least, and the last eight may overlap with those before.
    """
    nodes, kind = v.shape[2], v.dtype.type
    a, out, zero = v.reshape(-1), w.reshape(-1), same(kind(0.0))
    for s in range(signs.shape[0]):
        for start in range(0, nodes, 2 * GROUP):
            n = min(start, nodes - 2 * GROUP)
            x, y, z = zero, zero, zero
            for m in range(signs.shape[1]):
                sign, i = same(kind(signs[s, m])), 3 * m * nodes + n
                x, y, z = (
                    x + sign * read(a, i, x),
                    y + sign * read(a, i + nodes, x),
                    z + sign * read(a, i + 2 * nodes, x),
                )
            x, y, z, rest = transposed(x, y, z, zero)
            i = GROUP * (s * nodes + n)
            put(out, i, i + 4 * GROUP, x)
            put(out, i + GROUP, i + 5 * GROUP, y)
            put(out, i + 2 * GROUP, i + 6 * GROUP, z)
            put(out, i + 3 * GROUP, i + 7 * GROUP, rest)


@jit
def _collect(f: Array, signs: Array, faces: Array, r: Array) -> None:
    """Transpose of ``_spread``; faces: (classes, 3, nodes) 0 where symmetry holds a component at zero, else 1."""
    nodes, kind = r.shape[2], r.dtype.type
    a, face, out, zero = f.reshape(-1), faces.reshape(-1), r.reshape(-1), same(kind(0.0))
    for m in range(r.shape[0]):
        for start in range(0, nodes, 2 * GROUP):
            n = min(start, nodes - 2 * GROUP)
            p, q, u, w = zero, zero, zero, zero
            for s in range(signs.shape[0]):
                sign, i = same(kind(signs[s, m])), GROUP * (s * nodes + n)
                p, q = p + sign * get(a, i, i + 4 * GROUP), q + sign * get(a, i + GROUP, i + 5 * GROUP)
                u = u + sign * get(a, i + 2 * GROUP, i + 6 * GROUP)
                w = w + sign * get(a, i + 3 * GROUP, i + 7 * GROUP)
            x, y, z, _ = transposed(p, q, u, w)
            i = 3 * m * nodes + n
            write(out, i, x * read(face, i, zero))
            write(out, i + nodes, y * read(face, i + nodes, zero))
            write(out, i + 2 * nodes, z * read(face, i + 2 * nodes, zero))


@jit
def _conjugate(conn: Array, sheet: Array, t: Array, moduli: Array, law: Array, geo: Array, signs: Array, faces: Array,
               classes: Array, X: Array, Y: Array, Z: Array, inverse: Array, a: Array, b: Array, B: Array, r: Array, x: Array,
               goal: float, energy: float, share: float, least: float, limit: int, window: int,
               stress: Array) -> tuple[int, float]:  # fmt: skip
    """``MirrorCell.conjugate``, all of it compiled; stress (sheets, 6): integral of the stress of x."""
    z, p, q = np.empty_like(r), np.zeros_like(r), np.empty_like(r)
    w = np.zeros((signs.shape[0] * r.shape[2] + 1, GROUP), r.dtype)
    f, old = np.empty_like(w), 1.0
    zero, total = np.zeros((signs.shape[0], 6), r.dtype), np.zeros((signs.shape[0], 6))
    r1, x1, z1, p1, q1 = r.reshape(-1), x.reshape(-1), z.reshape(-1), p.reshape(-1), q.reshape(-1)
    size, drops = dot(r1, r1), np.zeros(window)
    for iteration in range(limit):
        if size <= goal * goal:
            return iteration, energy
        green_of_classes(r, classes, X, Y, Z, inverse, z, a, b, B)
        rz = dot(r1, z1)
        if not rz > NEARLY * max(share * energy, least):
            return iteration, energy
        direct(z1, rz / old, p1)
        old = rz
        _spread(p, signs, w)
        tangent(w, conn, sheet, zero, t, moduli, law, geo, f, total)
        _collect(f, signs, faces, q)
        pq = dot(p1, q1)
        if not pq > 0.0:
            return iteration, energy
        size = advance(rz / pq, p1, q1, x1, r1)
        stress += rz / pq * total
        energy -= rz * rz / pq
        if settled(drops, iteration, rz * rz / pq, max(share * energy, least)):
            return iteration + 1, energy
    return limit, energy


@jit
def _multiply(conn: Array, sheet: Array, t: Array, moduli: Array, law: Array, geo: Array, signs: Array, faces: Array,
              v: Array, strain: Array, q: Array, total: Array) -> None:  # fmt: skip
    """q <- tangent times the field v and the mean strains (sheets, 6); total (sheets, 6): integral of the stress."""
    w = np.zeros((signs.shape[0] * v.shape[2] + 1, GROUP), v.dtype)
    f = np.empty_like(w)
    _spread(v, signs, w)
    tangent(w, conn, sheet, strain, t, moduli, law, geo, f, total)
    _collect(f, signs, faces, q)


@jit
def _read_field(field: Array, mirror: Array, signs: Array, v: Array) -> None:
    """v (classes, 3, x, y, z) <- what the sheets see of a field of the cell; the inverse of ``_write_field``."""
    _, nx, ny, nz = field.shape
    share = 1.0 / mirror.shape[0]
    v[:] = 0.0
    for s in range(mirror.shape[0]):
        for c in range(3):
            own = share * (1.0 - 2.0 * mirror[s, c])
            for i in range(v.shape[2]):
                a = (nx - i) % nx if mirror[s, 0] else i % nx
                for j in range(v.shape[3]):
                    b = (ny - j) % ny if mirror[s, 1] else j % ny
                    row = field[c, a, b]
                    for k in range(v.shape[4]):
                        value = own * row[(nz - k) % nz if mirror[s, 2] else k % nz]
                        for m in range(v.shape[0]):
                            v[m, c, i, j, k] += signs[s, m] * value


@jit
def _write_field(v: Array, signs: Array, cell: Array, field: Array) -> None:
    """field (3, ...) <- the classes v at the nodes of the ``cell``, or of a part of it; signs: (8 reflections, classes)."""
    nx, ny, nz = cell
    for i in range(field.shape[1]):
        x = 1 if 2 * i > nx else 0
        for j in range(field.shape[2]):
            y = 1 if 2 * j > ny else 0
            for k in range(field.shape[3]):
                z = 1 if 2 * k > nz else 0
                a, b, c = nx - i if x else i, ny - j if y else j, nz - k if z else k
                row = signs[x + 2 * y + 4 * z]
                p, q, r = 0.0, 0.0, 0.0
                for m in range(v.shape[0]):
                    p += row[m] * v[m, 0, a, b, c]
                    q += row[m] * v[m, 1, a, b, c]
                    r += row[m] * v[m, 2, a, b, c]
                field[0, i, j, k] = p * (1 - 2 * x)
                field[1, i, j, k] = q * (1 - 2 * y)
                field[2, i, j, k] = r * (1 - 2 * z)


class Tables(NamedTuple):
    """What a mirrored cell needs beside its image: transforms, symbols, and for each shift the signs of the symmetry.

    ``mirror``: (sheets, 3) reflected axes; ``images``: (8, 4) reflections and the sheet each shows; ``flips``: (sheets, 6) signs
    of the strain components; by shift: ``classes``, ``signs`` (sheets, classes), ``all_signs`` (8, classes), ``faces`` (classes,
    3, nodes) 0 where symmetry holds a component, ``seen`` (6,) components of the mean stress that are not zero.
    """

    nodes: tuple[int, ...]
    waves: tuple[Array, ...]
    axes: tuple[Array, ...]
    norm: Array
    mirror: Array
    images: Array
    flips: Array
    classes: tuple[Array, ...]
    signs: tuple[Array, ...]
    all_signs: tuple[Array, ...]
    faces: tuple[Array, ...]
    seen: tuple[Array, ...]


def _along(values: Array, axis: int) -> Array:
    return values.reshape([-1 if d == axis else 1 for d in range(3)])


def _faces(nodes: tuple[int, ...], classes: Array) -> Array:
    """(classes, 3, nodes): 0 on the planes where a component is odd, else 1."""
    face = np.ones((len(classes), 3, *nodes))
    for m, c in np.ndindex(len(classes), 3):
        for axis, n in enumerate(nodes):
            if (int(classes[m]) >> axis & 1) ^ (c == axis):
                face[m, c] *= _along(np.r_[0.0, np.ones(n - 2), 0.0], axis)
    return face.reshape(len(classes), 3, -1).astype(np.float32)


@lru_cache(maxsize=32)
def tables(box: tuple[int, ...], spacing: tuple[float, float, float], group: tuple[int, ...]) -> Tables:
    """Tables of all windows of ``box`` voxels whose drive and history hold the classes ``group``."""
    nodes, own = tuple(n + 1 for n in box), np.array(group)
    # one reflection for each pattern of signs on the group
    patterns = [tuple(PARITY[n & own].tolist()) for n in range(8)]
    sheets = [patterns.index(p) for p in dict.fromkeys(patterns)]
    shown = [[patterns[s] for s in sheets].index(p) for p in patterns]
    classes = tuple(own ^ shift for shift in range(8))
    all_signs = tuple(1.0 - 2.0 * PARITY[np.arange(8)[:, None] & c[None]] for c in classes)
    norm = np.ones(nodes)
    for axis, n in enumerate(box):
        norm = norm * _along(np.r_[1.0, np.full(n - 1, 2.0), 1.0] / n, axis)
    return Tables(
        nodes=nodes,
        waves=tuple(waves(n, axis) for axis, n in enumerate(nodes)),
        axes=tuple(axis_symbol(np.pi / n * np.arange(n + 1), h) for n, h in zip(box, spacing, strict=True)),
        norm=norm.reshape(-1) / (np.prod(spacing) * len(group)),
        mirror=REFLECTIONS[sheets],
        images=np.column_stack([REFLECTIONS, shown]),
        flips=1.0 - 2.0 * PARITY[np.array(sheets)[:, None] & np.array(CLASSES)[None]],
        classes=classes,
        signs=tuple(np.ascontiguousarray(signs[sheets], np.float32) for signs in all_signs),
        all_signs=all_signs,
        faces=tuple(_faces(nodes, c) for c in classes),
        seen=tuple(np.isin(CLASSES, c) for c in classes),
    )


class MirrorCell:
    """The verbs of ``PeriodicCell`` for a mirrored image (nx, ny, nz); ``group``: the classes D of drive and history."""

    def __init__(
        self, phase: Array, loaded: Array, spacing: tuple[float, float, float], group: tuple[int, ...]
    ) -> None:
        self.cell, self.box, self.group = phase.shape, np.array(phase.shape) // 2, group
        box = tuple(self.box.tolist())
        self.tables = tables(box, spacing, group)
        self.mirror, self.count, sheets = self.tables.mirror, int(np.prod(self.tables.nodes)), len(group)
        window = tuple(slice(0, n) for n in box)
        voxels, kinds = blocks_of(phase[window], loaded[window])
        spare = sheets * self.count
        conn = corners(voxels, box, self.tables.nodes, spare).astype(np.int64)
        lift = np.where(conn == spare, 0, self.count)[None] * np.arange(sheets)[:, None, None, None]
        self.conn = np.ascontiguousarray((conn[None] + lift).reshape(-1, *conn.shape[1:]), np.uint32)
        self.voxels, self.phase = np.tile(voxels, (sheets, 1)), np.tile(kinds, sheets)
        self.sheet = np.repeat(np.arange(sheets), len(kinds))
        self.volume = float(np.prod(spacing)) * float(np.prod(self.box)) * sheets
        self.length = 3 * spare
        self.inverse = by_nodes(np.zeros((6, self.count)))

    def _vector(self, v: Array) -> Array:
        return v.reshape(len(self.group), 3, self.count)

    def spread(self, v: Array, shift: int) -> Array:
        w = np.zeros((len(self.group) * self.count + 1, GROUP))
        _spread(self._vector(v), self.tables.signs[shift], w)
        return w

    def collect(self, f: Array, shift: int) -> Array:
        r = np.empty(self.length)
        _collect(f, self.tables.signs[shift], self.tables.faces[shift], self._vector(r))
        return r

    def set_moduli(self, lam: float, mu: float, mean: float) -> None:
        inverse = np.empty((6, *self.tables.nodes))
        x, y, z = self.tables.axes
        inverse_symbol(x, y, z, lam, mu, mean, 1.0, inverse)
        self.inverse = by_nodes(inverse.reshape(6, -1) * self.tables.norm)

    def multiply(self, operator: Operator, v: Array, shift: int, strain: Array) -> tuple[Array, Array]:
        t, q, total = self.tables, np.empty_like(v), np.zeros((len(self.mirror), 6))
        _multiply(self.conn, self.sheet, *operator, t.signs[shift], t.faces[shift], self._vector(v), self.strains(strain),
                  self._vector(q), total)  # fmt: skip
        return q, self.mean(total, shift)

    def conjugate(self, operator: Operator, r: Array, shift: int, stop: Stop) -> Found:
        t = self.tables
        x, stress = np.zeros_like(r), np.zeros((len(self.mirror), 6))
        X, Y, Z, inverse = (M.astype(r.dtype, copy=False) for M in (*t.waves, self.inverse))
        steps, energy = _conjugate(self.conn, self.sheet, *operator, t.signs[shift], t.faces[shift], t.classes[shift],
                                   X, Y, Z, inverse, *scratch(X, Y, Z, r.dtype), self._vector(r), self._vector(x), stop.goal,
                                   stop.energy, stop.share, stop.least, stop.limit, stop.window, stress)  # fmt: skip
        return Found(x, steps, energy, self.mean(stress, shift))

    def strains(self, strain: Array) -> Array:
        return self.tables.flips * strain

    def mean(self, total: Array, shift: int) -> Array:
        return np.asarray(self.tables.seen[shift] * (self.tables.flips * total).sum(axis=0) / self.volume)

    def read_field(self, field: Array, shift: int) -> Array:
        v = np.empty((len(self.group), 3, *self.tables.nodes))
        _read_field(field, self.mirror, self.tables.signs[shift], v)
        return v.reshape(-1)

    def write_field(self, v: Array, shift: int, out: Array) -> None:
        """``out``: nodes of the cell, or of the part of it that ``part`` tells; so below."""
        _write_field(v.reshape(len(self.group), 3, *self.tables.nodes), self.tables.all_signs[shift], 2 * self.box, out)

    def read_history(self, history: Array) -> Array:
        vp = np.zeros((len(self.voxels), 8 * 5 * self.voxels.shape[1]))
        read_history(history, self.voxels, self.sheet, self.box, self.mirror, vp)
        return vp

    def write_history(self, vp: Array, out: Array) -> None:
        there = self.tables.images[:, :3] < 1 + (np.array(out.shape[:3]) > self.box)
        write_history(vp, self.voxels, self.sheet, self.box, self.tables.images[there.all(axis=1)], out)

    def align(self, v: Array, shift: int) -> Array:
        """A vector of class ``shift`` (one of the group) in the order of class 0."""
        order = [self.tables.classes[shift].tolist().index(c) for c in self.group]
        return self._vector(v)[order].reshape(-1)
