"""A scalar field on trilinear hexahedra whose coefficient is a tensor of each phase, or depends on the local gradient.

Inside a voxel, with (x, y, z) in [-1, 1]^3, ``u = sum c_abc x^a y^b z^c``; the seven coefficients that carry a gradient are
sums and differences of the nodal values by 8. The gradient ``2/hx (c100 + c110 y + c101 z + c111 y z)``, ... is integrated
exactly for a tensor, and at the 2 x 2 x 2 Gauss points for a law. Fields are (nx, ny, nz) and periodic; node (i, j, k) is
the lower corner of voxel (i, j, k).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit

ORDER = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # 11 22 33 23 13 12
GAUSS = np.sqrt(1 / 3) * np.array([[1 - 2 * a, 1 - 2 * b, 1 - 2 * c] for a in (1, 0) for b in (1, 0) for c in (1, 0)])


@jit
def _coefficients(u: Array, i: int, j: int, k: int) -> Any:
    """c100 c010 c001 c110 c101 c011 c111 of a voxel."""
    i1, j1, k1 = (i + 1) % u.shape[0], (j + 1) % u.shape[1], (k + 1) % u.shape[2]
    a, b = u[i, j, k] + u[i, j, k1], u[i, j1, k] + u[i, j1, k1]
    c, d = u[i1, j, k] + u[i1, j, k1], u[i1, j1, k] + u[i1, j1, k1]
    p, q = u[i, j, k1] - u[i, j, k], u[i, j1, k1] - u[i, j1, k]
    r, s = u[i1, j, k1] - u[i1, j, k], u[i1, j1, k1] - u[i1, j1, k]
    e = 0.125
    return (e * (c + d - a - b), e * (b + d - a - c), e * (p + q + r + s), e * (a + d - b - c),
            e * (r + s - p - q), e * (q + s - p - r), e * (p + s - q - r))  # fmt: skip


@jit
def _scatter(f: Array, i: int, j: int, k: int, c: Any) -> None:
    """Adds nodal forces from those of the coefficients; the transpose of ``_coefficients``."""
    i1, j1, k1 = (i + 1) % f.shape[0], (j + 1) % f.shape[1], (k + 1) % f.shape[2]
    x, y, z, xy, xz, yz, xyz = c
    e = 0.125
    f[i, j, k] += e * (-x - y - z + xy + xz + yz - xyz)
    f[i, j, k1] += e * (-x - y + z + xy - xz - yz + xyz)
    f[i, j1, k] += e * (-x + y - z - xy + xz - yz + xyz)
    f[i, j1, k1] += e * (-x + y + z - xy - xz + yz - xyz)
    f[i1, j, k] += e * (x - y - z - xy - xz + yz + xyz)
    f[i1, j, k1] += e * (x - y + z - xy + xz - yz - xyz)
    f[i1, j1, k] += e * (x + y - z + xy - xz - yz - xyz)
    f[i1, j1, k1] += e * (x + y + z + xy + xz + yz + xyz)


@jit
def tensors(u: Array, phase: Array, K: Array, gradient: Array, h: Array, f: Array) -> None:
    """``f += B' K (gradient + B u)``. phase: (nx, ny, nz); K: (P, 6) 11 22 33 23 13 12, not Mandel; gradient, h: (3,)."""
    V, X, Y, Z = h[0] * h[1] * h[2], 2 / h[0], 2 / h[1], 2 / h[2]
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            for k in range(u.shape[2]):
                t = K[phase[i, j, k]]
                x, y, z, xy, xz, yz, xyz = _coefficients(u, i, j, k)
                gx, gy, gz = X * x + gradient[0], Y * y + gradient[1], Z * z + gradient[2]
                a, b, c = t[0] * X * X, t[1] * Y * Y, t[2] * Z * Z
                p, q, r = t[3] * Y * Z, t[4] * X * Z, t[5] * X * Y
                _scatter(f, i, j, k, (
                    V * X * (t[0] * gx + t[5] * gy + t[4] * gz),
                    V * Y * (t[5] * gx + t[1] * gy + t[3] * gz),
                    V * Z * (t[4] * gx + t[3] * gy + t[2] * gz),
                    V / 3 * ((a + b) * xy + q * yz + p * xz),
                    V / 3 * ((a + c) * xz + p * xy + r * yz),
                    V / 3 * ((b + c) * yz + q * xy + r * xz),
                    V / 9 * (a + b + c) * xyz,
                ))  # fmt: skip


@jit
def _gradient(c: Any, gauss: Array, h: Array, mean: Array) -> Any:
    """The gradient at a Gauss point."""
    x, y, z, xy, xz, yz, xyz = c
    a, b, d = gauss[0], gauss[1], gauss[2]
    return (2 / h[0] * (x + xy * b + xz * d + xyz * b * d) + mean[0],
            2 / h[1] * (y + xy * a + yz * d + xyz * a * d) + mean[1],
            2 / h[2] * (z + xz * a + yz * b + xyz * a * b) + mean[2])  # fmt: skip


