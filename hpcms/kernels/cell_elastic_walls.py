"""An elastic cell whose boundary moves with the mean strain, or carries the traction of a uniform stress.

Both live on a periodic grid with one more layer of void; conjugate gradients in double precision, preconditioned with the
inverse of a homogeneous periodic cell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.hex8_elastic import apply_stiffness
from hpcms.kernels.krylov import advance, direct, dot, norm

Solution = tuple[Array, float, int, float, Callable[[], Array]]
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero


class WalledCell:
    """``lam``, ``mu``: (nx, ny, nz) in Pa; ``boundary``: "displacement" or "traction"."""

    def __init__(self, lam: Array, mu: Array, spacing: tuple[float, float, float], boundary: str) -> None:
        self.lam, self.mu = (np.ascontiguousarray(np.pad(a, [(0, 1)] * 3), float) for a in (lam, mu))
        self.volume = float(np.prod(spacing)) * lam.size
        self.spacing, self.shape = np.array(spacing, float), self.lam.shape
        solid = mu > 0
        mean = (float(lam[solid].mean()), float(mu[solid].mean())) if solid.any() else (1.0, 1.0)
        self.green = GreenVector(self.shape, spacing).set_moduli(*mean)
        self.fixed, self.held = np.zeros(self.shape, bool), boundary == "displacement"
        self.uniform = self.plain = self.flexible = np.empty((0, 3, *self.shape))
        if self.held:
            self.fixed[0], self.fixed[:, 0], self.fixed[:, :, 0] = True, True, True
            self.fixed[-1], self.fixed[:, -1], self.fixed[:, :, -1] = True, True, True
        else:
            inside = np.pad(np.full(lam.shape, 0.5), [(0, 1)] * 3)
            self.uniform = np.array([self._forces(e, None, 0.0 * inside, inside)[0] for e in np.eye(6)])
            flexible = np.array([self.green(c, np.empty_like(c)) for c in self.uniform])
            self.flexible = _dual(self.uniform, flexible)
            self.plain = _dual(self.uniform, self.uniform)

    def _forces(self, strain: Array, u: Array | None, lam: Array, mu: Array) -> tuple[Array, Array]:
        """Nodal forces and volume integral of the stress."""
        f, total = np.zeros((3, *self.shape)), np.zeros(6)
        apply_stiffness(np.zeros_like(f) if u is None else u, lam, mu, strain, self.spacing, f, total)
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
        f, total = self._forces(strain, None, self.lam, self.mu)
        f0, total0, r = f, total, self._balance(-f)
        force = float(self.mu.max() + self.lam.max()) * norm(strain) * self.volume / float(self.spacing.max())
        goal = max(tolerance * norm(r.reshape(-1)), ROUNDING * force / float(np.sqrt(r.size)))
        u, iterations, size = np.zeros_like(r), 0, np.inf
        while goal < norm(r.reshape(-1)) < 0.5 * size and iterations < maximum:
            size = norm(r.reshape(-1))
            d, steps = self._conjugate(r, 0.9 * goal, maximum - iterations)
            iterations, u = iterations + steps, u + d
            f, total = self._forces(strain, u, self.lam, self.mu)
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
            apply_stiffness(p, self.lam, self.mu, zero, self.spacing, q, total)
            self._balance(q)
            pq = dot(flat[0], flat[1])
            if not (pq > 0 and np.isfinite(rz)):
                return x, iteration
            size = float(np.sqrt(advance(rz / pq, *flat)))
        return x, maximum


def _dual(rows: Array, fields: Array) -> Array:
    """Combinations d_k of the ``fields`` with <rows_j, d_k> = 1 where j = k, else 0."""
    gram = np.array([[dot(a.reshape(-1), b.reshape(-1)) for b in fields] for a in rows])
    inverse = np.linalg.inv(gram)
    return np.array([sum(inverse[m, k] * fields[m] for m in range(len(fields))) for k in range(len(rows))])
