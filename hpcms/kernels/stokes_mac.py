"""Slow incompressible flow on a staggered (marker-and-cell) periodic grid: pressures in voxels, velocities on their faces.

Velocity ``u[a, i, j, k]`` (Harlow, Welch 1965) sits on the lower face along axis a of voxel (i, j, k). All operators are
those of the finite volumes, times the volume of a voxel. Two kinds of cell:

``obstacles``: viscosity one, solid voxels at rest. A face next to a solid voxel is at rest; a velocity whose neighbour along
another axis is at rest sees the wall half a voxel away, so plane walls are met to second order.
``mixture``: a viscosity of each voxel; shear stresses live on the edges, with the harmonic mean of the four voxels around.
"""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit


@jit
def _up(i: int, n: int) -> int:
    return i + 1 if i + 1 < n else 0


@jit
def _down(i: int, n: int) -> int:
    return i - 1 if i > 0 else n - 1


@jit
def obstacles(u: Array, p: Array, free: Array, fluid: Array, h: Array, fu: Array, fp: Array) -> None:
    """``fu = V (-lap u + grad p)`` on the free faces and ``fp = V div u`` in the fluid voxels, zero elsewhere.

    u, fu, free: (3, nx, ny, nz); p, fp, fluid: (nx, ny, nz); free, fluid: 1.0 or 0.0; u must vanish where not free.
    """
    nx, ny, nz = p.shape
    volume = h[0] * h[1] * h[2]
    for i in range(nx):
        for j in range(ny):
            up, down = (_up(i, nx), _up(j, ny)), (_down(i, nx), _down(j, ny))
            for k in range(nz):
                k1, k0 = _up(k, nz), _down(k, nz)
                div = (u[0, up[0], j, k] - u[0, i, j, k]) / h[0] + (u[1, i, up[1], k] - u[1, i, j, k]) / h[1]
                fp[i, j, k] = volume * fluid[i, j, k] * (div + (u[2, i, j, k1] - u[2, i, j, k]) / h[2])
                here = p[i, j, k]
                for a in range(3):
                    if free[a, i, j, k] == 0.0:
                        fu[a, i, j, k] = 0.0
                        continue
                    before = p[down[0], j, k] if a == 0 else p[i, down[1], k] if a == 1 else p[i, j, k0]
                    v, m = u[a], free[a]
                    w = v[i, j, k]
                    force = (here - before) / h[a]
                    for b in range(3):
                        if b == 0:
                            left, right, ml, mr = v[down[0], j, k], v[up[0], j, k], m[down[0], j, k], m[up[0], j, k]
                        elif b == 1:
                            left, right, ml, mr = v[i, down[1], k], v[i, up[1], k], m[i, down[1], k], m[i, up[1], k]
                        else:
                            left, right, ml, mr = v[i, j, k0], v[i, j, k1], m[i, j, k0], m[i, j, k1]
                        share = 2.0 * w - left - right
                        if a != b:  # a wall half a voxel away
                            share += (2.0 - ml - mr) * w
                        force += share / (h[b] * h[b])
                    fu[a, i, j, k] = volume * force


def obstacles_plain(u: Array, p: Array, free: Array, fluid: Array, h: Array) -> tuple[Array, Array]:
    """Twin of ``obstacles``."""
    div = sum((np.roll(u[a], -1, a) - u[a]) / h[a] for a in range(3))
    out = np.empty_like(u)
    for a in range(3):
        out[a] = (p - np.roll(p, 1, a)) / h[a]
        for b in range(3):
            for step in (-1, 1):
                wall = (1 - np.roll(free[a], step, b)) * u[a] if a != b else 0.0
                out[a] += (u[a] - np.roll(u[a], step, b) + wall) / h[b] ** 2
    volume = np.prod(h)
    return volume * free * out, volume * fluid * div


