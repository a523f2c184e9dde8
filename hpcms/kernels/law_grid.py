"""The elements of a periodic cell whose phases follow laws, and conjugate gradients on them; hexahedra, or plane ones.

A vector holds the fluctuation on the nodes and a spare one, component by component, and after them one number for each component
of the mean strain whose mean stress is prescribed: that strain divided by ``unit``, so that both parts of a residual count alike.
The preconditioner is a homogeneous cell with the mean tangent; on the last numbers it is the inverse of that tangent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import hex8_laws, hex8_points, quad4_laws
from hpcms.kernels.elements import blocks_of, corners
from hpcms.kernels.green_tangent import GreenPlane, GreenSolid
from hpcms.kernels.hex8_points import LANES
from hpcms.kernels.krylov import NEARLY, WINDOW, Stop, advance, direct, dot, settled

ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0**0.5, 2.0**0.5, 2.0**0.5])  # Mandel strain -> 11 22 33 and twice the shears
FLAT = np.array([0, 1, 5])  # what a plane keeps of six components
SOFT = 1e-4  # smallest eigenvalue of the reference tangent over its largest


class LawGrid:
    """phase: (nx, ny, nz); kept: the voxels that are not void; plane: quadrilaterals, for nz = 1.

    averaged: (phases,) which phases have the mean dilatation. ``t``: tangents at the points, see ``hex8_laws``.

    boundary: ``periodic``; ``displacement``, where the fluctuation vanishes; or ``traction``, that of a uniform stress, found
    such that the mean strain is the given one. For the last two the last voxels along every axis (in a plane: of the two) are
    not kept, and no part of the cell; forces that the boundary condition carries are taken out of residuals.
    """

    def __init__(self, phase: Array, kept: Array, spacing: tuple[float, float, float], averaged: Array,
                 plane: bool = False, free: tuple[int, ...] = (), boundary: str = "periodic") -> None:  # fmt: skip
        self.cell, self.plane, self.free = phase.shape[:2] if plane else phase.shape, plane, list(free)
        self.voxels, self.phase = blocks_of(phase, kept)
        self.kernels: Any = quad4_laws if plane else hex8_laws
        self.geo = quad4_laws.geometry(spacing) if plane else hex8_points.geometry(spacing)
        self.conn = corners(self.voxels, phase.shape, phase.shape, phase.size)
        if plane:
            self.conn = np.ascontiguousarray(self.conn[:, ::2])
        self.dimension, self.points, self.numbers = (2, 4, 6) if plane else (3, 8, 21)
        self.weight = np.where(self.voxels < 0, 0.0, self.geo[-1])
        self.average = (averaged[self.phase] & (not plane)).astype(np.float64)
        inner = [n if boundary == "periodic" else n - 1 for n in self.cell]
        self.volume = float(np.prod(spacing)) * float(np.prod(inner))
        self.held = np.zeros(phase.size + 1, bool)
        if boundary == "displacement":
            ends = [np.isin(np.arange(n), (0, n - 1)) for n in self.cell]
            self.held[:-1] = np.any(np.meshgrid(*ends, indexing="ij"), axis=0).reshape(-1)
        self.held[-1] = True
        self.nodes = self.dimension * (phase.size + 1)
        self.length = self.nodes + len(free)
        # a voxel's force is its stress times edge^2 (edge times thickness), the root of its volume edge^(3/2)
        self.face = spacing[2] ** 0.5 if plane else float(np.prod(spacing)) ** (1.0 / 6.0)
        self.unit = self.face / self.volume**0.5
        self.t = np.zeros((len(self.phase), self.points * self.numbers * LANES), np.float32)
        make: Any = GreenPlane if plane else GreenSolid
        self.green = {np.dtype(kind): make(self.cell, spacing, kind) for kind in (np.float32, np.float64)}
        self.geos = {np.dtype(kind): self.geo.astype(kind) for kind in (np.float32, np.float64)}
        self.tangent, self.mean = np.zeros((6, 6)), 0.0
        self.stale = dict.fromkeys(self.green, True)
        self.uniform = self.plain = self.flexible = np.zeros((0, self.length))
        if boundary == "traction":
            self.uniform = self._uniform(phase.shape, inner)
            self.plain = dual(self.uniform, self.uniform)

    def _uniform(self, shape: tuple[int, ...], inner: list[int]) -> Array:
        """Nodal forces of unit stresses in all of the cell, void or not: what the boundary of ``traction`` may carry."""
        inside = np.zeros(shape, bool)
        inside[tuple(slice(n) for n in inner)] = True
        voxels, _ = blocks_of(np.zeros(shape, np.uint8), inside)
        conn = corners(voxels, shape, shape, inside.size)
        conn = np.ascontiguousarray(conn[:, ::2]) if self.plane else conn
        t = np.zeros((len(voxels), self.points, self.numbers, LANES), np.float32)
        t[:, :, [0, 3, 5] if self.plane else [0, 6, 11, 15, 18, 20]] = np.where(voxels < 0, 0.0, 1.0)[:, None, None]
        rows, zero, total = np.zeros((3 if self.plane else 6, self.length)), np.zeros(self.length), np.zeros(6)
        for row, e in zip(rows, np.eye(6)[FLAT if self.plane else range(6)], strict=True):
            self.kernels.multiply(self.field(zero), conn, e, np.zeros(len(voxels)), t.reshape(len(t), -1), self.geo,
                                  self.field(row), total)  # fmt: skip
            self.field(row)[:, -1] = 0.0
        return rows

    def field(self, v: Array) -> Array:
        """(dimension, nodes + 1) the fluctuation in a vector."""
        return v[: self.nodes].reshape(self.dimension, -1)

    def strain(self, v: Array, fixed: Array) -> Array:
        """(6,) Mandel mean strain: ``fixed`` plus what the vector holds."""
        e = fixed.copy()
        e[self.free] += self.unit * v[self.nodes :]
        return e

    def close(self, f: Array, total: Array) -> Array:
        """Ends a vector of forces: none where nodes are spare or held; the mean stress as last numbers."""
        self.field(f)[:, self.held] = 0.0
        project(f, self.plain, self.uniform)
        f[self.nodes :] = self.unit * (total * ENGINEERING)[self.free]
        return f

    def refer(self) -> None:
        """Takes the mean of the current tangents as that of the preconditioner; kept where it has hardly changed."""
        c, mean = self._mean_tangent(self.average == 0)
        soft, bulk = self._mean_tangent(self.average > 0)
        c, mean = c + soft, mean + bulk
        change = np.abs(c - self.tangent).max() + abs(mean - self.mean)
        if change > 0.03 * np.abs(self.tangent).max():
            self.tangent, self.mean = c, mean
            self.stale = dict.fromkeys(self.green, True)

    def _mean_tangent(self, which: Array) -> tuple[Array, float]:
        """(6, 6) mean engineering tangent of these blocks, positive definite; with mean dilatation without its bulk modulus."""
        c, mean = np.zeros((6, 6)), 0.0
        if not which.any():
            return c, mean
        total = (
            self.t[which].reshape(-1, self.points, self.numbers, LANES).sum(axis=(0, 1, 3), dtype=float) / self.volume
        )
        rows, columns = np.triu_indices(3 if self.plane else 6)
        if self.plane:
            rows, columns = FLAT[rows], FLAT[columns]
        c[rows, columns] = c[columns, rows] = total
        if self.average[which].any():
            mean = float(c[:3, :3].sum()) / 9.0
            c[:3, :3] -= mean
        return c, mean

    def prepare(self, kind: Any) -> Any:
        """The preconditioner in one precision, up to date."""
        green = self.green[np.dtype(kind)]
        if self.stale[np.dtype(kind)]:
            rows = FLAT if self.plane else np.arange(6)
            c, part = self.tangent.copy(), self.tangent[np.ix_(rows, rows)]
            values, vectors = np.linalg.eigh(part)
            c[np.ix_(rows, rows)] = (vectors * values.clip(SOFT * values.max())) @ vectors.T
            green.set_tangent(c, self.mean)
            whole = c + self.mean * np.outer(np.arange(6) < 3, np.arange(6) < 3)
            scale = ENGINEERING[self.free] * ENGINEERING[self.free][:, None] * self.unit**2 * self.volume
            self.last: Array = np.linalg.pinv(whole[np.ix_(self.free, self.free)] * scale)
            self.stale[np.dtype(kind)] = False
            self.flexible = dual(self.uniform, np.array([self._solved(green, row, kind) for row in self.uniform]))
        return green

    def _solved(self, green: Any, row: Array, kind: Any) -> Array:
        """The preconditioner on a vector."""
        r, z = row.astype(kind), np.zeros(self.length, kind)
        green(*(self.field(a)[:, :-1].reshape(self.dimension, *self.cell) for a in (r, z)))
        return z.astype(float)

    def multiply(self, v: Array, fixed: Array, f: Array) -> Array:
        """f <- tangent times a vector and a fixed mean strain (6,) Mandel; the (6,) Mandel integral of the stress."""
        total, e = np.zeros(6), self.strain(v, fixed) * ENGINEERING
        self.kernels.multiply(self.field(v), self.conn, e.astype(v.dtype), self.average, self.t, self.geos[v.dtype],
                              self.field(f), total)  # fmt: skip
        self.close(f, total)
        return total * ENGINEERING

    def conjugate(self, r: Array, stop: Stop, whole: bool = True) -> tuple[Array, int, float]:
        """Conjugate gradients for K x = r in the precision of r, which is used up: x, the iterations, the energy left.

        ``whole``: the last numbers take part; otherwise the mean strain stays.
        """
        green, zero, old, energy = self.prepare(r.dtype), np.zeros(6), 1.0, stop.energy
        p, q, z, x = (np.zeros_like(r) for _ in range(4))
        drops = np.zeros(WINDOW)
        residual, answer = (self.field(a)[:, :-1].reshape(self.dimension, *self.cell) for a in (r, z))
        if not whole:
            r[self.nodes :] = 0.0
        for iteration in range(stop.limit):
            if dot(r, r) <= stop.goal * stop.goal:
                return x, iteration, energy
            green(residual, answer)
            self.field(z)[:, self.held] = 0.0
            project(z, self.uniform, self.flexible)
            z[self.nodes :] = self.last @ r[self.nodes :]
            rz = dot(r, z)
            if not rz > NEARLY * max(stop.share * energy, stop.least):
                return x, iteration, energy
            direct(z, rz / old, p)
            old = rz
            self.multiply(p, zero, q)
            if not whole:
                q[self.nodes :] = 0.0
            pq = dot(p, q)
            if not pq > 0.0:
                return x, iteration, energy
            advance(rz / pq, p, q, x, r)
            energy -= rz * rz / pq
            if stop.share > 0 and settled(drops, iteration, rz * rz / pq, max(stop.share * energy, stop.least)):
                return x, iteration + 1, energy
        return x, stop.limit, energy

    def read_field(self, field: Array) -> Array:
        """(3, nx, ny, nz) -> vector without mean strains."""
        v = np.zeros(self.length)
        self.field(v)[:, :-1] = field[: self.dimension].reshape(self.dimension, -1)
        return v

    def write_field(self, v: Array, out: Array) -> None:
        """Vector -> (3, nx, ny, nz)."""
        out[: self.dimension] = self.field(v)[:, :-1].reshape(self.dimension, *out.shape[1:])

    def read_history(self, history: Array, blocks: slice, rows: int) -> Array:
        """(blocks, points * rows * LANES) <- (nx, ny, nz, points, at least rows) of some blocks."""
        places = np.unravel_index(self.voxels[blocks].clip(0), history.shape[:3])
        found = history[places][..., :rows]  # block, lane, point, row
        return np.ascontiguousarray(found.transpose(0, 2, 3, 1)).reshape(len(found), self.points * rows * LANES)

    def write_history(self, kept: Array, blocks: slice, rows: int, out: Array) -> None:
        """Inverse of ``read_history``."""
        real = self.voxels[blocks] >= 0
        values = kept.reshape(len(kept), self.points, rows, LANES).transpose(0, 3, 1, 2)
        x, y, z = np.unravel_index(self.voxels[blocks][real], out.shape[:3])
        out[x, y, z, :, :rows] = values[real]


def dual(rows: Array, fields: Array) -> Array:
    """Combinations d_k of the ``fields`` with rows_j . d_k = 1 where j = k, else 0."""
    return np.linalg.inv(rows @ fields.T).T @ fields if len(rows) else rows


def project(v: Array, rows: Array, fields: Array) -> None:
    """v -= sum_k (rows_k . v) fields_k, in place."""
    for share, one in zip([dot(row.astype(v.dtype), v) for row in rows], fields, strict=True):
        v -= v.dtype.type(share) * one.astype(v.dtype)
