"""A general periodic cell as the solver of creep steps sees it: all voxels, one sheet, the Fourier transform.

The other kind of cell is ``cell_mirror``. Both offer the same verbs, with ``shift`` telling the symmetry class of a field
(here there is only one). ``vectors`` are what conjugate gradients work on, ``spread`` turns them into the fields (nodes + 1, 4)
on which the elements live, ``collect`` is the transpose of ``spread``.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.elements import blocks_of, corners, read_history, write_history
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_creep import tangent
from hpcms.kernels.krylov import NEARLY, Found, Operator, Stop, advance, direct, dot, settled
from hpcms.kernels.registers import GROUP


@jit
def _spread(v: Array, w: Array) -> None:
    """w (nodes + 1, 4) <- v (3, nodes + 1)."""
    for n in range(v.shape[1]):
        w[n, 0], w[n, 1], w[n, 2], w[n, 3] = v[0, n], v[1, n], v[2, n], 0.0


@jit
def _collect(f: Array, r: Array) -> None:
    """Transpose of ``_spread``, without what went to the spare node."""
    for n in range(r.shape[1]):
        r[0, n], r[1, n], r[2, n] = f[n, 0], f[n, 1], f[n, 2]
    r[:, -1] = 0.0


class PeriodicCell:
    """phase: (nx, ny, nz) index of the phase; loaded: bool, the voxels that carry load (``elements.load_bearing``)."""

    def __init__(self, phase: Array, loaded: Array, spacing: tuple[float, float, float]) -> None:
        self.cell, self.box = phase.shape, np.array(phase.shape)
        self.voxels, self.phase = blocks_of(phase, loaded)
        self.conn = corners(self.voxels, phase.shape, phase.shape, phase.size).astype(np.uint32)
        self.sheet = np.zeros(len(self.phase), np.int64)
        self.volume = float(np.prod(spacing)) * phase.size
        self.green = {np.dtype(kind): GreenVector(phase.shape, spacing, kind) for kind in (np.float32, np.float64)}
        self.length = 3 * (phase.size + 1)
        self.group: tuple[int, ...] = (0,)
        self.mirror, self.images = np.zeros((1, 3), np.int64), np.zeros((1, 4), np.int64)

    def spread(self, v: Array, shift: int) -> Array:
        """Vector -> fields on the nodes and the spare one."""
        w = np.empty((self.length // 3, GROUP), v.dtype)
        _spread(v.reshape(3, -1), w)
        return w

    def collect(self, f: Array, shift: int) -> Array:
        """Fields -> vector, without what went to the spare node."""
        r = np.empty((3, len(f)), f.dtype)
        _collect(f, r)
        return r.reshape(-1)

    def set_moduli(self, lam: float, mu: float, mean: float) -> None:
        for green in self.green.values():
            green.set_moduli(lam, mu, mean)

    def multiply(self, operator: Operator, v: Array, shift: int, strain: Array) -> tuple[Array, Array]:
        """Tangent times a fluctuation and a mean strain (11 22 33 and twice the shears): nodal forces and the mean stress."""
        u = self.spread(v, shift)
        f, total = np.empty_like(u), np.zeros((1, 6))
        tangent(u, self.conn, self.sheet, self.strains(strain), *operator, f, total)
        return self.collect(f, shift), self.mean(total, shift)

    def conjugate(self, operator: Operator, r: Array, shift: int, stop: Stop) -> Found:
        """Conjugate gradients for K x = r in the precision of r, which is turned into the residual."""
        w = np.empty((self.length // 3, GROUP), r.dtype)
        f, q, old, drops = np.empty_like(w), np.empty_like(r), 1.0, np.zeros(stop.window)
        z, x, p = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
        zero, total, energy = np.zeros((1, 6), r.dtype), np.zeros((1, 6)), stop.energy
        stress = np.zeros((1, 6))

        def found(steps: int) -> Found:
            return Found(x, steps, energy, self.mean(stress, shift))

        residual, answer = (a.reshape(3, -1)[:, :-1].reshape(3, *self.cell) for a in (r, z))
        for iteration in range(stop.limit):
            if dot(r, r) <= stop.goal * stop.goal:
                return found(iteration)
            self.green[r.dtype](residual, answer)
            rz = dot(r, z)
            if not rz > NEARLY * max(stop.share * energy, stop.least):
                return found(iteration)
            direct(z, rz / old, p)
            old = rz
            _spread(p.reshape(3, -1), w)
            tangent(w, self.conn, self.sheet, zero, *operator, f, total)
            _collect(f, q.reshape(3, -1))
            pq = dot(p, q)
            if not pq > 0.0:
                return found(iteration)
            advance(rz / pq, p, q, x, r)
            stress += rz / pq * total
            energy -= rz * rz / pq
            if settled(drops, iteration, rz * rz / pq, max(stop.share * energy, stop.least)):
                return found(iteration + 1)
        return found(stop.limit)

    def strains(self, strain: Array) -> Array:
        """(sheets, 6) what the sheets see of a mean strain."""
        return strain[None].copy()

    def mean(self, total: Array, shift: int) -> Array:
        """(6,) mean over the cell from (sheets, 6) integrals."""
        return total[0] / self.volume

    def read_field(self, field: Array, shift: int) -> Array:
        """(3, nx, ny, nz) -> vector."""
        v = np.zeros((3, self.length // 3))
        v[:, :-1] = field.reshape(3, -1)
        return v.reshape(-1)

    def write_field(self, v: Array, shift: int, out: Array) -> None:
        """Vector -> (3, nx, ny, nz)."""
        out[:] = v.reshape(3, -1)[:, :-1].reshape(3, *self.cell)

    def read_history(self, history: Array) -> Array:
        vp = np.zeros((len(self.voxels), 8 * 5 * self.voxels.shape[1]))
        read_history(history, self.voxels, self.sheet, self.box, self.mirror, vp)
        return vp

    def write_history(self, vp: Array, out: Array) -> None:
        write_history(vp, self.voxels, self.sheet, self.box, self.images, out)

    def align(self, v: Array, shift: int) -> Array:
        """A vector of class ``shift`` in the order of class 0."""
        return v
