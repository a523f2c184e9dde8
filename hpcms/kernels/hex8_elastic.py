"""Linear isotropic elasticity on voxels: trilinear hexahedra, full integration, one pair of Lame moduli a voxel.

The displacement inside a voxel is written in the eight products of (1, xi), (1, eta), (1, zeta), whose coefficients
are sums and differences of the nodal values. In this basis the 2 x 2 x 2 Gauss points, exact for these polynomials,
leave an almost diagonal stiffness: the mean strain carries the full Hooke's law, the linear parts weigh 1/3, the
bilinear ones 1/9. Zero moduli mean void. Fields are (3, nx, ny, nz) and periodic; node (i, j, k) is the lower
corner of voxel (i, j, k).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import JIT
from hpcms.kernels.green_vector import GreenVector
from hpcms.kernels.krylov import advance, direct, dot, norm

CHUNK = 64  # voxels along z treated at once
ROW = CHUNK + 8  # a constant row length lets the compiler see that rows do not overlap
SINGLE = 1e-5  # the smallest reduction of a residual that single precision is asked for
ROUNDING = 1e-13  # nodal forces below this share of the stress count as zero


@numba.njit(**JIT)
def apply_stiffness(u: Array, lam: Array, mu: Array, strain: Array, spacing: Array, f: Array, total: Array) -> None:
    """f += B^T C (strain + B u) and total += volume integral of the stress.

    u, f: (3, nx, ny, nz); lam, mu: (nx, ny, nz); strain: (6,) Mandel; total: (6,) Mandel, float64.
    Everything but ``total`` in one precision, which is the precision of the computation.
    """
    nx, ny, nz = lam.shape
    kind = u.dtype.type
    volume = kind(spacing[0] * spacing[1] * spacing[2])
    gx, gy, gz = kind(0.25 / spacing[0]), kind(0.25 / spacing[1]), kind(0.25 / spacing[2])
    root = np.sqrt(0.5)
    e = (kind(strain[0]), kind(strain[1]), kind(strain[2]),
         kind(2.0 * root * strain[3]), kind(2.0 * root * strain[4]), kind(2.0 * root * strain[5]))  # fmt: skip
    t = np.empty(12 * ROW, u.dtype)
    g = np.empty(24 * ROW, u.dtype)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k0 in range(0, nz, CHUNK):
                n = min(CHUNK, nz - k0)
                _gather(u, i, i1, j, j1, k0, n, t)
                _voxels(t, lam[i, j, k0 : k0 + n], mu[i, j, k0 : k0 + n], e, gx, gy, gz, volume, g, total, 2.0 * root)
                _scatter(f, i, i1, j, j1, k0, n, g)


@numba.njit(**JIT)
def _gather(u: Any, i: int, i1: int, j: int, j1: int, k0: int, n: int, t: Any) -> None:
    """Rows of t: for each component the sum, the x, the y and the xy difference over the four columns, n + 1 nodes."""
    nz = u.shape[3]
    last = k0 + n if k0 + n < nz else 0
    for c in range(3):
        p = 4 * c * ROW
        a, b, d, e = u[c, i, j], u[c, i1, j], u[c, i, j1], u[c, i1, j1]
        for k in range(n):
            s, r = a[k0 + k] + b[k0 + k], d[k0 + k] + e[k0 + k]
            x, y = b[k0 + k] - a[k0 + k], e[k0 + k] - d[k0 + k]
            t[p + k], t[p + ROW + k], t[p + 2 * ROW + k], t[p + 3 * ROW + k] = s + r, x + y, r - s, y - x
        s, r = a[last] + b[last], d[last] + e[last]
        x, y = b[last] - a[last], e[last] - d[last]
        t[p + n], t[p + ROW + n], t[p + 2 * ROW + n], t[p + 3 * ROW + n] = s + r, x + y, r - s, y - x


@numba.njit(**JIT)
def _voxels(t: Any, lam: Any, mu: Any, e: Any, gx: Any, gy: Any, gz: Any, volume: Any, g: Any, total: Any,
            root: Any) -> None:  # fmt: skip
    """Forces g of a chunk: rows 0..11 at the lower, 12..23 at the upper nodes, in the combinations of ``_gather``."""
    third = lam.dtype.type(1.0 / 3.0)
    s0, s1, s2, s3, s4, s5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(lam.shape[0]):
        la, m = volume * lam[k], volume * mu[k]
        xx, yy, zz = gx * _sum(t, 1, k) + e[0], gy * _sum(t, 6, k) + e[1], gz * _step(t, 8, k) + e[2]
        yz = m * (gz * _step(t, 4, k) + gy * _sum(t, 10, k) + e[3])
        xz = m * (gz * _step(t, 0, k) + gx * _sum(t, 9, k) + e[4])
        xy = m * (gy * _sum(t, 2, k) + gx * _sum(t, 5, k) + e[5])
        tr = la * (xx + yy + zz)
        xx, yy, zz = tr + (m + m) * xx, tr + (m + m) * yy, tr + (m + m) * zz
        s0, s1, s2, s3, s4, s5 = s0 + xx, s1 + yy, s2 + zz, s3 + yz, s4 + xz, s5 + xy
        x, y, z = _higher(
            (_sum(t, 3, k), _step(t, 1, k), _step(t, 2, k), _step(t, 3, k)),
            (_sum(t, 7, k), _step(t, 5, k), _step(t, 6, k), _step(t, 7, k)),
            (_sum(t, 11, k), _step(t, 9, k), _step(t, 10, k), _step(t, 11, k)),
            third * la, third * m, gx, gy, gz, third,
        )  # fmt: skip
        _store(g, 0, k, (gx * xx, gy * xy, gz * xz), x)
        _store(g, 4, k, (gx * xy, gy * yy, gz * yz), y)
        _store(g, 8, k, (gx * xz, gy * yz, gz * zz), z)
    total[0], total[1], total[2] = total[0] + s0, total[1] + s1, total[2] + s2
    total[3], total[4], total[5] = total[3] + root * s3, total[4] + root * s4, total[5] + root * s5


@numba.njit(**JIT)
def _sum(t: Any, row: int, k: int) -> Any:
    return t[row * ROW + k] + t[row * ROW + k + 1]


@numba.njit(**JIT)
def _step(t: Any, row: int, k: int) -> Any:
    return t[row * ROW + k + 1] - t[row * ROW + k]


@numba.njit(**JIT)
def _higher(x: Any, y: Any, z: Any, la: Any, m: Any, gx: Any, gy: Any, gz: Any, third: Any) -> Any:
    """Forces of the coefficients (xi eta, xi zeta, eta zeta, xi eta zeta) of the three components, given those."""
    m2 = m + m
    x110, x101, x011, x111 = x
    y110, y101, y011, y111 = y
    z110, z101, z011, z111 = z
    # stresses that vary with xi, then eta, then zeta
    ay, az = gy * y110, gz * z101
    a_tr, a_yz = la * (ay + az), m * (gz * y101 + gy * z110)
    bx, bz = gx * x110, gz * z011
    b_tr, b_xz = la * (bx + bz), m * (gz * x011 + gx * z110)
    cx, cy = gx * x101, gy * y011
    c_tr, c_xy = la * (cx + cy), m * (gy * x011 + gx * y101)
    xx, yy, zz, l2 = gx * gx, gy * gy, gz * gz, la + m2
    fx = (m * yy * x110 + gx * (b_tr + m2 * bx), m * zz * x101 + gx * (c_tr + m2 * cx), gz * b_xz + gy * c_xy,
          third * (l2 * xx + m * (yy + zz)) * x111)  # fmt: skip
    fy = (m * xx * y110 + gy * (a_tr + m2 * ay), gz * a_yz + gx * c_xy, m * zz * y011 + gy * (c_tr + m2 * cy),
          third * (l2 * yy + m * (xx + zz)) * y111)  # fmt: skip
    fz = (gy * a_yz + gx * b_xz, m * xx * z101 + gz * (a_tr + m2 * az), m * yy * z011 + gz * (b_tr + m2 * bz),
          third * (l2 * zz + m * (xx + yy)) * z111)  # fmt: skip
    return fx, fy, fz


@numba.njit(**JIT)
def _store(g: Any, row: int, k: int, linear: Any, higher: Any) -> None:
    """Rows of one component from its forces ``linear`` (xi, eta, zeta) and ``higher`` (xi eta, xi zeta, ...)."""
    p, q = row * ROW + k, (row + 12) * ROW + k
    g[p], g[q] = -linear[2], linear[2]
    g[p + ROW], g[q + ROW] = linear[0] - higher[1], linear[0] + higher[1]
    g[p + 2 * ROW], g[q + 2 * ROW] = linear[1] - higher[2], linear[1] + higher[2]
    g[p + 3 * ROW], g[q + 3 * ROW] = higher[0] - higher[3], higher[0] + higher[3]


@numba.njit(**JIT)
def _scatter(f: Any, i: int, i1: int, j: int, j1: int, k0: int, n: int, g: Any) -> None:
    """Adds the forces of a chunk to the four columns of f; the lower rows of g end with the sums at their nodes."""
    last = k0 + n if k0 + n < f.shape[3] else 0
    for c in range(3):
        p = 4 * c * ROW
        q = p + 12 * ROW
        for m in range(4):
            low, high = g[p + m * ROW + 1 : p + m * ROW + n], g[q + m * ROW : q + m * ROW + n - 1]
            for k in range(low.size):
                low[k] += high[k]
        s, x, y, m = g[p:], g[p + ROW :], g[p + 2 * ROW :], g[p + 3 * ROW :]
        a, b, d, e = f[c, i, j], f[c, i1, j], f[c, i, j1], f[c, i1, j1]
        _add(a[k0 : k0 + n], s, x, y, m, -1.0, -1.0)
        _add(b[k0 : k0 + n], s, x, y, m, 1.0, -1.0)
        _add(d[k0 : k0 + n], s, x, y, m, -1.0, 1.0)
        _add(e[k0 : k0 + n], s, x, y, m, 1.0, 1.0)
        q += n - 1
        t, u, v, w = g[q], g[q + ROW], g[q + 2 * ROW], g[q + 3 * ROW]
        a[last] += t - u - v + w
        b[last] += t + u - v - w
        d[last] += t - u + v - w
        e[last] += t + u + v + w


@numba.njit(**JIT)
def _add(column: Any, s: Any, x: Any, y: Any, m: Any, along_x: float, along_y: float) -> None:
    """column += s + along_x x + along_y y + along_x along_y m."""
    a, b = column.dtype.type(along_x), column.dtype.type(along_y)
    for k in range(column.size):
        column[k] += s[k] + a * x[k] + b * (y[k] + a * m[k])


class ElasticState(NamedTuple):
    """One load case: (6,) mean stress in Pa, ``<sigma:eps>`` in Pa, CG iterations, relative true residual and the
    displacement fluctuation in m, (3, nodes); periodic: (3, nx, ny, nz), else (3, nx + 1, ny + 1, nz + 1)."""

    stress: Array
    work: float
    iterations: int
    residual: float
    displacement: Array


class ElasticCell:
    """A cell of voxels under a mean strain with one of the three boundary conditions that obey Hill and Mandel.

    ``periodic``: periodic fluctuation. ``displacement``: the boundary moves with the mean strain. ``traction``: the
    traction is that of a uniform stress, found such that the mean strain is the given one. The last two live on a
    periodic grid with one more layer of void.

    Conjugate gradients on the fluctuation, preconditioned with the inverse of a homogeneous cell, stop when the
    nodal residual is below ``tolerance`` times that of the uniform strain. A periodic cell runs them in single
    precision; the residual is that of double precision, and what it still lacks is solved for again. ``lam``, ``mu``:
    (nx, ny, nz) in Pa.
    """

    def __init__(self, lam: Array, mu: Array, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
                 boundary: str = "periodic") -> None:  # fmt: skip
        if boundary not in ("periodic", "displacement", "traction"):
            raise ValueError(f"unknown boundary condition {boundary!r}")
        pad = [(0, 0 if boundary == "periodic" else 1)] * 3
        self.lam, self.mu = (np.ascontiguousarray(np.pad(a, pad), float) for a in (lam, mu))
        self.volume = float(np.prod(spacing)) * lam.size
        self.spacing, self.shape = np.array(spacing, float), self.lam.shape
        solid = mu > 0
        mean = (float(lam[solid].mean()), float(mu[solid].mean())) if solid.any() else (1.0, 1.0)
        self.kinds = [np.dtype(k) for k in ((np.float32, np.float64) if boundary == "periodic" else (np.float64,))]
        self.moduli = {k: (self.lam.astype(k, copy=False), self.mu.astype(k, copy=False)) for k in self.kinds}
        self.green = {k: GreenVector(self.shape, spacing, k.type).set_moduli(*mean) for k in self.kinds[:1]}
        self.fixed, self.held = np.zeros(self.shape, bool), boundary == "displacement"
        self.uniform = self.plain = self.flexible = np.empty((0, 3, *self.shape))
        if self.held:
            self.fixed[0], self.fixed[:, 0], self.fixed[:, :, 0] = True, True, True
            self.fixed[-1], self.fixed[:, -1], self.fixed[:, :, -1] = True, True, True
        elif boundary == "traction":
            inside = np.pad(np.full(lam.shape, 0.5), pad)
            self.uniform = np.array([self._forces(e, None, 0.0 * inside, inside)[0] for e in np.eye(6)])
            flexible = np.array([self.green[self.kinds[0]](c, np.empty_like(c)) for c in self.uniform])
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
        self._green(r.dtype)(r, z)
        if self.held:
            z[:, self.fixed] = 0.0
        shares = [dot(row.reshape(-1), z.reshape(-1)) for row in self.uniform]
        for share, row in zip(shares, self.flexible, strict=True):
            z -= share * row
        return z

    def _green(self, kind: np.dtype[Any]) -> GreenVector:
        """The preconditioner in one precision; that of the second precision is rarely needed."""
        if kind not in self.green:
            first = self.green[self.kinds[0]]
            self.green[kind] = GreenVector(self.shape, first.spacing, kind.type).set_moduli(*first.moduli)
        return self.green[kind]

    def solve(self, strain: Array, tolerance: float = 1e-6, start: Array | None = None,
              maximum: int = 2000) -> ElasticState:  # fmt: skip
        """Mean strain (6,) Mandel; ``start``: a fluctuation to start from. The caller checks ``residual``."""
        strain = np.asarray(strain, float)
        f, total = self._forces(strain, None, self.lam, self.mu)
        f0, total0, r = f, total, self._balance(-f)
        force = float(self.mu.max() + self.lam.max()) * norm(strain) * self.volume / float(self.spacing.max())
        goal = max(tolerance * norm(r.reshape(-1)), ROUNDING * force / float(np.sqrt(r.size)))
        u = np.zeros_like(r)
        if start is not None:
            u[:] = start
            f, total = self._forces(strain, u, self.lam, self.mu)
            r = self._balance(-f)
        iterations, kinds = 0, list(self.kinds)
        while norm(r.reshape(-1)) > goal and kinds and iterations < maximum:
            size = norm(r.reshape(-1))
            aim = max(0.9 * goal, SINGLE * size if kinds[0].itemsize == 4 else 0.0)
            d, steps = self._conjugate(r.astype(kinds[0]), aim, maximum - iterations)
            iterations, u = iterations + steps, u + d
            f, total = self._forces(strain, u, self.lam, self.mu)
            r = self._balance(-f)
            if not norm(r.reshape(-1)) < 0.5 * size:
                kinds.pop(0)
        return self._finish(strain, (u, f, total), (f0, total0), iterations, tolerance / goal if goal > 0 else 0.0)

    def _finish(self, strain: Array, now: tuple[Array, Array, Array], rest: tuple[Array, Array], iterations: int,
                scale: float) -> ElasticState:  # fmt: skip
        """A last step along the fluctuation itself leaves no work in the residual: Hill-Mandel to rounding."""
        (u, f, total), (f0, total0) = now, rest
        stiff = dot(u.reshape(-1), (f - f0).reshape(-1))
        s = -dot(u.reshape(-1), f.reshape(-1)) / stiff if stiff > 0 else 0.0
        u, f, total = (1.0 + s) * u, f + s * (f - f0), total + s * (total - total0)
        stress = total / self.volume
        work = float(stress @ strain) + dot(u.reshape(-1), f.reshape(-1)) / self.volume
        return ElasticState(stress, work, iterations, scale * norm(self._balance(f).reshape(-1)), u)

    def _conjugate(self, r: Array, goal: float, maximum: int) -> tuple[Array, int]:
        """Preconditioned conjugate gradients for K x = r in the precision of r, which is used up; x and iterations."""
        lam, mu = self.moduli[r.dtype]
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
            apply_stiffness(p, lam, mu, zero, self.spacing, q, total)
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


def solve_elastic(lam: Array, mu: Array, strain: Array, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
                  tolerance: float = 1e-6, boundary: str = "periodic") -> ElasticState:  # fmt: skip
    """One load case of a fresh ``ElasticCell``; several load cases of one cell share the cell."""
    return ElasticCell(lam, mu, spacing, boundary).solve(strain, tolerance)
