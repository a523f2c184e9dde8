"""An elastic cell whose boundary moves with the mean strain, or carries the traction of a uniform stress.

Both live on a periodic grid with one more layer of void along each axis; conjugate gradients in double precision,
preconditioned with the inverse of a homogeneous periodic cell. An axis of one voxel stays periodic, so a flat image is a
plane problem.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_anisotropic import apply_tensors, engineering, nearest_isotropic
from hpcms.kernels.hex8_elastic import apply_stiffness
from hpcms.kernels.krylov import advance, direct, dot, norm

Hooke = Callable[[Array, Array, Array, Array, Array], None]  # adds to the last two: u, strain, spacing, forces, total
Solution = tuple[Array, float, int, float, Callable[[], Array]]
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # axes of the Mandel components
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero


class WalledCell:
    """``phase``: (nx, ny, nz) rows of ``moduli``: (P, 2) Lame moduli or (P, 6, 6) stiffnesses (Mandel), Pa, zero for void;
    ``boundary``: "displacement" or "traction"."""

    def __init__(self, phase: Array, moduli: Array, spacing: tuple[float, float, float], boundary: str) -> None:
        walled = [axis for axis in range(3) if phase.shape[axis] > 1]
        pad = [(0, int(axis in walled)) for axis in range(3)]
        self.volume, self.spacing = float(np.prod(spacing)) * phase.size, np.array(spacing, float)
        pairs = moduli if moduli.ndim == 2 else np.array([nearest_isotropic(C) for C in moduli])
        solid = pairs[:, 1][phase] > 0
        mean = pairs[phase][solid].mean(axis=0).tolist() if solid.any() else [1.0, 1.0]
        self.largest = float(np.abs(pairs).sum(axis=1).max())
        if moduli.ndim == 2:
            lam, mu = (np.ascontiguousarray(np.pad(moduli[:, k][phase], pad), float) for k in range(2))
            self.shape, self.hooke = lam.shape, partial(_isotropic, lam, mu)
        else:
            table = np.concatenate([engineering(moduli), np.zeros((1, 6, 6))])  # the last one is the layer of void
            label = np.ascontiguousarray(np.pad(phase, pad, constant_values=len(moduli)), np.int64)
            self.shape, self.hooke = label.shape, partial(_anisotropic, label, table)
        self.green = GreenVector(self.shape, spacing).set_moduli(*mean)
        self.fixed, self.held = np.zeros(self.shape, bool), boundary == "displacement"
        self.uniform = self.plain = self.flexible = np.empty((0, 3, *self.shape))
        if self.held:
            for axis in walled:
                np.moveaxis(self.fixed, axis, 0)[[0, -1]] = True
        else:
            body = np.pad(np.full(phase.shape, 0.5), pad)
            # no wall carries what acts across periodic axes alone
            carried = [e for e, pair in zip(np.eye(6), PAIRS, strict=True) if not set(pair).isdisjoint(walled)]
            loaded = [self._forces(e, None, partial(_isotropic, 0.0 * body, body))[0] for e in carried]
            if loaded:
                self.uniform = np.array(loaded)
                self.flexible = _dual(self.uniform, np.array([self.green(c, np.empty_like(c)) for c in loaded]))
                self.plain = _dual(self.uniform, self.uniform)

    def _forces(self, strain: Array, u: Array | None, hooke: Hooke | None = None) -> tuple[Array, Array]:
        """Nodal forces and volume integral of the stress."""
        f, total = np.zeros((3, *self.shape)), np.zeros(6)
        (hooke or self.hooke)(np.zeros_like(f) if u is None else u, strain, self.spacing, f, total)
        return f, total

    def _balance(self, r: Array) -> Array:
        """Takes out of the forces, in place, what the boundary condition carries."""
        if self.held:
            r[:, self.fixed] = 0.0
        shares = [dot(row.reshape(-1), r.reshape(-1)) for row in self.plain]
        for share, row in zip(shares, self.uniform, strict=True):
            r -= share * row
        return r

    def _precondition(self, r: Array, z: Array) -> Array:
        self.green(r, z)
        if self.held:
            z[:, self.fixed] = 0.0
        shares = [dot(row.reshape(-1), z.reshape(-1)) for row in self.uniform]
        for share, row in zip(shares, self.flexible, strict=True):
            z -= share * row
        return z

    def solve(self, strain: Array, tolerance: float, maximum: int) -> Solution:
        """Mean strain (6,) Mandel: (6,) mean stress, ``<sigma:eps>``, iterations, relative residual, fluctuation."""
        strain = np.asarray(strain, float)
        f, total = self._forces(strain, None)
        f0, total0, r = f, total, self._balance(-f)
        force = self.largest * norm(strain) * self.volume / float(self.spacing.max())
        goal = max(tolerance * norm(r.reshape(-1)), ROUNDING * force / float(np.sqrt(r.size)))
        u, iterations, size = np.zeros_like(r), 0, np.inf
        while goal < norm(r.reshape(-1)) < 0.5 * size and iterations < maximum:
            size = norm(r.reshape(-1))
            d, steps = self._conjugate(r, 0.9 * goal, maximum - iterations)
            iterations, u = iterations + steps, u + d
            f, total = self._forces(strain, u)
            r = self._balance(-f)
        # a last step along the fluctuation itself leaves no work in the residual: Hill-Mandel to rounding
        stiff = dot(u.reshape(-1), (f - f0).reshape(-1))
        s = -dot(u.reshape(-1), f.reshape(-1)) / stiff if stiff > 0 else 0.0
        u, f, total = (1.0 + s) * u, f + s * (f - f0), total + s * (total - total0)
        stress = total / self.volume
        work = float(stress @ strain) + dot(u.reshape(-1), f.reshape(-1)) / self.volume
        scale = tolerance / goal if goal > 0 else 0.0
        return stress, work, iterations, scale * norm(self._balance(f).reshape(-1)), lambda: u

    def _conjugate(self, r: Array, goal: float, maximum: int) -> tuple[Array, int]:
        """Preconditioned conjugate gradients for K x = r, which is used up; x and iterations."""
        x, z, p, q = np.zeros_like(r), np.empty_like(r), np.zeros_like(r), np.empty_like(r)
        flat = [a.reshape(-1) for a in (p, q, x, r)]
        zero, total, old, size = np.zeros(6), np.zeros(6), 1.0, norm(flat[3])
        for iteration in range(maximum):
            if size <= goal:
                return x, iteration
            self._precondition(r, z)
            rz = dot(flat[3], z.reshape(-1))
            direct(z.reshape(-1), rz / old, flat[0])
            old = rz
            q[:] = 0.0
            self.hooke(p, zero, self.spacing, q, total)
            self._balance(q)
            pq = dot(flat[0], flat[1])
            if not (pq > 0 and np.isfinite(rz)):
                return x, iteration
            size = float(np.sqrt(advance(rz / pq, *flat)))
        return x, maximum


def _isotropic(lam: Array, mu: Array, u: Array, strain: Array, spacing: Array, f: Array, total: Array) -> None:
    apply_stiffness(u, lam, mu, strain, spacing, f, total)


def _anisotropic(label: Array, table: Array, u: Array, strain: Array, spacing: Array, f: Array, total: Array) -> None:
    apply_tensors(u, label, table, strain, spacing, f, total)


def _dual(rows: Array, fields: Array) -> Array:
    """Combinations d_k of the ``fields`` with <rows_j, d_k> = 1 where j = k, else 0."""
    gram = np.array([[dot(a.reshape(-1), b.reshape(-1)) for b in fields] for a in rows])
    inverse = np.linalg.inv(gram)
    return np.array([sum(inverse[m, k] * fields[m] for m in range(len(fields))) for k in range(len(rows))])
