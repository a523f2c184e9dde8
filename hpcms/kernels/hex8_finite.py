"""Neo-Hooke at finite strain on a list of trilinear hexahedra with 2 x 2 x 2 Gauss points: forces, energy, tangent.

    W = mu/2 (F:F - 3 - 2 ln J) + lam/4 (J^2 - 1 - 2 ln J),     J = det F > 0
    P = mu (F - F^-T) + lam/2 (J^2 - 1) F^-T
    dP = mu dF + (mu - lam/2 (J^2 - 1)) F^-T dF^T F^-T + lam J^2 (F^-T : dF) F^-T

W is polyconvex and grows without bound as J -> 0 (P. G. Ciarlet, G. Geymonat, C. R. Acad. Sci. 295, 423-426, 1982; J. Bonet,
R. D. Wood, Nonlinear Continuum Mechanics, 2nd ed. 2008, section 6.4). F = mean F + grad u on the undeformed voxels. Tensors are
rows of nine, 11 12 13 21 22 23 31 32 33, first index the component, second the axis. Layouts: ``hex8_points``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcms.contracts import Array
from hpcms.kernels import jit
from hpcms.kernels.hex8_points import LANES, _derivatives, _unfour, _unmodes, gather, scatter

POINT = 9 * LANES
STORED = 11 * LANES  # F^-T, mu - lam/2 (J^2 - 1), lam J^2


@jit
def _put(s: Any, p: int, x: Any, y: Any, z: Any, qx: int, qy: int, qz: int) -> None:
    """Gradient of one component at one point, from its derivatives along the axes."""
    p += (4 * qx + 2 * qy + qz) * POINT
    s[p] = x[2 * qy + qz]
    s[p + LANES] = y[2 * qx + qz]
    s[p + 2 * LANES] = z[2 * qx + qy]


@jit
def _row(s: Any, lane: int, c: int, axis: int, one: int, two: int) -> Any:
    """Sums over the points q and q + ``step`` along ``axis`` of an entry: the transpose of spreading a derivative."""
    step, p = 4 >> axis, (3 * c + axis) * LANES + lane
    return _unfour(s[p] + s[p + step * POINT], s[p + two * POINT] + s[p + (two + step) * POINT],
                   s[p + one * POINT] + s[p + (one + step) * POINT],
                   s[p + (one + two) * POINT] + s[p + (one + two + step) * POINT])  # fmt: skip


@jit
def _gradients(v: Any, g: Any, F: Any, s: Any) -> None:
    """Corner displacements v of a block -> s[point, entry, lane] = F + grad u."""
    for c in range(3):
        f = (F[3 * c], F[3 * c + 1], F[3 * c + 2])
        for lane in range(LANES):
            x, y, z = _derivatives(v, c, lane, g, f)
            p = 3 * c * LANES + lane
            _put(s, p, x, y, z, 0, 0, 0)
            _put(s, p, x, y, z, 0, 0, 1)
            _put(s, p, x, y, z, 0, 1, 0)
            _put(s, p, x, y, z, 0, 1, 1)
            _put(s, p, x, y, z, 1, 0, 0)
            _put(s, p, x, y, z, 1, 0, 1)
            _put(s, p, x, y, z, 1, 1, 0)
            _put(s, p, x, y, z, 1, 1, 1)


@jit
def _forces(s: Any, g: Any, v: Any) -> None:
    """Transpose of ``_gradients``: first Piola-Kirchhoff stresses times a point's volume -> corner forces v."""
    for c in range(3):
        for lane in range(LANES):
            a, p, q, r = _row(s, lane, c, 0, 2, 1)
            b, t, u, w = _row(s, lane, c, 1, 4, 1)
            d, m, n, o = _row(s, lane, c, 2, 4, 2)
            _unmodes(
                v, c, lane,
                (g[0] * a, g[3] * b, g[6] * d, g[1] * p + g[4] * t, g[1] * q + g[7] * m, g[4] * u + g[7] * n,
                 g[2] * r + g[5] * w + g[8] * o),
            )  # fmt: skip


@jit
def _respond(s: Any, moduli: Any, weight: float, t: Any, sums: Any) -> float:
    """F of a block -> P times ``weight``, in place; tangents t; sums: P, W and P:P; the lowest J."""
    lowest = np.inf
    for q in range(8):
        for lane in range(LANES):
            p, o = q * POINT + lane, q * STORED + lane
            a, b, c = s[p], s[p + LANES], s[p + 2 * LANES]
            d, e, f = s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES]
            g, h, i = s[p + 6 * LANES], s[p + 7 * LANES], s[p + 8 * LANES]
            A, B, C = e * i - f * h, f * g - d * i, d * h - e * g  # cofactors
            J = a * A + b * B + c * C
            lowest = min(lowest, J)
            safe = max(J, 1e-12)
            inverse = 1.0 / safe
            la, mu = weight * moduli[0, lane], weight * moduli[1, lane]
            push = 0.5 * la * (safe * safe - 1.0) - mu
            t[o + 9 * LANES], t[o + 10 * LANES] = -push, la * safe * safe
            square, norm = -3.0, 0.0
            G = (A * inverse, B * inverse, C * inverse,
                 (c * h - b * i) * inverse, (a * i - c * g) * inverse, (b * g - a * h) * inverse,
                 (b * f - c * e) * inverse, (c * d - a * f) * inverse, (a * e - b * d) * inverse)  # fmt: skip
            for k in range(9):
                value = s[p + k * LANES]
                stress = mu * value + push * G[k]
                square += value * value
                norm += stress * stress
                s[p + k * LANES] = stress
                t[o + k * LANES] = G[k]
            log = np.log(safe)
            sums[9] += 0.5 * mu * (square - 2.0 * log) + 0.25 * la * (safe * safe - 1.0 - 2.0 * log)
            sums[10] += norm / weight
        for k in range(9):
            for lane in range(LANES):
                sums[k] += s[q * POINT + k * LANES + lane]
    return lowest