@jit
def mixture(u: Array, eta: Array, edge: Array, rate: Array, h: Array, f: Array, total: Array) -> None:
    """``f = -V div(2 eta e)``, e = rate + sym grad u, at the faces; ``total`` (6,) += volume integral of ``2 eta e``.

    u, f: (3, nx, ny, nz) m/s; eta: (nx, ny, nz) Pa s; edge: (3, nx, ny, nz) viscosity on the edges along x, y, z; rate, total:
    (6,) Mandel.
    """
    nx, ny, nz = eta.shape
    volume, root = h[0] * h[1] * h[2], np.sqrt(2.0)
    f[:] = 0.0
    for i in range(nx):
        i1, i0 = _up(i, nx), _down(i, nx)
        for j in range(ny):
            j1, j0 = _up(j, ny), _down(j, ny)
            for k in range(nz):
                k1, k0 = _up(k, nz), _down(k, nz)
                c = 2.0 * volume * eta[i, j, k]
                u0, v0, w0 = u[0, i, j, k], u[1, i, j, k], u[2, i, j, k]
                x = c * (rate[0] + (u[0, i1, j, k] - u0) / h[0])
                y = c * (rate[1] + (u[1, i, j1, k] - v0) / h[1])
                z = c * (rate[2] + (u[2, i, j, k1] - w0) / h[2])
                f[0, i, j, k] -= x / h[0]
                f[0, i1, j, k] += x / h[0]
                f[1, i, j, k] -= y / h[1]
                f[1, i, j1, k] += y / h[1]
                f[2, i, j, k] -= z / h[2]
                f[2, i, j, k1] += z / h[2]
                yz = (
                    volume
                    * edge[0, i, j, k]
                    * (root * rate[3] + (v0 - u[1, i, j, k0]) / h[2] + (w0 - u[2, i, j0, k]) / h[1])
                )
                xz = (
                    volume
                    * edge[1, i, j, k]
                    * (root * rate[4] + (u0 - u[0, i, j, k0]) / h[2] + (w0 - u[2, i0, j, k]) / h[0])
                )
                xy = (
                    volume
                    * edge[2, i, j, k]
                    * (root * rate[5] + (u0 - u[0, i, j0, k]) / h[1] + (v0 - u[1, i0, j, k]) / h[0])
                )
                f[1, i, j, k] += yz / h[2]
                f[1, i, j, k0] -= yz / h[2]
                f[2, i, j, k] += yz / h[1]
                f[2, i, j0, k] -= yz / h[1]
                f[0, i, j, k] += xz / h[2]
                f[0, i, j, k0] -= xz / h[2]
                f[2, i, j, k] += xz / h[0]
                f[2, i0, j, k] -= xz / h[0]
                f[0, i, j, k] += xy / h[1]
                f[0, i, j0, k] -= xy / h[1]
                f[1, i, j, k] += xy / h[0]
                f[1, i0, j, k] -= xy / h[0]
                total[0], total[1], total[2] = total[0] + x, total[1] + y, total[2] + z
                total[3], total[4], total[5] = total[3] + root * yz, total[4] + root * xz, total[5] + root * xy


def edges(eta: Array) -> Array:
    """(3, nx, ny, nz) harmonic means of ``eta`` over the four voxels around the lower edges along x, y, z."""
    inverse, out = 1 / eta, []
    for axis in range(3):
        b, c = (other for other in range(3) if other != axis)
        pair = inverse + np.roll(inverse, 1, b)
        out.append(4 / (pair + np.roll(pair, 1, c)))
    return np.ascontiguousarray(out)


def mixture_plain(u: Array, eta: Array, edge: Array, rate: Array, h: Array) -> tuple[Array, Array]:
    """Twin of ``mixture``: forces and mean stress."""
    volume = float(np.prod(h))
    f, mean = np.zeros_like(u), np.zeros(6)
    for a in range(3):
        stress = 2 * eta * (rate[a] + (np.roll(u[a], -1, a) - u[a]) / h[a])
        f[a] -= volume * (stress - np.roll(stress, 1, a)) / h[a]
        mean[a] = stress.mean()
    for place, axis in ((3, 0), (4, 1), (5, 2)):
        a, b = (other for other in range(3) if other != axis)
        slope = (u[a] - np.roll(u[a], 1, b)) / h[b] + (u[b] - np.roll(u[b], 1, a)) / h[a]
        stress = edge[axis] * (np.sqrt(2) * rate[place] + slope)
        f[a] -= volume * (np.roll(stress, -1, b) - stress) / h[b]
        f[b] -= volume * (np.roll(stress, -1, a) - stress) / h[a]
        mean[place] = np.sqrt(2) * stress.mean()
    return f, mean