@jit
def _gathered(c: Any, s: Any, gauss: Array, h: Array) -> Any:
    """Forces of the coefficients with those of a Gauss point added: the flux ``s`` times its volume."""
    a, b, d = gauss[0], gauss[1], gauss[2]
    x, y, z = 2 / h[0] * s[0], 2 / h[1] * s[1], 2 / h[2] * s[2]
    return (c[0] + x, c[1] + y, c[2] + z, c[3] + x * b + y * a, c[4] + x * d + z * a, c[5] + y * d + z * b,
            c[6] + x * b * d + y * a * d + z * a * b)  # fmt: skip


@jit
def power_law(u: Array, phase: Array, law: Array, mean: Array, h: Array, gauss: Array, f: Array, points: Array,
              total: Array) -> None:  # fmt: skip
    """``f += B' s(g)`` and ``total`` (5,) += volume integrals of s, of the potential and of s . g, with g = mean + B u.

    ``s = k ((g.g + g0^2) / gr^2)^((m-1)/2) g``; law: (P, 4) k, m, g0, gr by phase. ``points`` (nx, ny, nz, 8, 2) <- the slope
    ``ds/dg = points[0] 1 + points[1] g g``.
    """
    V = h[0] * h[1] * h[2] / 8
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            for k in range(u.shape[2]):
                kappa, m, g0, gr = law[phase[i, j, k]]
                c = _coefficients(u, i, j, k)
                forces = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
                for n in range(8):
                    x, y, z = _gradient(c, gauss[n], h, mean)
                    square = x * x + y * y + z * z
                    size = square + g0 * g0
                    value = V * kappa * (size / (gr * gr)) ** (0.5 * (m - 1))
                    points[i, j, k, n, 0], points[i, j, k, n, 1] = value, (m - 1) * value / size
                    s = (value * x, value * y, value * z)
                    forces = _gathered(forces, s, gauss[n], h)
                    total[0], total[1], total[2] = total[0] + s[0], total[1] + s[1], total[2] + s[2]
                    total[3] += value * size / (m + 1) - V * kappa * (g0 / gr) ** (m - 1) * g0 * g0 / (m + 1)
                    total[4] += value * square
                _scatter(f, i, j, k, forces)


@jit
def slope(p: Array, step: Array, u: Array, mean: Array, points: Array, h: Array, gauss: Array, f: Array,
          total: Array) -> None:  # fmt: skip
    """``f += B' ds/dg (step + B p)`` and ``total`` (3,) += its volume integral, at ``u`` and ``mean`` with ``points``."""
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            for k in range(u.shape[2]):
                c, d = _coefficients(u, i, j, k), _coefficients(p, i, j, k)
                forces = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
                for n in range(8):
                    x, y, z = _gradient(c, gauss[n], h, mean)
                    dx, dy, dz = _gradient(d, gauss[n], h, step)
                    value = points[i, j, k, n, 0]
                    along = points[i, j, k, n, 1] * (x * dx + y * dy + z * dz)
                    s = (value * dx + along * x, value * dy + along * y, value * dz + along * z)
                    forces = _gathered(forces, s, gauss[n], h)
                    total[0], total[1], total[2] = total[0] + s[0], total[1] + s[1], total[2] + s[2]
                _scatter(f, i, j, k, forces)


def gradients_plain(u: Array, mean: Array, h: Array) -> Array:
    """(8, 3, nx, ny, nz) gradients at the Gauss points, corner by corner; the readable side of all kernels above."""
    out = np.zeros((8, 3, *u.shape))
    for n, point in enumerate(GAUSS):
        for corner in np.ndindex(2, 2, 2):
            value = np.roll(u, [-c for c in corner], (0, 1, 2))
            shape = [(1 + (2 * c - 1) * x) / 2 for c, x in zip(corner, point, strict=True)]
            for axis in range(3):
                out[n, axis] += value * np.prod(np.delete(shape, axis)) * (2 * corner[axis] - 1) / h[axis]
        out[n] += mean[:, None, None, None]
    return out


def forces_plain(s: Array, h: Array) -> Array:
    """Nodal forces from the fluxes (8, 3, nx, ny, nz) at the Gauss points: the transpose of ``gradients_plain``."""
    out, weight = np.zeros(s.shape[2:]), float(np.prod(h)) / 8
    for n, point in enumerate(GAUSS):
        for corner in np.ndindex(2, 2, 2):
            shape = [(1 + (2 * c - 1) * x) / 2 for c, x in zip(corner, point, strict=True)]
            for axis in range(3):
                share = weight * np.prod(np.delete(shape, axis)) * (2 * corner[axis] - 1) / h[axis]
                out += np.roll(share * s[n, axis], corner, (0, 1, 2))
    return out