@jit
def evaluate_finite(
    u: Array, conn: Array, F: Array, moduli: Array, geo: Array, f: Array, t: Array, sums: Array
) -> float:
    """f (3, nodes + 1) <- internal forces at the fluctuation u under the mean F (9,); the lowest J of all points.

    moduli: (blocks, 2, LANES) lam, mu in Pa, 0 for fillers; t: (blocks, 8 * 11 * LANES), for
    ``tangent_finite``; sums: (11,) integrals of P, of W and of P:P. Where J <= 0 they are of no use.
    """
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    f[:] = 0.0
    sums[:] = 0.0
    lowest = np.inf
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        _gradients(v, g, F, s)
        lowest = min(lowest, _respond(s, moduli[b], geo[9], t[b], sums))
        _forces(s, g, v)
        scatter(v, conn[b], f)
    return lowest


@jit
def _linear(s: Any, t: Any, moduli: Any, weight: float, total: Any) -> None:
    """dF -> dP times the point's volume, in place."""
    for q in range(8):
        for lane in range(LANES):
            p, o, mu = q * POINT + lane, q * STORED + lane, weight * moduli[1, lane]
            a, b, c = t[o], t[o + LANES], t[o + 2 * LANES]
            d, e, f = t[o + 3 * LANES], t[o + 4 * LANES], t[o + 5 * LANES]
            g, h, i = t[o + 6 * LANES], t[o + 7 * LANES], t[o + 8 * LANES]
            A, B, C = s[p], s[p + LANES], s[p + 2 * LANES]
            D, E, F = s[p + 3 * LANES], s[p + 4 * LANES], s[p + 5 * LANES]
            G, H, K = s[p + 6 * LANES], s[p + 7 * LANES], s[p + 8 * LANES]
            along = t[o + 10 * LANES] * (a * A + b * B + c * C + d * D + e * E + f * F + g * G + h * H + i * K)
            k = t[o + 9 * LANES]
            # dF^T F^-T, row by row
            x0, x1, x2 = A * a + D * d + G * g, A * b + D * e + G * h, A * c + D * f + G * i
            y0, y1, y2 = B * a + E * d + H * g, B * b + E * e + H * h, B * c + E * f + H * i
            z0, z1, z2 = C * a + F * d + K * g, C * b + F * e + K * h, C * c + F * f + K * i
            s[p] = mu * A + k * (a * x0 + b * y0 + c * z0) + along * a
            s[p + LANES] = mu * B + k * (a * x1 + b * y1 + c * z1) + along * b
            s[p + 2 * LANES] = mu * C + k * (a * x2 + b * y2 + c * z2) + along * c
            s[p + 3 * LANES] = mu * D + k * (d * x0 + e * y0 + f * z0) + along * d
            s[p + 4 * LANES] = mu * E + k * (d * x1 + e * y1 + f * z1) + along * e
            s[p + 5 * LANES] = mu * F + k * (d * x2 + e * y2 + f * z2) + along * f
            s[p + 6 * LANES] = mu * G + k * (g * x0 + h * y0 + i * z0) + along * g
            s[p + 7 * LANES] = mu * H + k * (g * x1 + h * y1 + i * z1) + along * h
            s[p + 8 * LANES] = mu * K + k * (g * x2 + h * y2 + i * z2) + along * i
        for k in range(9):
            for lane in range(LANES):
                total[k] += s[q * POINT + k * LANES + lane]


@jit
def tangent_finite(
    u: Array, conn: Array, F: Array, t: Array, moduli: Array, geo: Array, f: Array, total: Array
) -> None:
    """f (3, nodes + 1) <- forces of the linearised stress for dF = F + grad u; total (9,) <- its volume integral."""
    v, s = np.empty(24 * LANES), np.empty(8 * POINT)
    g = (geo[0], geo[1], geo[2], geo[3], geo[4], geo[5], geo[6], geo[7], geo[8])
    f[:] = 0.0
    total[:] = 0.0
    for b in range(conn.shape[0]):
        gather(u, conn[b], v)
        _gradients(v, g, F, s)
        _linear(s, t[b], moduli[b], geo[9], total)
        _forces(s, g, v)
        scatter(v, conn[b], f)


def neo_hooke_plain(F: Array, lam: float, mu: float) -> tuple[Array, Array, Array]:
    """Twin at points: F (..., 3, 3) -> W (...), P (..., 3, 3) and dP/dF (..., 3, 3, 3, 3)."""
    J, G = np.linalg.det(F), np.linalg.inv(F).swapaxes(-1, -2)
    push = 0.5 * lam * (J**2 - 1.0)
    W = 0.5 * mu * ((F**2).sum(axis=(-1, -2)) - 3.0 - 2.0 * np.log(J)) + 0.25 * lam * (J**2 - 1.0 - 2.0 * np.log(J))
    P = mu * (F - G) + push[..., None, None] * G
    tangent = mu * np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) + np.zeros((*J.shape, 3, 3, 3, 3))
    tangent += (mu - push)[..., None, None, None, None] * np.einsum("...il,...kj->...ijkl", G, G)
    tangent += (lam * J**2)[..., None, None, None, None] * np.einsum("...ij,...kl->...ijkl", G, G)
    return W, P, tangent
