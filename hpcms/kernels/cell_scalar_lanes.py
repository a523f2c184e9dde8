"""Small periodic voxel cells under unit temperature gradients, many at a time, side by side in compiled loops (``lanes``).

The same elements and the same preconditioned conjugate gradients as ``cell_scalar_periodic``, on all nodes of the cells.
They run in single precision from the true residual of double precision, which is then computed anew, as often as needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import hex8_scalar, jit, lanes
from hpcms.kernels.cell_scalar_frame import Spacing
from hpcms.kernels.green_scalar import symbol

SINGLE = 1e-4  # reduction of the residual that single precision is asked for at a time
HURRY = 0.9  # share of the wanted residual aimed at, as the residual of single precision drifts
ROUNDING = 1e-14  # nodal loads below this share of what one voxel gives are sums that cancel
STALLED = 0.5
FLAT = (
    1e-7  # a direction whose stiffness is below this share of that for uniform coefficients is not followed: rounding
)


class Group(NamedTuple):
    """L cells of one shape under the three unit gradients, all of double precision.

    ``u`` (K), ``r`` (W): (3, nodes, L) solutions and true residuals; ``loads``: (3, nodes, L); ``iterations, ratio``: (3, L).
    """

    u: Array
    r: Array
    loads: Array
    iterations: Array
    ratio: Array


def inverse_symbol(shape: tuple[int, ...], spacing: Spacing) -> Array:
    """(nodes,) inverse of the stiffness for unit coefficient in the order of ``lanes.fold``; zero for the constant."""
    orders = [np.r_[np.arange(n // 2 + 1), np.arange(1, (n - 1) // 2 + 1)] for n in shape]
    (Kx, Mx), (Ky, My), (Kz, Mz) = (
        tuple(part[order] for part in symbol(n, h)) for n, h, order in zip(shape, spacing, orders, strict=True)
    )
    A0 = np.einsum("x,y,z", Kx, My, Mz) + np.einsum("x,y,z", Mx, Ky, Mz) + np.einsum("x,y,z", Mx, My, Kz)
    A0[0, 0, 0] = np.inf
    inverse: Array = 1 / A0.ravel()
    return inverse


def solve(phases: Array, k: Array, spacing: Spacing, tolerance: float, limit: int) -> Group:
    """Cells ``phases`` (L, nx, ny, nz) with conductivities ``k`` (P,). A cell that stalls ends with a ratio above ``tolerance``."""
    L, (nx, ny, nz) = len(phases), phases.shape[1:]
    scale = float(k.max()) or 1.0
    values = np.ascontiguousarray(np.moveaxis(k[phases], 0, -1).reshape(nx, ny, nz * L))
    inverse = inverse_symbol((nx, ny, nz), spacing) / scale
    tables, shape = lanes.transforms((nx, ny, nz), np.float32), np.array([nx, ny, nz])
    weights, jumps = hex8_scalar.weights(spacing), np.diag(spacing)
    least = ROUNDING * scale * 4 * np.sqrt(nx * ny * nz) * (np.abs(weights[:3]) * spacing)
    u, r, loads = (np.zeros((3, nx, ny, nz * L)) for _ in range(3))
    iterations, ratio = np.zeros((3, L), np.int64), np.zeros((3, L))
    whole = np.zeros((nx, ny, 2), np.int64)
    whole[:, :, 1] = nz * L
    k32, w32, i32 = (x.astype(np.float32) for x in (values, weights, inverse))
    _solve(values, weights, k32, w32, i32, whole, jumps, least, tables, shape, tolerance, limit, L, u, r, loads, iterations,
           ratio)  # fmt: skip
    u, r, loads = (field.reshape(3, -1, L) for field in (u, r, loads))
    return Group(u, r, loads, iterations, ratio)


@jit
def _solve(k: Array, w: Array, k32: Array, w32: Array, inverse: Array, whole: Array, jumps: Array, least: Array,
           tables: Array, shape: Array, tolerance: float, limit: int, L: int,
           us: Array, rs: Array, loads: Array, iterations: Array, ratio: Array) -> None:  # fmt: skip
    """All loads of a group: passes in single precision between true residuals. Sizes and units as in ``Group``."""
    size, now, before, share = np.empty(L), np.empty(L), np.empty(L), np.empty(L)
    small = np.empty(k.shape, np.float32)
    for axis in range(3):
        u, r, load = us[axis], rs[axis], loads[axis]
        flat, residual, force, step = u.reshape(-1), r.reshape(-1), load.reshape(-1), small.reshape(-1)
        first, busy = True, True
        while busy:
            for n in range(residual.size):
                residual[n] = 0.0
            hex8_scalar.apply(u, k, whole, w, jumps[axis], r, L, hex8_scalar.SIDE)
            for n in range(residual.size):
                residual[n] = -residual[n]
            lanes.dots(residual, residual, L, now)
            if first:
                for n in range(residual.size):
                    force[n] = -residual[n]
            busy = False
            for c in range(L):
                now[c] = np.sqrt(now[c])
                if first:
                    size[c], before[c] = now[c] if now[c] > least[axis] else 0.0, np.inf
                goal = tolerance * size[c]
                wanted = size[c] > 0 and now[c] > goal and now[c] < STALLED * before[c] and iterations[axis, c] < limit
                share[c] = max(HURRY * goal / now[c], SINGLE) if wanted else 0.0
                before[c] = now[c] if wanted else before[c]
                busy = busy or wanted
            first = False
            if busy:
                _iterate(
                    residual, now, share, k32, whole, w32, inverse, tables, shape, limit, L, small, iterations[axis]
                )
                for n in range(flat.size):
                    flat[n] += step[n]
        for c in range(L):
            ratio[axis, c] = now[c] / size[c] if size[c] > 0 else 0.0


@jit
def _iterate(residual: Array, norm: Array, share: Array, k: Array, whole: Array, w: Array, inverse: Array,
             tables: Array, shape: Array, limit: int, L: int, x: Array,
             iterations: Array) -> None:  # fmt: skip
    """``x`` <- what lowers each residual to its ``share`` of ``norm``; a cell with ``share`` zero stays as it is."""
    most = (max(shape[0], shape[1], shape[2]) + 1) * lanes.SPAN
    work, other, spare = np.empty(most, x.dtype), np.empty(most, x.dtype), np.empty(x.size, x.dtype)
    r, z, p, q = np.empty(x.size, x.dtype), np.empty(x.size, x.dtype), np.zeros(x.shape, x.dtype), np.empty_like(x)
    flat, fp, fq, still = x.reshape(-1), p.reshape(-1), q.reshape(-1), np.zeros(3, x.dtype)
    rz, pq, rr, old, size = np.empty(L), np.empty(L), np.ones(L), np.zeros(L), np.zeros(L)
    alpha, beta, active = np.zeros(L, x.dtype), np.zeros(L, x.dtype), np.zeros(L, np.bool_)
    for n in range(x.size // L):
        for c in range(L):
            flat[n * L + c] = 0
            r[n * L + c] = residual[n * L + c] / norm[c] if share[c] > 0 else 0.0
    for c in range(L):
        active[c] = share[c] > 0
    while active.any():
        lanes.solve(r, inverse, tables, shape, L, work, other, spare, z)
        lanes.dots(r, z, L, rz)
        for c in range(L):
            beta[c] = rz[c] / old[c] if old[c] > 0 and active[c] else 0.0
            size[c] = rz[c] + beta[c] * beta[c] * size[c]  # p . A0 p, as r is orthogonal to the last p
            old[c] = rz[c]
        lanes.direct(z, beta, fp)
        for n in range(fq.size):
            fq[n] = 0
        hex8_scalar.apply(p, k, whole, w, still, q, L, hex8_scalar.SIDE)
        lanes.dots(fp, fq, L, pq)
        for c in range(L):
            active[c] = active[c] and pq[c] > FLAT * size[c]
            alpha[c] = rz[c] / pq[c] if active[c] else 0.0
            iterations[c] += active[c]
        lanes.advance(alpha, fp, fq, flat, r, rr)
        for c in range(L):
            active[c] = active[c] and rr[c] > share[c] * share[c] and iterations[c] < limit
    for n in range(x.size // L):
        for c in range(L):
            flat[n * L + c] *= norm[c] if share[c] > 0 else 0.0
